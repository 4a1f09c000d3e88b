// The update of Adam (Kingma & Ba 2015) with clipping by the global norm, for all weights of a network at once.
#pragma once
#include <vector>

namespace native {

// One array of weights with its two moments, which are changed in place, and its gradient.
struct Weights {
  long size;
  float *values, *first, *second;
  const float *gradient;
};

// `beta1_power` and `beta2_power` are those of this step; `clip` is the largest norm, 0 for none.
struct AdamSettings {
  float rate, beta1, beta2, beta1_power, beta2_power, epsilon, clip;
};

// Returns the norm of the gradient before clipping.
double adam_update(const std::vector<Weights> &weights, const AdamSettings &settings);

}  // namespace native
