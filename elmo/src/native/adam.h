// The update of Adam (Kingma & Ba 2015) or Adagrad (Duchi et al. 2011) with clipping by the global norm and a moving average
// of the weights, for all weights of a network at once.
#pragma once
#include <cstdint>
#include <vector>

namespace native {

// One array of weights with its two moments and its average (null without one), which are changed in place, its gradient,
// and a factor of its rate. Adagrad has one moment, the sum of squares, and no average.
struct Weights {
  long size;
  float *values, *first, *second, *average;
  const float *gradient;
  float factor;
};

// `clip` is the largest norm, 0 for none; the average has a decay (0: there is none) and a step between two updates.
struct AdamSettings {
  float beta1, beta2, epsilon, clip, decay, every;
};

// What a step counts on: the number of steps, the powers of beta1 and beta2 (null for Adagrad alone), and the steps that
// the average knows of.
struct AdamCounts {
  int32_t *steps;
  float *beta1_power, *beta2_power, *averaged;
};

// Step number n has the rate rates[n], or the last one. Returns the norm of the gradient before clipping.
double adam_update(const std::vector<Weights> &weights, const AdamSettings &settings, const float *rates, long count,
                   const AdamCounts &counts);

}  // namespace native
