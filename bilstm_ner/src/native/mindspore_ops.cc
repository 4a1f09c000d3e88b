// The kernels as MindSpore custom operators of the kind "aot": see ops.Custom in its documentation.
//
// Each takes the pointers of its inputs and then of its outputs, with their shapes, and returns 0, or 1 where the number
// of pointers is wrong, or what they hold does not fit together. NameInferShape gives the shapes of the outputs; -1 is a size that only the running graph knows.
#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "adam.h"
#include "char_convolution.h"
#include "crf.h"
#include "dropout.h"
#include "recurrent.h"
#include "softmax_loss.h"

using namespace native;

typedef std::vector<int64_t> Sizes;
typedef std::vector<Sizes> Shapes;

namespace {

// An operator of a recurrent layer. Inputs: x, lengths, WITH_TOKENS tokens, state (a GRU of one direction: h; projected:
// h, c), weight_ih, weight_hh and bias (a GRU: bias_ih, bias_hh) of each direction, projected: projection and clips. Outputs: y, projected:
// the last h and c, and in training `saved`. The gradient takes the same inputs, y, saved and dy and gives those of x
// (where WITH_DX), of the state of a GRU, of the weights and biases, and of the projection.
template <Kind KIND, int D, bool WITH_DX, bool WITH_TOKENS = false>
struct Recurrent {
  static constexpr bool PROJECTED = KIND == Kind::ProjectedLSTM;
  static constexpr int STATES = PROJECTED ? 2 : KIND == Kind::GRU && D == 1;
  static constexpr int EACH = KIND == Kind::GRU ? 4 : 3;  // weights and biases of a direction
  static constexpr int WEIGHTS = 2 + WITH_TOKENS + STATES, INPUTS = WEIGHTS + EACH * D + 2 * PROJECTED, OUTPUTS = PROJECTED ? 3 : 1;
  static constexpr int STATE_GRADIENTS = KIND == Kind::GRU && D == 1;

  static RecurrentLayer layer_of(void **p, int64_t **shapes) {
    float **in = (float **)p, **weights = in + WEIGHTS, **projection = weights + EACH * D;
    const int64_t *matrix = PROJECTED ? shapes[WEIGHTS + EACH * D] : shapes[WEIGHTS + 1];  // (H, P) or (G H, H)
    RecurrentLayer layer{};
    layer.kind = KIND, layer.directions = D;
    const int64_t *steps_and_batch = shapes[WITH_TOKENS ? 2 : 0];
    layer.steps = (int)steps_and_batch[0], layer.batch = (int)steps_and_batch[1];
    layer.inputs = (int)shapes[0][WITH_TOKENS ? 1 : 2];
    if (WITH_TOKENS) layer.tokens = (int *)p[2], layer.table_rows = (int)shapes[0][0];
    layer.units = (int)(PROJECTED ? matrix[0] : matrix[1]), layer.outputs = (int)matrix[1];
    layer.x = in[0], layer.lengths = (int *)p[1];
    layer.first_h = STATES > 0 ? in[2] : nullptr, layer.first_c = STATES > 1 ? in[3] : nullptr;
    for (int d = 0; d < D; d++, weights += EACH)
      layer.weight_ih[d] = weights[0], layer.weight_hh[d] = weights[1], layer.bias[d] = weights[2];
    if (PROJECTED) layer.projection = projection[0], layer.clips = projection[1];
    return layer;
  }

  // The kernel's bias of a GRU, that of W_hn h and then those of r, z and n: made of bias_ih and bias_hh.
  static std::vector<float> join_biases(RecurrentLayer &layer, void **p) {
    const int units = layer.units;
    std::vector<float> joined(EACH == 4 ? D * 4 * units : 0);
    for (int d = 0; d < D && EACH == 4; d++) {
      const float *ih = (float *)p[WEIGHTS + 4 * d + 2], *hh = (float *)p[WEIGHTS + 4 * d + 3];
      float *bias = &joined[d * 4 * units];
      layer.bias[d] = bias;
      for (int k = 0; k < units; k++) bias[k] = hh[2 * units + k];
      for (int k = 0; k < 3 * units; k++) bias[units + k] = k < 2 * units ? ih[k] + hh[k] : ih[k];
    }
    return joined;
  }

  template <bool TRAINING>
  static int run(int count, void **p, int64_t **shapes) {
    if (count != INPUTS + OUTPUTS + TRAINING) return 1;
    RecurrentLayer layer = layer_of(p, shapes);
    const std::vector<float> biases = join_biases(layer, p);
    float **out = (float **)p + INPUTS;
    layer.y = out[0];
    for (long k = 0; WITH_TOKENS && k < (long)layer.steps * layer.batch; k++)
      if ((unsigned)layer.tokens[k] >= (unsigned)layer.table_rows) return 1;
    if (PROJECTED) layer.last_h = out[1], layer.last_c = out[2];
    if (TRAINING) layer.saved = out[OUTPUTS];
    recurrent_forward(layer);
    return 0;
  }

  template <bool TRAINING>
  static auto outputs(int64_t **shapes) {
    static float none;
    static void *const nothing[INPUTS] = {&none};
    RecurrentLayer layer = layer_of((void **)nothing, shapes);
    layer.projection = PROJECTED ? &none : nullptr;
    const int64_t steps = layer.steps, batch = layer.batch;
    Shapes result = {{steps, batch, D * layer.outputs}};
    if (PROJECTED) result.push_back({batch, layer.outputs}), result.push_back({batch, layer.units});
    if (TRAINING) result.push_back({steps < 0 || batch < 0 ? -1 : D * steps * batch * layer.saved_width()});
    if constexpr (TRAINING || PROJECTED)
      return result;
    else
      return result[0];  // one output is a vector of its sizes, not of shapes
  }

  static int run_gradient(int count, void **p, int64_t **shapes) {
    if (count != INPUTS + 3 + WITH_DX + STATE_GRADIENTS + EACH * D + PROJECTED) return 1;
    RecurrentLayer layer = layer_of(p, shapes);
    std::vector<float> biases = join_biases(layer, p);
    float **rest = (float **)p + INPUTS, **out = rest + 3;
    layer.y = rest[0], layer.saved = rest[1];
    RecurrentGradients gradients{};
    gradients.dy = rest[2];
    if (WITH_DX) gradients.dx = *out++;
    if (STATE_GRADIENTS) gradients.first_h = *out++;
    std::vector<float> of_biases(biases.size());
    float **weights = out;
    for (int d = 0; d < D; d++, out += EACH) {
      gradients.weight_ih[d] = out[0], gradients.weight_hh[d] = out[1];
      gradients.bias[d] = EACH == 4 ? &of_biases[d * 4 * layer.units] : out[2];
    }
    if (PROJECTED) gradients.projection = *out;
    recurrent_backward(layer, gradients);
    for (int d = 0; d < D && EACH == 4; d++) {  // what r and z get goes to both
      const float *joined = gradients.bias[d];
      std::copy_n(joined + layer.units, 3 * layer.units, weights[4 * d + 2]);
      std::copy_n(joined + layer.units, 2 * layer.units, weights[4 * d + 3]);
      std::copy_n(joined, layer.units, weights[4 * d + 3] + 2 * layer.units);
    }
    return 0;
  }

  static Shapes gradient_outputs(int64_t **shapes) {
    auto sizes = [&](int k, int rank) { return Sizes(shapes[k], shapes[k] + rank); };
    Shapes result;
    if (WITH_DX) result.push_back(sizes(0, WITH_TOKENS ? 2 : 3));
    if (STATE_GRADIENTS) result.push_back(sizes(2, 2));
    for (int k = WEIGHTS; k < WEIGHTS + EACH * D; k++) result.push_back(sizes(k, (k - WEIGHTS) % EACH < 2 ? 2 : 1));
    if (PROJECTED) result.push_back(sizes(WEIGHTS + EACH * D, 2));
    return result;
  }
};

CRF crf_of(void **p, int64_t **shapes) {
  return {(int)shapes[0][0], (int)shapes[0][1], (int)shapes[0][2], (float *)p[0], (float *)p[1],
          (float *)p[2],     (float *)p[3],     (int32_t *)p[4]};
}

long size_of(int rank, const int64_t *shape) {
  long size = 1;
  while (rank--) size *= *shape++;
  return size;
}

native::CharConvolution char_layer_of(void **p, int64_t **shapes) {
  return {(int)shapes[0][0], (int)shapes[0][1], (int)shapes[1][0], (int)shapes[1][1], (int)shapes[3][0],
          (int)shapes[4][0], (int *)p[0],       (float *)p[1],     (float *)p[2],     (float *)p[3],
          (int *)p[4]};
}

}  // namespace

#define OPERATOR(name, call, outputs)                                                                    \
  int name(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) { return call; } \
  auto name##InferShape(int *, int64_t **shapes, void *) { return outputs; }
#define RECURRENT(name, ...)                                                                           \
  OPERATOR(name, (Recurrent<__VA_ARGS__>::run<true>(count, p, shapes)),                                \
           (Recurrent<__VA_ARGS__>::outputs<true>(shapes)))                                            \
  OPERATOR(name##Inference, (Recurrent<__VA_ARGS__>::run<false>(count, p, shapes)),                    \
           (Recurrent<__VA_ARGS__>::outputs<false>(shapes)))                                           \
  OPERATOR(name##Gradient, (Recurrent<__VA_ARGS__>::run_gradient(count, p, shapes)),                   \
           (Recurrent<__VA_ARGS__>::gradient_outputs(shapes)))

extern "C" {

RECURRENT(LSTM1, Kind::LSTM, 1, true)
RECURRENT(LSTM2, Kind::LSTM, 2, true)
// Layers that read data and want no gradient of it: MindSpore may tell operators, and so their gradients, apart by name.
RECURRENT(LSTMOfData1, Kind::LSTM, 1, false)
RECURRENT(LSTMOfData2, Kind::LSTM, 2, false)
// Layers whose steps read rows of a table, such as the vectors of the distinct words of a batch.
RECURRENT(LSTMOfTokens1, Kind::LSTM, 1, true, true)
RECURRENT(LSTMOfTokens2, Kind::LSTM, 2, true, true)
RECURRENT(LSTMOfDataTokens1, Kind::LSTM, 1, false, true)
RECURRENT(LSTMOfDataTokens2, Kind::LSTM, 2, false, true)
RECURRENT(GRU1, Kind::GRU, 1, true)
RECURRENT(GRU2, Kind::GRU, 2, true)
RECURRENT(ProjectedLSTM, Kind::ProjectedLSTM, 1, true)

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

// hidden, weight, bias, targets, shares, smoothing (1,), candidates (1,; 0: all) -> loss (1,), gradients of the first three
int SoftmaxLoss(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  if (count != 11) return 1;
  native::SoftmaxLoss layer{(int)shapes[0][0], (int)shapes[0][1], (int)shapes[1][0], *(int *)p[6],   (float *)p[0],
                            (float *)p[1],     (float *)p[2],     (int *)p[3],       (float *)p[4], *(float *)p[5]};
  if (!layer.candidates) layer.candidates = layer.classes;
  for (int n = 0; n < layer.rows; n++)
    if (layer.shares[n] != 0 && (unsigned)layer.targets[n] >= (unsigned)layer.classes) return 1;
  *(float *)p[7] = (float)softmax_loss(layer, {(float *)p[8], (float *)p[9], (float *)p[10]});
  return 0;
}
Shapes SoftmaxLossInferShape(int *, int64_t **shapes, void *) {
  return {{1}, {shapes[0][0], shapes[0][1]}, {shapes[1][0], shapes[1][1]}, {shapes[1][0]}};
}

// the settings of adam.h (6,) and the rates, then what is changed in place: the counts of adam.h, all weights, all first
// moments, all second moments and all averages, if there are any; at last all gradients -> norm (1,)
int Adam(int count, void **p, int *ranks, int64_t **shapes, const char **, void *, void *) {
  const float *s = (float *)p[0];
  const bool averaged = s[4] > 0;
  const int first = 5 + averaged, arrays = (count - first - 1) / (4 + averaged);
  if (count != first + 1 + arrays * (4 + averaged)) return 1;
  float **in = (float **)p + first;
  std::vector<Weights> weights;
  for (int k = 0; k < arrays; k++) {
    weights.push_back({size_of(ranks[first + k], shapes[first + k]), in[k], in[arrays + k], in[2 * arrays + k],
                       averaged ? in[3 * arrays + k] : nullptr, in[(3 + averaged) * arrays + k], 1});
  }
  const AdamCounts counts{(int32_t *)p[2], (float *)p[3], (float *)p[4], averaged ? (float *)p[5] : nullptr};
  const long rates = ranks[1] ? shapes[1][0] : 1;
  *(float *)p[count - 1] = (float)adam_update(weights, {s[0], s[1], s[2], s[3], s[4], s[5]}, (float *)p[1], rates, counts);
  return 0;
}
Sizes AdamInferShape(int *, int64_t **, void *) { return {1}; }

// beta1, beta2, epsilon, the largest norm, the factor of the rate of a softmax, whether Adam updates the others, all in one
// (6,), the rates, and the classes (R,) int32 whose rows Adagrad updates. Then what is changed in place: the number of steps
// and, with Adam, the powers; weight (V, P) and bias (V,) of the softmax and their sums of squares; all weights and all of
// each of their moments. At last the gradients of the rows, (R, P) and (R,), and all others -> norm (1,)
int SampledUpdate(int count, void **p, int *ranks, int64_t **shapes, const char **, void *, void *) {
  const float *s = (float *)p[0];
  const bool adam = s[5] > 0;
  const int first = adam ? 10 : 8, arrays = (count - first - 3) / (3 + adam);
  if (count != first + 3 + arrays * (3 + adam)) return 1;
  float **softmax = (float **)p + first - 4, **in = (float **)p + first, **gradients = in + (2 + adam) * arrays;
  std::vector<Weights> weights;
  for (int k = 0; k < arrays; k++)
    weights.push_back({size_of(ranks[first + k], shapes[first + k]), in[k], in[arrays + k],
                       adam ? in[2 * arrays + k] : nullptr, nullptr, gradients[2 + k], 1});
  const long width = shapes[first - 4][1];
  for (long row = 0; row < shapes[2][0]; row++) {
    const long at = ((int *)p[2])[row];
    if (at < 0 || at >= shapes[first - 4][0]) return 1;
    weights.push_back({width, softmax[0] + at * width, softmax[2] + at * width, nullptr, nullptr,
                       gradients[0] + row * width, s[4]});
    weights.push_back({1, softmax[1] + at, softmax[3] + at, nullptr, nullptr, gradients[1] + row, s[4]});
  }
  const AdamCounts counts{(int32_t *)p[3], adam ? (float *)p[4] : nullptr, adam ? (float *)p[5] : nullptr, nullptr};
  *(float *)p[count - 1] =
      (float)adam_update(weights, {s[0], s[1], s[2], s[3], 0, 1}, (float *)p[1], shapes[1][0], counts);
  return 0;
}
Sizes SampledUpdateInferShape(int *, int64_t **, void *) { return {1}; }

// char_ids, embedding, weights, bias, sizes -> best, place (int32)
int CharConvolution(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  if (count != 7) return 1;
  const native::CharConvolution layer = char_layer_of(p, shapes);
  for (long k = 0; k < (long)layer.words * layer.length; k++)
    if ((unsigned)layer.char_ids[k] >= (unsigned)layer.characters) return 1;
  char_convolution(layer, (float *)p[5], (int *)p[6]);
  return 0;
}
Shapes CharConvolutionInferShape(int *, int64_t **shapes, void *) {
  const Sizes both = {shapes[0][0], shapes[3][0]};
  return {both, both};
}

// the same inputs, place, the gradient of best -> gradients of embedding, weights, bias
int CharConvolutionGradient(int count, void **p, int *, int64_t **shapes, const char **, void *, void *) {
  if (count != 10) return 1;
  float **out = (float **)p + 7;
  char_convolution_gradient(char_layer_of(p, shapes), (int *)p[5], (float *)p[6], out[0], out[1], out[2]);
  return 0;
}
Shapes CharConvolutionGradientInferShape(int *, int64_t **shapes, void *) {
  return {{shapes[1][0], shapes[1][1]}, {shapes[2][0]}, {shapes[3][0]}};
}

// x (..., B, E), keys (B,), multipliers (E,), threshold (1,), all three int32, and the scale (1,) -> x with dropout
int KeyedDropout(int count, void **p, int *ranks, int64_t **shapes, const char **, void *, void *) {
  if (count != 6) return 1;
  const int64_t *sizes = shapes[0], last = ranks[0] - 1;
  if (shapes[1][0] != sizes[last - 1] || shapes[2][0] != sizes[last]) return 1;
  keyed_dropout((float *)p[0], last == 2 ? sizes[0] : 1, (int)sizes[last - 1], (int)sizes[last], (int32_t *)p[1],
                (int32_t *)p[2], *(int32_t *)p[3], *(float *)p[4], (float *)p[5]);
  return 0;
}
Sizes KeyedDropoutInferShape(int *ranks, int64_t **shapes, void *) { return Sizes(shapes[0], shapes[0] + ranks[0]); }

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
