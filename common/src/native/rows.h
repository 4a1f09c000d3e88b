// How the rows of a padded batch are divided into slices that run through their own steps, without waiting for others.
#pragma once
#include <algorithm>
#include <vector>

namespace native {

constexpr int SLICE_ROWS = 16;  // enough for a step's products to run at full speed, few enough to occupy many cores
constexpr int MOST_SLICE_ROWS = 64;

// More rows share what is read of large weights, which have no place in the cache of a core.
inline int slice_rows(long weights) { return weights > 1 << 20 ? 64 : weights > 1 << 18 ? 32 : SLICE_ROWS; }

// Some rows of a batch, the longest first: at each step those that still run are the first ones.
struct Slice {
  std::vector<int> rows, lengths;
  std::vector<int> active;   // rows that run at each step
  std::vector<long> offset;  // of each step's first row among all (step, row) of the slice; one more: how many there are

  int steps() const { return (int)active.size(); }
  long size() const { return offset.back(); }
  // The time step of row m at step s of a direction: the backward one begins at the row's own end.
  int time(int s, int m, bool backward) const { return backward ? lengths[m] - 1 - s : s; }
};

// Slices of at most so many rows, dealt out by length, so that they take about equally long. Lengths outside [0, steps] count as the nearest.
inline std::vector<Slice> divide_rows(const int *lengths, int batch, int steps, int most) {
  std::vector<int> order(batch);
  for (int b = 0; b < batch; b++) order[b] = b;
  auto length = [&](int b) { return std::max(0, std::min(lengths[b], steps)); };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return length(a) > length(b); });
  int count = (batch + most - 1) / most;
  std::vector<Slice> slices(count);
  for (int k = 0; k < batch; k++) {
    slices[k % count].rows.push_back(order[k]);
    slices[k % count].lengths.push_back(length(order[k]));
  }
  for (Slice &slice : slices) {
    slice.offset.push_back(0);
    int running = (int)slice.rows.size();
    for (int s = 0; s < slice.lengths[0]; s++) {
      while (slice.lengths[running - 1] <= s) running--;
      slice.active.push_back(running);
      slice.offset.push_back(slice.offset.back() + running);
    }
  }
  return slices;
}

// The first step after `from` at which `most` rows would be exceeded; at least one step is taken.
inline int chunk_end(const Slice &slice, int from, long most) {
  int to = from + 1;
  while (to < slice.steps() && slice.offset[to + 1] - slice.offset[from] <= most) to++;
  return to;
}

}  // namespace native
