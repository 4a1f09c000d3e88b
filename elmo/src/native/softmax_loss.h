// Cross entropy of a linear layer with many classes, and its gradients, without ever keeping the logits of all rows.
#pragma once

namespace native {

// With N rows, E inputs, V classes and C candidates, the first of the classes, the loss of row n is
//     ln(sum over the candidates c of e^z_c) - (1 - smoothing) z_target - smoothing * mean over c of z_c, z = W h_n + b
// A target behind the candidates is one more term of the sum: the softmax over a sample of Jean et al. 2015, section 3.
// Label smoothing: Szegedy et al. 2016, section 7.
struct SoftmaxLoss {
  int rows, inputs, classes, candidates;
  const float *hidden, *weight, *bias;  // (N, E), (V, E), (V,)
  const int *targets;                   // (N,)
  const float *shares;                  // (N,) of the rows in the loss; rows without any are left out
  float smoothing;
};

struct SoftmaxLossGradients {
  float *hidden, *weight, *bias;
};

// Returns the sum of the losses times their shares, and fills the gradients.
double softmax_loss(const SoftmaxLoss &layer, const SoftmaxLossGradients &gradients);

}  // namespace native
