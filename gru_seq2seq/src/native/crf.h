// A linear-chain CRF over sequences of different lengths: loss with all its gradients, and the best paths.
#pragma once
#include <cstdint>

namespace native {

// Sizes: T steps, B rows, K tags. emissions (T, B, K), transitions (K, K) from row to column, start and end (K,).
struct CRF {
  int steps, batch, tags;
  const float *emissions, *transitions, *start, *end;
  const int32_t *lengths;  // (B,)
};

// Gradients of a loss, in the shapes of what they belong to.
struct CRFGradients {
  float *emissions, *transitions, *start, *end;
};

// The negative log likelihood of the gold tags (T, B), summed over the rows, and its gradients (Lafferty et al. 2001).
double crf_loss(const CRF &crf, const int32_t *gold, const CRFGradients &gradients);

// The best path of each row, (T, B), 0 behind its end, and its score (B,): Viterbi 1967.
void crf_viterbi(const CRF &crf, int32_t *paths, float *scores);

}  // namespace native
