#include "matmul.h"

#include <algorithm>
#include <type_traits>

namespace native {
namespace {

// A tile of ROWS x PANEL accumulators, a row of b and a broadcast value fill the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 6, PANEL = 4;
#else
constexpr int ROWS = 4, PANEL = 3;
#endif

int vectors(int columns) { return (columns + W - 1) / W; }

// The panels of a matrix are as equal in width as can be: 5 vectors are 3 and 2, not 4 and 1.
template <class Visit>
void for_panels(int columns, Visit visit) {
  int total = vectors(columns), panels = (total + PANEL - 1) / PANEL;
  for (int k = 0, first = 0; k < panels; k++) {
    int width = total / panels + (k < total % panels);
    visit(first, width);
    first += width;
  }
}

// Calls f with a constant of the value n, 1 <= n <= MOST.
template <int MOST, class F>
NATIVE_INLINE void with_constant(int n, F &&f) {
  if constexpr (MOST > 0) {
    if (n == MOST)
      f(std::integral_constant<int, MOST>());
    else
      with_constant<MOST - 1>(n, f);
  }
}

template <int M, int N>
NATIVE_INLINE void tile(const float *const *a, long a_stride, const float *b, long depth, int columns,
                        const float *const *start, float *const *out, int first) {
  Vec sums[M][N] = {};
  const float *rows[M];
  for (int m = 0; m < M; m++) rows[m] = a[m];
  for (long k = 0, at = 0; k < depth; k++, at += a_stride, b += N * W) {
    Vec right[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) right[n] = load(b + n * W);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      float left = rows[m][at];
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) sums[m][n] += left * right[n];
    }
  }
  for (int n = 0; n < N; n++) {
    int column = first + n * W, lanes = std::min(W, columns - column);
    for (int m = 0; m < M; m++)
      store(out[m] + column, start ? load(start[m] + column, lanes) + sums[m][n] : sums[m][n], lanes);
  }
}

}  // namespace

void matmul(const float *const *a, long a_stride, int rows, const PackedMatrix &b, const float *const *start,
            float *const *out) {
  if (!rows) return;
  int blocks = (rows + ROWS - 1) / ROWS;
  for_panels(b.columns, [&](int first, int width) {
    for (int k = 0, m = 0; k < blocks; k++) {
      int count = rows / blocks + (k < rows % blocks);
      with_constant<ROWS>(count, [&](auto M) {
        with_constant<PANEL>(width, [&](auto N) {
          tile<M, N>(a + m, a_stride, b.panel(first), b.depth, b.columns, start ? start + m : nullptr, out + m,
                     first * W);
        });
      });
      m += count;
    }
  });
}

void PackedMatrix::pack_rows(const float *const *rows, int depth, int columns) {
  this->depth = depth;
  this->columns = columns;
  float *data = data_.get((long)vectors(columns) * depth * W);
  for (int k = 0; k < depth; k++) {
    for_panels(columns, [&](int first, int width) {
      float *out = data + ((long)first * depth + (long)k * width) * W;
      for (int n = 0; n < width; n++) store(out + n * W, load(rows[k] + (first + n) * W, columns - (first + n) * W));
    });
  }
}

void PackedMatrix::pack_transposed(const float *w, int depth, int columns) {
  this->depth = depth;
  this->columns = columns;
  float *data = data_.get((long)vectors(columns) * depth * W);
  for_panels(columns, [&](int first, int width) {
    float *out = data + (long)first * depth * W;
    for (int n = 0; n < width; n++) {
      int column = (first + n) * W, lanes = std::min(W, columns - column);
      for (int k = 0; k < depth; k++) {
        Vec v = {};
        for (int lane = 0; lane < lanes; lane++) v[lane] = w[(long)(column + lane) * depth + k];
        store(out + ((long)k * width + n) * W, v);
      }
    }
  });
}

}  // namespace native
