// Products of matrices whose right side is packed for the vector unit.
#pragma once
#include <memory>
#include <cstdlib>

#include "simd.h"

namespace native {

// Memory aligned to cache lines, which grows where more is asked for and keeps nothing of its content then.
class Buffer {
 public:
  ~Buffer() { std::free(data_); }
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  float *get(long floats) {
    if (floats > size_) {
      std::free(data_);
      size_ = (floats + 15) / 16 * 16;
      data_ = (float *)std::aligned_alloc(64, size_ * sizeof(float));
    }
    return data_;
  }
  const float *data() const { return data_; }

 private:
  float *data_ = nullptr;
  long size_ = 0;
};

// A matrix (depth, columns) in panels of PANEL vectors: [panel][k][vector][lane], columns filled up with zeros.
class PackedMatrix {
 public:
  // Packs the matrix whose rows begin at rows[k], or its transpose.
  void pack(const float *const *rows, int count, int width, bool transpose);

  int depth = 0, columns = 0;
  const float *panel(int first_vector) const { return data_.data() + (long)first_vector * depth * W; }

 private:
  Buffer data_;
};

// out[m][n] = start[m][n] + sum over k of a[m][k * a_stride] * b[k][n] for 0 <= m < rows.
//
// `a` and `out` hold a pointer to each row; `start` likewise, or is null for zeros; it may be `out`. A row of start may
// be shared, as that of a bias is.
void matmul(const float *const *a, long a_stride, int rows, const PackedMatrix &b, const float *const *start,
            float *const *out);

}  // namespace native
