#include "lstm.h"

#include <cstring>
#include <mutex>

#include "matmul.h"
#include "rows.h"
#include "threads.h"

namespace native {
namespace {

constexpr int FORWARD_CHUNK = 192, BACKWARD_CHUNK = 256;  // (step, row) pairs whose gates stay in the cache

std::mutex one_layer_at_a_time;  // the packed weights and partial sums below belong to the layer that runs

// One direction of one slice: what a thread runs without waiting for others.
struct Task {
  const Slice *slice;
  int direction;
  long first;  // of its (step, row) pairs among those of all tasks
};

struct Layer {
  const LSTMShape &shape;
  std::vector<Slice> slices;
  std::vector<Task> tasks;

  Layer(const LSTMShape &shape, const int *lengths)
      : shape(shape), slices(divide_rows(lengths, shape.batch, shape.steps)) {
    long first = 0;
    for (int d = 0; d < shape.directions; d++)
      for (const Slice &slice : slices) {
        tasks.push_back({&slice, d, first});
        first += slice.size();
      }
  }

  // Where row m of a task stands in x or y at step s, counted in rows of those.
  long place(const Task &task, int s, int m) const {
    return (long)task.slice->time(s, m, task.direction) * shape.batch + task.slice->rows[m];
  }
  // The output of a task in a row of y or dy.
  template <class Float>
  Float *outputs(Float *y, const Task &task, int s, int m) const {
    return y + place(task, s, m) * shape.directions * shape.units + (long)task.direction * shape.units;
  }
};

// Memory of a thread, kept from call to call.
struct Scratch {
  Buffer gates, cells, carried, hidden, zeros;
  PackedMatrix inputs, states;
  std::vector<const float *> left, right, start;
  std::vector<float *> out;

  void resize(long rows) {
    left.resize(rows), right.resize(rows), start.resize(rows), out.resize(rows);
  }
};
Scratch &scratch() {
  static thread_local Scratch *of_thread = new Scratch();
  return *of_thread;
}

// Gate pre-activations (n, 4H) to gates, in place, cells (n, H) to the next ones, and the outputs of the layer.
void apply_gates(int n, int units, float *const *gates, const float *const *before, float *const *cells,
                 float *const *outputs) {
  for (int m = 0; m < n; m++)
    for (int k = 0; k < units; k += W) {
      int lanes = std::min(W, units - k);
      float *row = gates[m] + k;
      Vec i = sigmoid(load(row, lanes)), f = sigmoid(load(row + units, lanes));
      Vec g = tanh_of(load(row + 2 * units, lanes)), o = sigmoid(load(row + 3 * units, lanes));
      Vec c = f * load(before[m] + k, lanes) + i * g;
      store(row, i, lanes), store(row + units, f, lanes);
      store(row + 2 * units, g, lanes), store(row + 3 * units, o, lanes);
      store(cells[m] + k, c, lanes);
      store(outputs[m] + k, o * tanh_of(c), lanes);
    }
}

void forward_task(const Layer &layer, const Task &task, const float *x, const PackedMatrix &w_ih,
                  const PackedMatrix &w_hh, const float *bias, float *y, float *saved) {
  const Slice &slice = *task.slice;
  const int units = layer.shape.units, rows = (int)slice.rows.size();
  Scratch &memory = scratch();
  memory.resize(std::max<long>(FORWARD_CHUNK, rows));
  float *cells = memory.cells.get((long)rows * units);
  std::memset(cells, 0, sizeof(float) * rows * units);
  if (saved) saved += task.first * 5 * units;
  for (int from = 0, to; from < slice.steps(); from = to) {
    to = chunk_end(slice, from, FORWARD_CHUNK);
    const long count = slice.offset[to] - slice.offset[from];
    // (count, 4H) where the gates stay, with the cells behind them, or for inference of this chunk alone
    const long width = saved ? 5 * units : 4 * units;
    float *gates = saved ? saved + slice.offset[from] * width : memory.gates.get(count * width);
    for (int s = from, at = 0; s < to; s++)
      for (int m = 0; m < slice.active[s]; m++, at++) {
        memory.left[at] = x + layer.place(task, s, m) * layer.shape.inputs;
        memory.start[at] = bias;
        memory.out[at] = gates + at * width;
      }
    matmul(memory.left.data(), 1, (int)count, w_ih, memory.start.data(), memory.out.data());
    for (int s = from; s < to; s++) {
      const int n = slice.active[s];
      float *const *now = memory.out.data() + (slice.offset[s] - slice.offset[from]);
      if (s > 0) {
        for (int m = 0; m < n; m++) memory.right[m] = layer.outputs(y, task, s - 1, m);
        matmul(memory.right.data(), 1, n, w_hh, now, now);
      }
      const float *before[SLICE_ROWS];
      float *after[SLICE_ROWS], *outputs[SLICE_ROWS];
      for (int m = 0; m < n; m++) {
        before[m] = cells + (long)m * units;
        if (saved && s > 0) before[m] = saved + (slice.offset[s - 1] + m) * width + 4 * units;
        after[m] = saved ? now[m] + 4 * units : cells + (long)m * units;
        outputs[m] = layer.outputs(y, task, s, m);
      }
      apply_gates(n, units, now, before, after, outputs);
    }
  }
}

// Gradients of the pre-activations (n, 4H) of a step from those of its outputs, dh (n, H), and the cell gradient dc
// (n, H) that comes from the next step, which becomes the one for the step before.
void gate_gradients(int n, int units, const float *const *dh, const float *const *saved, const float *const *before,
                    float *const *dc, float *const *gradients) {
  for (int m = 0; m < n; m++)
    for (int k = 0; k < units; k += W) {
      int lanes = std::min(W, units - k);
      const float *row = saved[m] + k;
      Vec i = load(row, lanes), f = load(row + units, lanes), g = load(row + 2 * units, lanes);
      Vec o = load(row + 3 * units, lanes), t = tanh_of(load(row + 4 * units, lanes));
      Vec h = load(dh[m] + k, lanes);
      Vec c = load(dc[m] + k, lanes) + h * o * (1.0f - t * t);
      float *out = gradients[m] + k;
      store(out, c * g * i * (1.0f - i), lanes);
      store(out + units, c * load(before[m] + k, lanes) * f * (1.0f - f), lanes);
      store(out + 2 * units, c * i * (1.0f - g * g), lanes);
      store(out + 3 * units, h * t * o * (1.0f - o), lanes);
      store(dc[m] + k, c * f, lanes);
    }
}

// What a direction's tasks need for their backward pass, packed once.
struct BackwardWeights {
  PackedMatrix ih, hh;
};

// Adds to `dw_ih` (4H, I), `dw_hh` (4H, H) and `dbias` (4H,); writes `dx` (T, B, I) unless it is null.
void backward_task(const Layer &layer, const Task &task, const float *x, const BackwardWeights &weights, const float *y,
                   const float *saved, const float *dy, float *dx, float *dw_ih, float *dw_hh, float *dbias) {
  const Slice &slice = *task.slice;
  const int units = layer.shape.units, inputs = layer.shape.inputs, rows = (int)slice.rows.size();
  const long gate_width = 4 * units + W;  // not a power of two, whose multiples would share a few lines of the cache
  Scratch &memory = scratch();
  memory.resize(std::max({(long)BACKWARD_CHUNK, (long)rows, 4L * units}));
  float *gates = memory.gates.get((BACKWARD_CHUNK + 2L * rows) * gate_width);
  float *later = gates + (BACKWARD_CHUNK + (long)rows) * gate_width;  // gradients of the step after the chunk
  float *carried = memory.carried.get((long)rows * units), *hidden = memory.hidden.get((long)rows * units);
  float *zeros = memory.zeros.get(std::max(units, inputs));
  std::memset(carried, 0, sizeof(float) * rows * units);
  std::memset(zeros, 0, sizeof(float) * std::max(units, inputs));
  saved += task.first * 5 * units;
  for (int to = slice.steps(), from; to > 0; to = from) {
    from = to - 1;
    while (from > 0 && slice.offset[to] - slice.offset[from - 1] <= BACKWARD_CHUNK) from--;
    const long first = slice.offset[from], count = slice.offset[to] - first;
    for (int s = to - 1; s >= from; s--) {  // the recurrence
      const int n = slice.active[s], next = s + 1 < slice.steps() ? slice.active[s + 1] : 0;
      float *dc[SLICE_ROWS], *dh[SLICE_ROWS], *now[SLICE_ROWS];
      const float *kept[SLICE_ROWS], *before[SLICE_ROWS], *of_outputs[SLICE_ROWS], *after[SLICE_ROWS];
      for (int m = 0; m < n; m++) {
        kept[m] = saved + (slice.offset[s] + m) * 5 * units;
        before[m] = s ? saved + (slice.offset[s - 1] + m) * 5 * units + 4 * units : zeros;
        of_outputs[m] = layer.outputs(dy, task, s, m);
        now[m] = gates + (slice.offset[s] - first + m) * gate_width;
        after[m] = s + 1 == to ? later + m * gate_width : gates + (slice.offset[s + 1] - first + m) * gate_width;
        dc[m] = carried + (long)m * units, dh[m] = hidden + (long)m * units;
      }
      matmul(after, 1, next, weights.hh, of_outputs, dh);
      for (int m = 0; m < next; m++) of_outputs[m] = dh[m];
      gate_gradients(n, units, of_outputs, kept, before, dc, now);
    }
    auto &left = memory.left;
    if (dx) {
      for (int s = from, at = 0; s < to; s++)
        for (int m = 0; m < slice.active[s]; m++, at++) {
          left[at] = gates + at * gate_width;
          memory.out[at] = dx + layer.place(task, s, m) * inputs;
        }
      matmul(left.data(), 1, (int)count, weights.ih, nullptr, memory.out.data());
    }
    for (int s = from, at = 0; s < to; s++)  // x and the outputs of the step before, as the right sides of products
      for (int m = 0; m < slice.active[s]; m++, at++) {
        left[at] = x + layer.place(task, s, m) * inputs;
        memory.right[at] = s ? layer.outputs(y, task, s - 1, m) : zeros;
      }
    memory.inputs.pack_rows(left.data(), (int)count, inputs);
    memory.states.pack_rows(memory.right.data(), (int)count, units);
    auto add_product = [&](const PackedMatrix &right, float *sum, int columns) {
      for (int k = 0; k < 4 * units; k++) left[k] = gates + k, memory.out[k] = sum + (long)k * columns;
      matmul(left.data(), gate_width, 4 * units, right, memory.out.data(), memory.out.data());
    };
    add_product(memory.inputs, dw_ih, inputs);
    add_product(memory.states, dw_hh, units);
    for (long r = 0; r < count; r++)
      for (int k = 0; k < 4 * units; k++) dbias[k] += gates[r * gate_width + k];
    std::memcpy(later, gates, sizeof(float) * slice.active[from] * gate_width);
  }
}

void zero_padding(const Slice &slice, int steps, int batch, float *values, long width) {
  for (size_t m = 0; m < slice.rows.size(); m++)
    for (int t = slice.lengths[m]; t < steps; t++)
      std::memset(values + ((long)t * batch + slice.rows[m]) * width, 0, sizeof(float) * width);
}

}  // namespace

void lstm_forward(const LSTMShape &shape, const float *x, const int *lengths, const LSTMWeights &weights, float *y,
                  float *saved) {
  std::lock_guard<std::mutex> lock(one_layer_at_a_time);
  static PackedMatrix w_ih[2], w_hh[2];
  Layer layer(shape, lengths);
  parallel(2 * shape.directions, [&](int k) {
    int d = k / 2;
    if (k % 2)
      w_ih[d].pack_transposed(weights.ih[d], shape.inputs, 4 * shape.units);
    else
      w_hh[d].pack_transposed(weights.hh[d], shape.units, 4 * shape.units);
  });
  parallel((int)layer.tasks.size(), [&](int k) {
    const Task &task = layer.tasks[k];
    const int d = task.direction;
    if (d == 0) zero_padding(*task.slice, shape.steps, shape.batch, y, (long)shape.directions * shape.units);
    forward_task(layer, task, x, w_ih[d], w_hh[d], weights.bias[d], y, saved);
  });
}

void lstm_backward(const LSTMShape &shape, const float *x, const int *lengths, const LSTMWeights &weights,
                   const float *y, const float *saved, const float *dy, float *dx, const LSTMGradients &gradients) {
  std::lock_guard<std::mutex> lock(one_layer_at_a_time);
  static BackwardWeights packed[2];
  static Buffer sums, dx_of_second_direction;
  Layer layer(shape, lengths);
  const int units = shape.units, inputs = shape.inputs;
  parallel(2 * shape.directions, [&](int k) {
    int d = k / 2, columns = k % 2 ? inputs : units;
    const float *matrix = k % 2 ? weights.ih[d] : weights.hh[d];
    std::vector<const float *> rows(4 * units);
    for (int row = 0; row < 4 * units; row++) rows[row] = matrix + (long)row * columns;
    (k % 2 ? packed[d].ih : packed[d].hh).pack_rows(rows.data(), 4 * units, columns);
  });
  // Every task has sums of its own, which are added up in a fixed order.
  const long ih = 4L * units * inputs, hh = 4L * units * units, size = ih + hh + 4 * units;
  float *all = sums.get(size * layer.tasks.size());
  float *second = dx && shape.directions == 2 ? dx_of_second_direction.get((long)shape.steps * shape.batch * inputs) : dx;
  parallel((int)layer.tasks.size(), [&](int k) {
    const Task &task = layer.tasks[k];
    float *mine = all + k * size, *mine_dx = task.direction ? second : dx;
    std::memset(mine, 0, sizeof(float) * size);
    if (dx && !task.direction) zero_padding(*task.slice, shape.steps, shape.batch, dx, inputs);
    backward_task(layer, task, x, packed[task.direction], y, saved, dy, mine_dx, mine, mine + ih, mine + ih + hh);
  });
  const int slices = (int)layer.slices.size();
  parallel(shape.directions * 4 * units, [&](int k) {  // one row of the weights each
    const int d = k / (4 * units), row = k % (4 * units);
    auto add_up = [&](float *out, long offset, int columns) {
      const float *first = all + d * slices * size + offset;
      for (int c = 0; c < columns; c++) out[c] = slices ? first[c] : 0;
      for (int j = 1; j < slices; j++)
        for (int c = 0; c < columns; c++) out[c] += first[j * size + c];
    };
    add_up(gradients.ih[d] + (long)row * inputs, (long)row * inputs, inputs);
    add_up(gradients.hh[d] + (long)row * units, ih + (long)row * units, units);
    add_up(gradients.bias[d] + row, ih + hh + row, 1);
  });
  if (dx && shape.directions == 2)
    parallel((int)layer.slices.size(), [&](int k) {
      const Slice &slice = layer.slices[k];
      for (size_t m = 0; m < slice.rows.size(); m++)
        for (int t = 0; t < slice.lengths[m]; t++) {
          const long at = ((long)t * shape.batch + slice.rows[m]) * inputs;
          for (int i = 0; i < inputs; i++) dx[at + i] += second[at + i];
        }
    });
}

}  // namespace native
