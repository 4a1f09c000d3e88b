#include "crf.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "matmul.h"
#include "rows.h"
#include "threads.h"

namespace native {
namespace {

// Probabilities are held relative to their sum or maximum. Where less than this share of it is left after a step, what
// float32 has rounded to zero may matter, and the row is done again with logarithms in float64.
constexpr float LEAST_SHARE = 1e-10f;

// Sums of a slice's rows, in float64 as there can be many.
struct Sums {
  double loss = 0;
  std::vector<double> transitions, start, end;

  explicit Sums(int tags) : transitions((size_t)tags * tags), start(tags), end(tags) {}
  void add(const Sums &other) {
    loss += other.loss;
    for (size_t k = 0; k < transitions.size(); k++) transitions[k] += other.transitions[k];
    for (size_t k = 0; k < start.size(); k++) start[k] += other.start[k], end[k] += other.end[k];
  }
};

// exp(transitions - their maximum), as rows and transposed, packed for products.
struct Factors {
  PackedMatrix forward, backward;
  std::vector<float> values;
  float highest;

  explicit Factors(const CRF &crf) : values((size_t)crf.tags * crf.tags) {
    const int tags = crf.tags;
    highest = *std::max_element(crf.transitions, crf.transitions + values.size());
    for (size_t k = 0; k < values.size(); k++) values[k] = std::exp(crf.transitions[k] - highest);
    std::vector<const float *> rows(tags);
    for (int k = 0; k < tags; k++) rows[k] = values.data() + (size_t)k * tags;
    forward.pack_rows(rows.data(), tags, tags);
    backward.pack_transposed(values.data(), tags, tags);
  }
};

const float *emissions_of(const CRF &crf, int t, int row) {
  return crf.emissions + ((long)t * crf.batch + row) * crf.tags;
}

// The score of a tag at step t, with that of starting or ending there.
double unary(const CRF &crf, int t, int row, int length, int tag) {
  double score = emissions_of(crf, t, row)[tag];
  if (t == 0) score += crf.start[tag];
  if (t == length - 1) score += crf.end[tag];
  return score;
}

double gold_score(const CRF &crf, const int32_t *gold, int row, int length) {
  double score = 0;
  for (int t = 0, before = 0; t < length; t++) {
    int tag = gold[(long)t * crf.batch + row];
    score += unary(crf, t, row, length, tag);
    if (t) score += crf.transitions[(long)before * crf.tags + tag];
    before = tag;
  }
  return score;
}

// The gradient of a score is its marginal probability, less 1 for the gold tag.
float *emission_gradients(const CRF &crf, const CRFGradients &gradients, int t, int row) {
  return gradients.emissions + ((long)t * crf.batch + row) * crf.tags;
}

double log_sum_exp(const double *values, int count) {
  double highest = *std::max_element(values, values + count), sum = 0;
  if (std::isinf(highest) && highest < 0) return highest;
  for (int k = 0; k < count; k++) sum += std::exp(values[k] - highest);
  return highest + std::log(sum);
}

// One row by logarithms in float64: returns ln Z, writes the marginals and adds the expected pairs.
double exact_row(const CRF &crf, int row, int length, const CRFGradients &gradients, Sums &sums) {
  const int tags = crf.tags;
  std::vector<double> alpha((size_t)length * tags), beta(alpha.size()), terms(tags);
  for (int t = 0; t < length; t++)
    for (int j = 0; j < tags; j++) {
      for (int i = 0; t && i < tags; i++) terms[i] = alpha[(t - 1) * tags + i] + crf.transitions[(long)i * tags + j];
      alpha[t * tags + j] = unary(crf, t, row, length, j) + (t ? log_sum_exp(terms.data(), tags) : 0);
    }
  const double log_z = log_sum_exp(&alpha[(length - 1) * tags], tags);
  for (int t = length - 1; t >= 0; t--) {
    for (int i = 0; i < tags; i++) {
      if (t == length - 1) continue;
      for (int j = 0; j < tags; j++) {
        terms[j] = crf.transitions[(long)i * tags + j] + unary(crf, t + 1, row, length, j) + beta[(t + 1) * tags + j];
        sums.transitions[(long)i * tags + j] += std::exp(alpha[t * tags + i] + terms[j] - log_z);
      }
      beta[t * tags + i] = log_sum_exp(terms.data(), tags);
    }
    float *marginals = emission_gradients(crf, gradients, t, row);
    for (int k = 0; k < tags; k++) marginals[k] = (float)std::exp(alpha[t * tags + k] + beta[t * tags + k] - log_z);
  }
  return log_z;
}

// The recursions of a slice. Index of a (step, row of the slice): s * rows + m, in arrays of `width` floats each.
struct Recursion {
  const CRF &crf;
  const Slice &slice;
  const Factors &factors;
  const int rows, tags, width;
  std::vector<float> alpha, potential, later, share;  // later: potentials times what follows; share: alpha's sum before
  std::vector<double> log_z;
  std::vector<char> hard;  // rows that have to be done with logarithms

  Recursion(const CRF &crf, const Slice &slice, const Factors &factors)
      : crf(crf), slice(slice), factors(factors), rows((int)slice.rows.size()), tags(crf.tags),
        width((tags + W - 1) / W * W), alpha((size_t)slice.steps() * rows * width), potential(alpha.size()),
        later(alpha.size()), share((size_t)slice.steps() * rows), log_z(rows), hard(rows) {}

  float *at(std::vector<float> &values, int s, int m) { return values.data() + ((long)s * rows + m) * width; }

  // Products of the first n rows of a step with the transition factors.
  void multiply(std::vector<float> &values, int s, int n, const PackedMatrix &matrix, std::vector<float> &out, int to) {
    const float *left[SLICE_ROWS];
    float *right[SLICE_ROWS];
    for (int m = 0; m < n; m++) left[m] = at(values, s, m), right[m] = at(out, to, m);
    matmul(left, 1, n, matrix, nullptr, right);
  }

  void run_forward() {
    std::vector<double> scores(tags);
    for (int s = 0; s < slice.steps(); s++) {
      const int n = slice.active[s];
      if (s) multiply(alpha, s - 1, n, factors.forward, alpha, s);
      for (int m = 0; m < n; m++) {
        float *a = at(alpha, s, m), *p = at(potential, s, m);
        for (int k = 0; k < tags; k++) scores[k] = unary(crf, s, slice.rows[m], slice.lengths[m], k);
        const double highest = *std::max_element(scores.begin(), scores.end());
        for (int k = 0; k < tags; k++) p[k] = (float)(scores[k] - highest);
        for (int k = 0; k < width; k += W) store(p + k, exp_of(load(p + k)));
        float sum = 0;
        std::fill(p + tags, p + width, 0.0f);
        for (int k = 0; k < tags; k++) {
          a[k] = s ? a[k] * p[k] : p[k];
          sum += a[k];
        }
        if (!(sum >= LEAST_SHARE)) hard[m] = 1;
        for (int k = 0; k < tags; k++) a[k] /= sum;
        share[(long)s * rows + m] = sum;
        log_z[m] += std::log((double)sum) + highest + (s ? factors.highest : 0);
      }
    }
  }

  void run_backward(const CRFGradients &gradients) {
    std::vector<float> beta((size_t)rows * width);
    for (int s = slice.steps() - 1; s >= 0; s--) {
      const int next = s + 1 < slice.steps() ? slice.active[s + 1] : 0;
      if (next) multiply(later, s + 1, next, factors.backward, beta, 0);
      for (int m = 0; m < slice.active[s]; m++) {
        float *b = at(beta, 0, m), *a = at(alpha, s, m), *p = at(potential, s, m), *out = at(later, s, m);
        if (m >= next) std::fill(b, b + tags, 1.0f);
        const float highest = *std::max_element(b, b + tags);
        float total = 0;
        for (int k = 0; k < tags; k++) {
          b[k] /= highest;
          out[k] = p[k] * b[k];
          total += a[k] * b[k];
        }
        if (!(total >= LEAST_SHARE && highest > 0)) hard[m] = 1;
        float *marginals = emission_gradients(crf, gradients, s, slice.rows[m]);
        for (int k = 0; k < tags; k++) marginals[k] = a[k] * b[k] / total;
        share[(long)s * rows + m] *= total;
      }
    }
  }

  // Expected pairs: alpha at a step times `later` at the next, over the probability of all.
  void add_pairs(Sums &sums) {
    const long count = (long)(slice.steps() - 1) * rows;
    if (count <= 0) return;
    std::vector<float> pairs((size_t)tags * tags);
    std::vector<const float *> left(tags), right(count);
    std::vector<float *> out(tags);
    for (int k = 0; k < tags; k++) left[k] = alpha.data() + k, out[k] = pairs.data() + (size_t)k * tags;
    for (int s = 1; s < slice.steps(); s++)
      for (int m = 0; m < rows; m++) {
        float *row = at(later, s, m);
        right[(long)(s - 1) * rows + m] = row;
        const bool counts = m < slice.active[s] && !hard[m];
        for (int k = 0; k < tags; k++) row[k] = counts ? row[k] / share[(long)s * rows + m] : 0;
        if (!counts) std::fill(at(alpha, s - 1, m), at(alpha, s - 1, m) + width, 0.0f);
      }
    PackedMatrix packed;
    packed.pack_rows(right.data(), (int)count, tags);
    matmul(left.data(), width, tags, packed, nullptr, out.data());
    for (size_t k = 0; k < pairs.size(); k++) sums.transitions[k] += (double)pairs[k] * factors.values[k];
  }
};

void loss_of_slice(const CRF &crf, const Slice &slice, const Factors &factors, const int32_t *gold,
                   const CRFGradients &gradients, Sums &sums) {
  Recursion recursion(crf, slice, factors);
  recursion.run_forward();
  recursion.run_backward(gradients);
  recursion.add_pairs(sums);
  const int tags = crf.tags;
  for (int m = 0; m < recursion.rows; m++) {
    const int row = slice.rows[m], length = slice.lengths[m];
    for (int t = length; t < crf.steps; t++) std::fill_n(emission_gradients(crf, gradients, t, row), tags, 0.0f);
    if (!length) continue;
    double log_z = recursion.log_z[m];
    if (recursion.hard[m]) log_z = exact_row(crf, row, length, gradients, sums);
    sums.loss += log_z - gold_score(crf, gold, row, length);
    for (int t = 0, before = 0; t < length; t++) {
      const int tag = gold[(long)t * crf.batch + row];
      emission_gradients(crf, gradients, t, row)[tag] -= 1;
      if (t) sums.transitions[(long)before * tags + tag] -= 1;
      before = tag;
    }
    const float *first = emission_gradients(crf, gradients, 0, row);
    const float *last = emission_gradients(crf, gradients, length - 1, row);
    for (int k = 0; k < tags; k++) sums.start[k] += first[k], sums.end[k] += last[k];
  }
}

}  // namespace

double crf_loss(const CRF &crf, const int32_t *gold, const CRFGradients &gradients) {
  const std::vector<Slice> slices = divide_rows(crf.lengths, crf.batch, crf.steps);
  const Factors factors(crf);
  std::vector<Sums> sums(slices.size(), Sums(crf.tags));
  parallel((int)slices.size(), [&](int k) { loss_of_slice(crf, slices[k], factors, gold, gradients, sums[k]); });
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
