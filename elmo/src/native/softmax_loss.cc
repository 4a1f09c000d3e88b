#include "softmax_loss.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <vector>

#include "matmul.h"
#include "threads.h"

namespace native {
namespace {

constexpr int CHUNK = 256;    // rows whose logits are kept at a time
constexpr int ROWS = 32;      // of them that a thread takes at once
constexpr int CLASSES = 256;  // that a thread takes at once

double sum_of(Vec v) {
  double sum = 0;
  for (int lane = 0; lane < W; lane++) sum += v[lane];
  return sum;
}

// Turns a row's logits of the candidates into the gradient of its loss times `share`, and `own`, the logit of a target
// that is none of them (else null), too; returns the loss. Reads whole vectors: what is behind the logits changes.
double loss_of_row(float *logits, int count, int target, float *own, float share, float smoothing) {
  for (int k = count; k % W; k++) logits[k] = -std::numeric_limits<float>::infinity();
  Vec highest = splat(own ? *own : logits[0]), total = {}, sum = {};
  for (int k = 0; k < count; k += W) {
    const Vec z = load(logits + k);
    highest = z > highest ? z : highest;
    if (smoothing > 0) total += load(logits + k, count - k);
  }
  float most = highest[0];
  for (int lane = 1; lane < W; lane++) most = std::max(most, highest[lane]);
  const double wanted = own ? *own : logits[target];
  for (int k = 0; k < count; k += W) {
    const Vec e = exp_of(load(logits + k) - most);
    store(logits + k, e);
    sum += load(logits + k, count - k);
  }
  const double all = sum_of(sum) + (own ? std::exp(wanted - most) : 0);
  const float scale = (float)(share / all), spread = share * smoothing / count;
  for (int k = 0; k < count; k += W) store(logits + k, load(logits + k) * scale - spread);
  if (own) *own = share * (float)(std::exp(wanted - most) / all);
  (own ? *own : logits[target]) -= share * (1 - smoothing);
  return most + std::log(all) - (1 - smoothing) * wanted - smoothing * sum_of(total) / count;
}

}  // namespace

double softmax_loss(const SoftmaxLoss &layer, const SoftmaxLossGradients &gradients) {
  static std::mutex one_at_a_time;  // the memory below belongs to the call that runs
  static std::deque<PackedMatrix> to_logits, to_hidden;
  static PackedMatrix of_hidden;
  static Buffer of_logits;
  std::lock_guard<std::mutex> lock(one_at_a_time);
  const int inputs = layer.inputs, candidates = layer.candidates, blocks = (candidates + CLASSES - 1) / CLASSES;
  const long width = (candidates + W - 1) / W * W;
  auto size_of = [&](int block) { return std::min(CLASSES, candidates - block * CLASSES); };
  if ((int)to_logits.size() < blocks) to_logits.resize(blocks), to_hidden.resize(blocks);
  parallel(blocks, [&](int b) {
    const float *rows[CLASSES];
    for (int k = 0; k < size_of(b); k++) rows[k] = layer.weight + (long)(b * CLASSES + k) * inputs;
    to_logits[b].pack(rows, size_of(b), inputs, true);
    to_hidden[b].pack(rows, size_of(b), inputs, false);
  });
  std::vector<int> rows;
  for (int n = 0; n < layer.rows; n++)
    if (layer.shares[n] != 0)
      rows.push_back(n);
    else
      std::memset(gradients.hidden + (long)n * inputs, 0, sizeof(float) * inputs);
  std::memset(gradients.weight, 0, sizeof(float) * layer.classes * inputs);
  std::memset(gradients.bias, 0, sizeof(float) * layer.classes);
  float *logits = of_logits.get(CHUNK * width);
  double loss = 0, losses[CHUNK];
  float own[CHUNK];
  const float *hidden[CHUNK];
  for (size_t from = 0; from < rows.size(); from += CHUNK) {
    const int count = (int)std::min<size_t>(CHUNK, rows.size() - from), *row = rows.data() + from;
    for (int m = 0; m < count; m++) hidden[m] = layer.hidden + (long)row[m] * inputs;
    parallel((count + ROWS - 1) / ROWS, [&](int k) {
      const int first = k * ROWS, n = std::min(ROWS, count - first);
      const float *left[ROWS], *bias[ROWS];
      float *out[ROWS];
      for (int b = 0; b < blocks; b++) {
        for (int m = 0; m < n; m++) {
          bias[m] = layer.bias + b * CLASSES;
          out[m] = logits + (first + m) * width + b * CLASSES;
        }
        matmul(hidden + first, 1, n, to_logits[b], bias, out);
      }
      for (int m = 0; m < n; m++) {
        const int target = layer.targets[row[first + m]];
        const float *vector = layer.weight + (long)target * inputs;
        float &z = own[first + m] = layer.bias[target];
        for (int i = 0; target >= candidates && i < inputs; i++) z += hidden[first + m][i] * vector[i];
        const float share = layer.shares[row[first + m]];
        losses[first + m] = share * loss_of_row(logits + (first + m) * width, candidates, target,
                                                target < candidates ? nullptr : &z, share, layer.smoothing);
        out[m] = gradients.hidden + (long)row[first + m] * inputs;
        for (int i = 0; i < inputs; i++) out[m][i] = target < candidates ? 0 : z * vector[i];
      }
      for (int b = 0; b < blocks; b++) {
        for (int m = 0; m < n; m++) left[m] = logits + (first + m) * width + b * CLASSES;
        matmul(left, 1, n, to_hidden[b], out, out);
      }
    });
    of_hidden.pack(hidden, count, inputs, false);
    parallel(blocks, [&](int b) {
      constexpr int STRIDE = CLASSES + W;  // no power of two, whose multiples would share a few lines of the cache
      static thread_local Buffer *copy = new Buffer();
      float *block = copy->get((long)CHUNK * STRIDE), *out[CLASSES], *bias = gradients.bias + b * CLASSES;
      const float *left[CLASSES];
      for (int m = 0; m < count; m++) {
        const float *from_row = logits + m * width + b * CLASSES;
        for (int k = 0; k < size_of(b); k++) bias[k] += block[m * STRIDE + k] = from_row[k];
      }
      for (int k = 0; k < size_of(b); k++) {
        left[k] = block + k;
        out[k] = gradients.weight + (long)(b * CLASSES + k) * inputs;
      }
      matmul(left, STRIDE, size_of(b), of_hidden, out, out);
    });
    for (int m = 0; m < count; m++) {
      const int target = layer.targets[row[m]];
      loss += losses[m];
      if (target < candidates) continue;
      gradients.bias[target] += own[m];
      for (int i = 0; i < inputs; i++) gradients.weight[(long)target * inputs + i] += own[m] * hidden[m][i];
    }
  }
  return loss;
}

}  // namespace native
