// Recurrent layers over sequences of different lengths, forward and backward: LSTM, projected LSTM and GRU.
//
// In formulas T are steps, B rows, I inputs, H units, P outputs of a direction (H unless there is a projection), D
// directions, G gates of H numbers each.
//
// LSTM (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000), gates in the order i, f, g, o:
//     i, f, o = sigmoid(W_ih x + W_hh h + b), g = tanh(the same), c' = f c + i g, h' = o tanh(c')
// ProjectedLSTM (Sak et al. 2014, section 2), weights transposed and gates in the order i, g, f, o, as TensorFlow has them:
//     the same with c' = clip(f c + i g), h' = clip((o tanh(c')) W_p)
// GRU with the reset gate behind the product, as in cuDNN and PyTorch (Cho et al. 2014 has it before), gates r, z, n:
//     r, z = sigmoid(W_ih x + W_hh h + b), a = W_hn h + b_a, n = tanh(W_in x + b_n + r a), h' = n + z (h - n)
#pragma once

namespace native {

enum class Kind { LSTM, ProjectedLSTM, GRU };

struct RecurrentLayer {
  Kind kind;
  int steps, batch, inputs, units, outputs, directions;
  const float *x;      // (T, B, I); with tokens (U, I)
  const int *lengths;  // (B,) steps of each row; y is 0 behind them
  const int *tokens;   // (T, B) the row of x that each step of an LSTM reads; null where x has one for each
  int table_rows;      // U
  // Of each direction: (G H, I), (G H, P), transposed with a projection; biases (4 H,), those of a GRU for a, r, z, n.
  const float *weight_ih[2], *weight_hh[2], *bias[2];
  const float *projection, *clips;           // (H, P); limits of cell and output (2,), 0 for none
  const float *first_h, *first_c;            // (B, P) and (B, H) before the first step; null for zeros
  float *y;                                  // (T, B, D * P)
  float *saved;                              // see saved_width; null for inference
  float *last_h = nullptr, *last_c = nullptr;  // (B, P) and (B, H) after the last step of each row, where wanted

  // Floats that are kept of each direction, step and row: the gates, and of an LSTM the cell.
  int saved_width() const { return (kind == Kind::GRU ? 4 : 5) * units; }
};

// Null where they are not wanted; in the shapes of what they belong to.
struct RecurrentGradients {
  const float *dy;  // (T, B, D * P)
  float *dx, *first_h;
  float *weight_ih[2], *weight_hh[2], *bias[2], *projection;
};

// Fills y, and what else of the layer's results is not null.
void recurrent_forward(const RecurrentLayer &layer);

// Fills the gradients of a layer whose forward pass has filled y and `saved`, which stay as they are: graphs may share
// one forward pass among several backward passes.
void recurrent_backward(const RecurrentLayer &layer, const RecurrentGradients &gradients);

}  // namespace native
