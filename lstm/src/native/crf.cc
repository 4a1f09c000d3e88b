#include "crf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "rows.h"
#include "threads.h"

namespace native {
namespace {

// A sum of products below this may have lost what counts, and is done again with logarithms.
constexpr double LEAST = 1e-250;
constexpr int CRF_ROWS = 4;  // rows whose sums are kept together

typedef std::vector<double> Doubles;

double log_sum_exp(const Doubles &values) {
  const double highest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double value : values) sum += std::exp(value - highest);
  return std::isinf(highest) ? highest : highest + std::log(sum);
}

// exp(values - their maximum); returns the maximum.
double exponentials(const double *values, Doubles &out) {
  const double highest = *std::max_element(values, values + out.size());
  for (size_t k = 0; k < out.size(); k++) out[k] = std::exp(values[k] - highest);
  return highest;
}

// Gradients of the sums over some rows, in float64 as there can be many.
struct Sums {
  double loss = 0;
  Doubles transitions, start, end;

  explicit Sums(int tags) : transitions((size_t)tags * tags), start(tags), end(tags) {}
  void add(const Sums &other) {
    loss += other.loss;
    for (size_t k = 0; k < transitions.size(); k++) transitions[k] += other.transitions[k];
    for (size_t k = 0; k < start.size(); k++) start[k] += other.start[k], end[k] += other.end[k];
  }
};

// The transitions, their exponentials, and those transposed.
struct Transitions {
  int tags;
  Doubles scores, factors, transposed;
  double highest;

  explicit Transitions(const CRF &crf)
      : tags(crf.tags), scores(crf.transitions, crf.transitions + tags * tags), factors(scores.size()),
        transposed(scores.size()), highest(exponentials(scores.data(), factors)) {
    for (int i = 0; i < tags; i++)
      for (int j = 0; j < tags; j++) transposed[j * tags + i] = factors[i * tags + j];
  }

  // next[j] = ln sum over i of e^(before[i] + scores[i][j]), or with `backward` of e^(before[i] + scores[j][i]).
  void step(const double *before, bool backward, double *next) const {
    Doubles shares(tags), sums(tags);
    const double most = exponentials(before, shares) + highest;
    const double *row = backward ? transposed.data() : factors.data();
    for (int i = 0; i < tags; i++, row += tags)
      for (int j = 0; j < tags; j++) sums[j] += shares[i] * row[j];
    for (int j = 0; j < tags; j++) {
      next[j] = most + std::log(sums[j]);
      if (sums[j] >= LEAST) continue;
      Doubles terms(tags);
      for (int i = 0; i < tags; i++) terms[i] = before[i] + scores[backward ? j * tags + i : i * tags + j];
      next[j] = log_sum_exp(terms);
    }
  }
};

// The score of a tag at step t, with that of starting or ending there.
double unary(const CRF &crf, int t, int row, int length, int tag) {
  double score = crf.emissions[((long)t * crf.batch + row) * crf.tags + tag];
  if (t == 0) score += crf.start[tag];
  if (t == length - 1) score += crf.end[tag];
  return score;
}

// Forward-backward with logarithms (Rabiner 1989, section III). Writes the gradient of the emissions of one row: the
// marginal probability of each tag, less 1 for the gold one.
void loss_of_row(const CRF &crf, const Transitions &transitions, int row, int length, const int32_t *gold,
                 float *of_emissions, Sums &sums) {
  const int tags = crf.tags;
  Doubles scores((size_t)length * tags), alpha(scores), behind(tags), shares(tags), later(tags);
  for (int t = 0; t < length; t++) {
    if (t) transitions.step(&alpha[(t - 1) * tags], false, &alpha[t * tags]);
    for (int k = 0; k < tags; k++) {
      scores[t * tags + k] = unary(crf, t, row, length, k);
      alpha[t * tags + k] = (t ? alpha[t * tags + k] : 0) + scores[t * tags + k];
    }
  }
  const double log_z = log_sum_exp(Doubles(alpha.end() - tags, alpha.end()));
  sums.loss += log_z;
  Doubles beta(tags);
  for (int t = length - 1; t >= 0; t--) {
    const double *arrived = &alpha[t * tags];
    const int tag = gold[(long)t * crf.batch + row];
    float *gradient = of_emissions + ((long)t * crf.batch + row) * tags;
    if (t < length - 1) {
      for (int k = 0; k < tags; k++) behind[k] = beta[k] + scores[(t + 1) * tags + k];
      const double most = exponentials(arrived, shares) + exponentials(behind.data(), later) + transitions.highest;
      const double scale = std::exp(std::min(most - log_z, 500.0));
      for (int i = 0; i < tags; i++)
        for (int j = 0; j < tags; j++) {
          const int pair = i * tags + j;
          sums.transitions[pair] += most - log_z < 500 ? scale * shares[i] * transitions.factors[pair] * later[j]
                                   : std::exp(arrived[i] + transitions.scores[pair] + behind[j] - log_z);
        }
      const int next = gold[(long)(t + 1) * crf.batch + row];
      sums.transitions[tag * tags + next] -= 1;
      sums.loss -= transitions.scores[tag * tags + next];
      transitions.step(behind.data(), true, beta.data());
    }
    sums.loss -= scores[t * tags + tag];
    for (int k = 0; k < tags; k++) {
      const double share = std::exp(arrived[k] + beta[k] - log_z) - (k == tag);
      gradient[k] = (float)share;
      if (t == 0) sums.start[k] += share;
      if (t == length - 1) sums.end[k] += share;
    }
  }
}

}  // namespace

double crf_loss(const CRF &crf, const int32_t *gold, const CRFGradients &gradients) {
  const std::vector<Slice> slices = divide_rows(crf.lengths, crf.batch, crf.steps, CRF_ROWS);
  const Transitions transitions(crf);
  std::vector<Sums> sums(slices.size(), Sums(crf.tags));
  parallel((int)slices.size(), [&](int k) {
    for (size_t m = 0; m < slices[k].rows.size(); m++) {
      const int row = slices[k].rows[m], length = slices[k].lengths[m];
      if (length) loss_of_row(crf, transitions, row, length, gold, gradients.emissions, sums[k]);
      for (int t = length; t < crf.steps; t++)
        std::fill_n(gradients.emissions + ((long)t * crf.batch + row) * crf.tags, crf.tags, 0.0f);
    }
  });
  Sums total(crf.tags);
  for (const Sums &each : sums) total.add(each);
  std::copy(total.transitions.begin(), total.transitions.end(), gradients.transitions);
  std::copy(total.start.begin(), total.start.end(), gradients.start);
  std::copy(total.end.begin(), total.end.end(), gradients.end);
  return total.loss;
}

void crf_viterbi(const CRF &crf, int32_t *paths, float *scores) {
  const int tags = crf.tags;
  parallel(crf.batch, [&](int row) {
    const int length = std::max(0, std::min(crf.lengths[row], crf.steps));
    std::vector<float> best(tags), next(tags);
    std::vector<int32_t> from((size_t)length * tags);
    for (int t = 0; t < length; t++) {
      std::fill(next.begin(), next.end(), -std::numeric_limits<float>::infinity());
      int32_t *chosen = from.data() + (size_t)t * tags;
      for (int i = 0; t && i < tags; i++) {
        const float *row_of_i = crf.transitions + (long)i * tags;
        for (int j = 0; j < tags; j++) {
          const float score = best[i] + row_of_i[j];
          const bool better = score > next[j];
          next[j] = better ? score : next[j];
          chosen[j] = better ? i : chosen[j];
        }
      }
      for (int j = 0; j < tags; j++) best[j] = (float)((t ? next[j] : 0) + unary(crf, t, row, length, j));
    }
    int tag = (int)(std::max_element(best.begin(), best.end()) - best.begin());
    scores[row] = length ? best[tag] : 0;
    for (int t = crf.steps - 1; t >= 0; t--) {
      if (t < length - 1) tag = from[(size_t)(t + 1) * tags + tag];
      paths[(long)t * crf.batch + row] = t < length ? tag : 0;
    }
  });
}

}  // namespace native
