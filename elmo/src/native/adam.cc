#include "adam.h"

#include <algorithm>
#include <cmath>

#include "simd.h"
#include "threads.h"

namespace native {
namespace {

constexpr long PART = 1 << 14;  // floats that a thread takes at once; W divides it

}  // namespace

double adam_update(const std::vector<Weights> &weights, const AdamSettings &settings, const float *rates, long count,
                   const AdamCounts &counts) {
  struct Part {
    const Weights *weights;
    long first, end;
  };
  std::vector<Part> parts;
  for (const Weights &each : weights)
    for (long first = 0; first < each.size; first += PART)
      parts.push_back({&each, first, std::min(first + PART, each.size)});
  std::vector<double> squares(parts.size());
  parallel((int)parts.size(), [&](int k) {
    const Part &part = parts[k];
    Vec sum = {};
    for (long i = part.first; i < part.end; i += W) {
      Vec g = load(part.weights->gradient + i, (int)std::min<long>(W, part.end - i));
      sum += g * g;
    }
    for (int lane = 0; lane < W; lane++) squares[k] += sum[lane];
  });
  double norm = 0;
  for (double each : squares) norm += each;
  norm = std::sqrt(norm);
  const float scale = settings.clip > 0 && !(norm <= settings.clip) ? settings.clip / (float)(norm + 1e-12) : 1.0f;
  const float rate = rates[std::min<long>((*counts.steps)++, count - 1)];
  float adam_rate = 0;  // without the bias of the moments
  if (counts.beta1_power) {
    *counts.beta1_power *= settings.beta1;
    *counts.beta2_power *= settings.beta2;
    adam_rate = rate * std::sqrt(1 - *counts.beta2_power) / (1 - *counts.beta1_power);
  }
  float decay = 0;  // of the average, if this step updates it: see weight_average.py
  if (settings.decay > 0 && std::fmod(++*counts.averaged, settings.every) == 0)
    decay = std::pow(std::min((1 + *counts.averaged) / (10 + *counts.averaged), settings.decay), settings.every);
  parallel((int)parts.size(), [&](int k) {
    const Part &part = parts[k];
    for (long i = part.first; i < part.end; i += W) {
      const int lanes = (int)std::min<long>(W, part.end - i);
      float *values = part.weights->values + i, *first = part.weights->first + i, *second = part.weights->second + i;
      const Vec g = load(part.weights->gradient + i, lanes) * scale;
      if (!part.weights->second) {
        const Vec squares = load(first, lanes) + g * g;
        store(first, squares, lanes);
        store(values, load(values, lanes) - rate * part.weights->factor * g / sqrt_of(squares), lanes);
        continue;
      }
      Vec m = load(first, lanes), v = load(second, lanes);
      m += (1.0f - settings.beta1) * (g - m);
      v += (1.0f - settings.beta2) * (g * g - v);
      store(first, m, lanes), store(second, v, lanes);
      const Vec changed = load(values, lanes) - adam_rate * part.weights->factor * m / (sqrt_of(v) + settings.epsilon);
      store(values, changed, lanes);
      if (decay > 0) {
        float *average = part.weights->average + i;
        store(average, load(average, lanes) * decay + changed * (1 - decay), lanes);
      }
    }
  });
  return norm;
}

}  // namespace native
