// One (bidirectional) LSTM layer over sequences of different lengths, forward and backward.
#pragma once

namespace native {

// Sizes: T steps, B rows, I inputs, H units, D directions (1 or 2). Gates in the order i, f, g, o.
struct LSTMShape {
  int steps, batch, inputs, units, directions;
};

// Pointers of each direction: weight_ih (4H, I), weight_hh (4H, H), bias (4H,).
struct LSTMWeights {
  const float *ih[2], *hh[2], *bias[2];
};
struct LSTMGradients {
  float *ih[2], *hh[2], *bias[2];
};

// Floats that a forward pass keeps for its backward pass: gates and cell state of every step and row.
inline long lstm_saved_size(const LSTMShape &s) { return (long)s.directions * s.steps * s.batch * 5 * s.units; }

// y (T, B, D * H) = LSTM(x (T, B, I)), each row up to its own length, 0 behind it; `saved` is null for inference.
//
//     i, f, o = sigmoid(W_ih x + W_hh h + b), g = tanh(the same), c' = f c + i g, h' = o tanh(c')
//
// Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.
void lstm_forward(const LSTMShape &shape, const float *x, const int *lengths, const LSTMWeights &weights, float *y,
                  float *saved);

// The gradients of x, unless dx is null, and of the weights, given dy (T, B, D * H).
void lstm_backward(const LSTMShape &shape, const float *x, const int *lengths, const LSTMWeights &weights,
                   const float *y, const float *saved, const float *dy, float *dx, const LSTMGradients &gradients);

}  // namespace native
