// Vectors of as many floats as the processor has lanes, written with the vector extensions of GCC and clang: one source
// for AVX-512, AVX2, SSE and NEON. NaN stays NaN in every function here.
#pragma once
#include <cstdint>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace native {

#if defined(__AVX512F__)
constexpr int W = 16;  // floats of a vector
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float Vec __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(W * 4), aligned(4), may_alias));

#define NATIVE_INLINE static inline __attribute__((always_inline))

NATIVE_INLINE Vec load(const float *p) { return *(const Vec *)p; }
NATIVE_INLINE void store(float *p, Vec v) { *(Vec *)p = v; }
NATIVE_INLINE Vec splat(float value) { return Vec{} + value; }

// The first n lanes only; the others are 0, and memory behind them is neither read nor written.
NATIVE_INLINE Vec load(const float *p, int n) {
  if (n >= W) return load(p);
  Vec v = {};
  for (int k = 0; k < n; k++) v[k] = p[k];
  return v;
}
NATIVE_INLINE void store(float *p, Vec v, int n) {
  if (n >= W) return store(p, v);
  for (int k = 0; k < n; k++) p[k] = v[k];
}

// As store, past the caches where that can be: for what is read again only when they have long been overwritten. The next
// atomic operation that gives the result to another thread orders these stores too.
NATIVE_INLINE void stream(float *p, Vec v, int n) {
  if (n < W || (uintptr_t)p % sizeof(Vec)) return store(p, v, n);
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX__)
  _mm256_stream_ps(p, (__m256)v);
#else
  store(p, v);
#endif
}

NATIVE_INLINE Vec at_most(Vec x, float limit) { return x > limit ? splat(limit) : x; }
NATIVE_INLINE Vec at_least(Vec x, float limit) { return x < limit ? splat(limit) : x; }

NATIVE_INLINE Vec sqrt_of(Vec x) {
  for (int k = 0; k < W; k++) x[k] = __builtin_sqrtf(x[k]);
  return x;
}

// 2^x for |x| <= 126: the integer part goes into the exponent, the rest, in [-0.5, 0.5], into the Taylor polynomial of
// degree 6, whose error is below 1.3e-7 of the value.
NATIVE_INLINE Vec exp2_of(Vec x) {
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  Vec shifted = x + round;
  Vec f = x - (shifted - round);
  Vec p = f * 1.5403530e-4f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  return (Vec)((IntVec)p + ((IntVec)shifted << 23));
}

constexpr float LOG2_E = 1.44269504088896f;

// e^x, 1.2e-38 instead of less
NATIVE_INLINE Vec exp_of(Vec x) { return exp2_of(at_most(at_least(x * LOG2_E, -126.0f), 126.0f)); }

NATIVE_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp_of(-x)); }

// (1 - e^-2x) / (1 + e^-2x); where x is near 0 the error is absolute, below 1e-7
NATIVE_INLINE Vec tanh_of(Vec x) {
  Vec e = exp_of(-2.0f * x);
  return (1.0f - e) / (1.0f + e);
}

}  // namespace native
