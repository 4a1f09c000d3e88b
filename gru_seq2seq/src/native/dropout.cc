#include "dropout.h"

#include <algorithm>

#include "simd.h"
#include "threads.h"

namespace native {

void keyed_dropout(const float *x, long steps, int rows, int width, const int32_t *keys, const int32_t *multipliers,
                   int32_t threshold, float scale, float *out) {
  const long total = steps * rows, part = std::max(1, (1 << 14) / std::max(1, width));  // rows that a thread takes at once
  parallel((int)((total + part - 1) / part), [&](int k) {
    for (long row = k * part; row < std::min(total, (k + 1) * part); row++) {
      const uint32_t key = (uint32_t)keys[row % rows];
      const float *from = x + row * width;
      float *to = out + row * width;
      for (int i = 0; i < width; i++)
        to[i] = from[i] * ((int32_t)(key * (uint32_t)multipliers[i]) >= threshold ? scale : 0.0f);
    }
  });
}

}  // namespace native
