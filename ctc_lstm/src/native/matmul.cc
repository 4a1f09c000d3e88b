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

// Keeps GCC from loading a value anew wherever it is used, which would take more loads than a core has time for.
NATIVE_INLINE Vec in_register(Vec v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
  return v;
}

template <int M, int N>
NATIVE_INLINE void tile(const float *const *a, long a_stride, const float *b, long depth, int columns,
                        const float *const *start, float *const *out, int first) {
  Vec sums[M][N] = {};
  const float *rows[M];
  for (int m = 0; m < M; m++) rows[m] = a[m];
#pragma GCC unroll 4
  for (long k = 0; k < depth; k++, b += N * W) {
    Vec right[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) right[n] = in_register(load(b + n * W));
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      float left = rows[m][k * a_stride];
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

void PackedMatrix::pack(const float *const *rows, int count, int width, bool transpose) {
  depth = transpose ? width : count;
  columns = transpose ? count : width;
  float *data = data_.get((long)vectors(columns) * depth * W);
  if (!transpose) {
    for (int k = 0; k < depth; k++)
      for_panels(columns, [&](int first, int panel) {
        float *out = data + ((long)first * depth + (long)k * panel) * W;
        for (int n = 0, at = first * W; n < panel; n++, at += W) store(out + n * W, load(rows[k] + at, columns - at));
      });
    return;
  }
  for_panels(columns, [&](int first, int panel) {
    float *out = data + (long)first * depth * W;
    for (int n = 0, at = first * W; n < panel; n++, at += W)
      for (int k = 0; k < depth; k++) {
        Vec v = {};
        for (int lane = 0; lane < std::min(W, columns - at); lane++) v[lane] = rows[at + lane][k];
        store(out + ((long)k * panel + n) * W, v);
      }
  });
}

}  // namespace native
