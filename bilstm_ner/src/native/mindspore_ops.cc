// The kernels as MindSpore custom operators of the kind "aot": see ops.Custom in its documentation.
//
// Each takes the pointers of its inputs and then of its outputs, with their shapes, and returns 0, or 1 where the number
// of pointers is wrong. NameInferShape gives the shapes of the outputs; -1 is a size that only the running graph knows.
#include <cstdint>
#include <vector>

#include "crf.h"
#include "lstm.h"

using namespace native;

typedef std::vector<std::vector<int64_t>> Shapes;

namespace {

LSTMShape lstm_shape(int64_t **shapes, int directions) {  // of x (T, B, I), lengths, weight_ih, weight_hh (4H, H) ...
  return {(int)shapes[0][0], (int)shapes[0][1], (int)shapes[0][2], (int)shapes[3][1], directions};
}

// x, lengths, weight_ih, weight_hh, bias of each direction -> y, and saved in training
template <int D, bool TRAINING>
int run_lstm(int count, void **p, int64_t **shapes) {
  if (count != 2 + 3 * D + 1 + TRAINING) return 1;
  LSTMWeights weights;
  float **inputs = (float **)p + 2, **outputs = inputs + 3 * D;
  for (int d = 0; d < D; d++) {
    weights.ih[d] = inputs[3 * d], weights.hh[d] = inputs[3 * d + 1], weights.bias[d] = inputs[3 * d + 2];
  }
  lstm_forward(lstm_shape(shapes, D), (float *)p[0], (int *)p[1], weights, outputs[0],
               TRAINING ? outputs[1] : nullptr);
  return 0;
}

template <int D, bool TRAINING>
Shapes lstm_outputs(int64_t **shapes) {
  const int64_t steps = shapes[0][0], batch = shapes[0][1], units = shapes[3][1];
  Shapes result = {{steps, batch, D * units}};
  if (TRAINING) result.push_back({steps < 0 || batch < 0 ? -1 : lstm_saved_size(lstm_shape(shapes, D))});
  return result;
}

// x, lengths, weight_ih, weight_hh of each direction, y, saved, dy -> dx where WITH_DX, those of the weights and biases
template <int D, bool WITH_DX>
int run_lstm_gradient(int count, void **p, int64_t **shapes) {
  if (count != 2 + 2 * D + 3 + WITH_DX + 3 * D) return 1;
  LSTMWeights weights;
  LSTMGradients gradients;
  float **inputs = (float **)p + 2, **rest = inputs + 2 * D, **outputs = rest + 3;
  for (int d = 0; d < D; d++) {
    weights.ih[d] = inputs[2 * d], weights.hh[d] = inputs[2 * d + 1];
    float **mine = outputs + WITH_DX + 3 * d;
    gradients.ih[d] = mine[0], gradients.hh[d] = mine[1], gradients.bias[d] = mine[2];
  }
  lstm_backward(lstm_shape(shapes, D), (float *)p[0], (int *)p[1], weights, rest[0], rest[1], rest[2],
                WITH_DX ? outputs[0] : nullptr, gradients);
  return 0;
}

template <int D, bool WITH_DX>
Shapes lstm_gradient_outputs(int64_t **shapes) {
  const int64_t inputs = shapes[0][2], units = shapes[3][1];
  Shapes result;
  if (WITH_DX) result.push_back({shapes[0][0], shapes[0][1], inputs});
  for (int d = 0; d < D; d++) {
    result.push_back({4 * units, inputs});
    result.push_back({4 * units, units});
    result.push_back({4 * units});
  }
  return result;
}

CRF crf_of(void **p, int64_t **shapes) {
  return {(int)shapes[0][0], (int)shapes[0][1], (int)shapes[0][2], (float *)p[0], (float *)p[1],
          (float *)p[2],     (float *)p[3],     (int32_t *)p[4]};
}

}  // namespace

#define OPERATOR(name, call, outputs)                                                            \
  int name(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) { return call; } \
  Shapes name##InferShape(int *, int64_t **shapes, void *) { return outputs; }

extern "C" {

OPERATOR(LSTM1, (run_lstm<1, true>(count, p, shapes)), (lstm_outputs<1, true>(shapes)))
OPERATOR(LSTM2, (run_lstm<2, true>(count, p, shapes)), (lstm_outputs<2, true>(shapes)))
// the same for layers that read data and want no gradient of it: MindSpore may tell operators, and so their gradients,
// apart by their names alone
OPERATOR(LSTMOfData1, (run_lstm<1, true>(count, p, shapes)), (lstm_outputs<1, true>(shapes)))
OPERATOR(LSTMOfData2, (run_lstm<2, true>(count, p, shapes)), (lstm_outputs<2, true>(shapes)))
OPERATOR(LSTMGradient1, (run_lstm_gradient<1, true>(count, p, shapes)), (lstm_gradient_outputs<1, true>(shapes)))
OPERATOR(LSTMGradient2, (run_lstm_gradient<2, true>(count, p, shapes)), (lstm_gradient_outputs<2, true>(shapes)))
OPERATOR(LSTMWeightGradient1, (run_lstm_gradient<1, false>(count, p, shapes)), (lstm_gradient_outputs<1, false>(shapes)))
OPERATOR(LSTMWeightGradient2, (run_lstm_gradient<2, false>(count, p, shapes)), (lstm_gradient_outputs<2, false>(shapes)))

// one output is a vector of its sizes, not of shapes
int LSTMInference1(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  return run_lstm<1, false>(count, p, shapes);
}
std::vector<int64_t> LSTMInference1InferShape(int *, int64_t **shapes, void *) {
  return lstm_outputs<1, false>(shapes)[0];
}
int LSTMInference2(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  return run_lstm<2, false>(count, p, shapes);
}
std::vector<int64_t> LSTMInference2InferShape(int *, int64_t **shapes, void *) {
  return lstm_outputs<2, false>(shapes)[0];
}

// emissions, transitions, start, end, lengths, gold tags -> loss (1,) and the gradients of the first four
int CRFLoss(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  if (count != 11) return 1;
  *(float *)p[6] = (float)crf_loss(crf_of(p, shapes), (int32_t *)p[5],
                                   {(float *)p[7], (float *)p[8], (float *)p[9], (float *)p[10]});
  return 0;
}
Shapes CRFLossInferShape(int *, int64_t **shapes, void *) {
  const int64_t tags = shapes[0][2];
  return {{1}, {shapes[0][0], shapes[0][1], tags}, {tags, tags}, {tags}, {tags}};
}

// emissions, transitions, start, end, lengths -> paths (T, B) and scores (B,)
int CRFViterbi(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  if (count != 7) return 1;
  crf_viterbi(crf_of(p, shapes), (int32_t *)p[5], (float *)p[6]);
  return 0;
}
Shapes CRFViterbiInferShape(int *, int64_t **shapes, void *) {
  return {{shapes[0][0], shapes[0][1]}, {shapes[0][1]}};
}

}  // extern "C"
