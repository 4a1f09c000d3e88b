// Dropout whose mask is a function of a key for each row: see KeyedDropout in model_utils/layers.py.
#pragma once
#include <cstdint>

namespace native {

// out (steps, rows, width) = x where keys[row] * multipliers[column] >= threshold, the product modulo 2^32 read as signed,
// and 0 elsewhere, times `scale`.
void keyed_dropout(const float *x, long steps, int rows, int width, const int32_t *keys, const int32_t *multipliers,
                   int32_t threshold, float scale, float *out);

}  // namespace native
