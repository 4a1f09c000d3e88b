#include "recurrent.h"

#include <cstring>
#include <mutex>

#include "matmul.h"
#include "rows.h"
#include "threads.h"

namespace native {
namespace {

constexpr int CHUNK = 256;  // (step, row) pairs whose gates stay in the cache
constexpr int BLOCK = 256;  // rows of a weight gradient that one thread computes

std::mutex one_layer_at_a_time;  // the packed weights and buffers below belong to the layer that runs

// One direction of one slice: what a thread runs without waiting for others.
struct Task {
  const Slice *slice;
  int direction;
  long first;  // of its (step, row) pairs among those of all tasks
};

std::vector<const float *> rows_of(const float *matrix, int rows, int columns, int first = 0) {
  std::vector<const float *> pointers(rows);
  for (int k = 0; k < rows; k++) pointers[k] = matrix + (long)((k + first) % rows) * columns;
  return pointers;
}

// A layer's rows divided into tasks, and where the values of a task's row m at step s are.
struct Work {
  const RecurrentLayer &layer;
  const int units, width, gradient_width;  // of a row of `saved`, and of what the backward pass makes of it
  // The gates (4 H) that the products with x and with h reach. Those of a GRU are a, r, z, n: x has no share in a, h none
  // in n; its matrices have rows for r, z, n, so that h reaches a by the last ones.
  const int x_gates, h_gates, x_at, first_row;
  const std::vector<float> zeros;
  std::vector<Slice> slices;
  std::vector<Task> tasks;
  long pairs = 0;
  float *table_gates = nullptr;  // (D, U, 4 H) with tokens: what each row of x gives the gates, or gets from theirs
  float *gradients = nullptr;  // of all pairs: the gates', with a projection also o tanh(c) and the product's gradient

  explicit Work(const RecurrentLayer &layer)
      : layer(layer), units(layer.units), width(layer.saved_width()),
        gradient_width(4 * units + (layer.projection ? units + layer.outputs : 0)), x_gates((gru() ? 3 : 4) * units),
        h_gates(x_gates), x_at(gru() ? units : 0), first_row(gru() ? 2 * units : 0),
        zeros(std::max(units, layer.outputs)),
        slices(divide_rows(layer.lengths, layer.batch, layer.steps, slice_rows((long)h_gates * layer.outputs))) {
    for (int d = 0; d < layer.directions; d++)
      for (const Slice &slice : slices) {
        tasks.push_back({&slice, d, pairs});
        pairs += slice.size();
      }
  }

  bool gru() const { return layer.kind == Kind::GRU; }

  // Counted in rows of x and y.
  long place(const Task &task, int s, int m) const {
    return (long)task.slice->time(s, m, task.direction) * layer.batch + task.slice->rows[m];
  }
  const float *x(const Task &task, int s, int m) const { return layer.x + place(task, s, m) * layer.inputs; }
  float *gates_of_token(int direction, int token) const {
    return table_gates + ((long)direction * layer.table_rows + token) * 4 * units;
  }
  template <class Float>
  Float *in_y(Float *y, const Task &task, int s, int m) const {
    return y + (place(task, s, m) * layer.directions + task.direction) * layer.outputs;
  }
  float *saved(const Task &task, int s, int m) const {
    return layer.saved + (task.first + task.slice->offset[s] + m) * width;
  }
  float *gradient(const Task &task, int s, int m) const {
    return gradients + (task.first + task.slice->offset[s] + m) * gradient_width;
  }
  const float *h_before(const Task &task, int s, int m) const {
    if (s) return in_y(layer.y, task, s - 1, m);
    return layer.first_h ? layer.first_h + (long)task.slice->rows[m] * layer.outputs : zeros.data();
  }
  const float *c_before(const Task &task, int s, int m) const {
    if (s) return saved(task, s - 1, m) + 4 * units;
    return layer.first_c ? layer.first_c + (long)task.slice->rows[m] * units : zeros.data();
  }

  // The weights of one direction for the forward products, or transposed for the backward ones.
  struct Packed {
    PackedMatrix ih, hh, projection;
  };
  void pack(Packed *packed, bool backward) const {
    const bool transposed = layer.projection;  // as they are kept
    auto pack = [&](PackedMatrix &matrix, const float *values, int gates, int columns, int first) {
      if (transposed)
        matrix.pack(rows_of(values, columns, gates).data(), columns, gates, backward);
      else
        matrix.pack(rows_of(values, gates, columns, first).data(), gates, columns, !backward);
    };
    parallel(3 * layer.directions, [&](int k) {
      const int d = k / 3;
      if (k % 3 == 0) pack(packed[d].ih, layer.weight_ih[d], x_gates, layer.inputs, 0);
      if (k % 3 == 1) pack(packed[d].hh, layer.weight_hh[d], h_gates, layer.outputs, first_row);
      if (k % 3 == 2 && layer.projection)
        packed[d].projection.pack(rows_of(layer.projection, units, layer.outputs).data(), units, layer.outputs,
                                  backward);
    });
  }
};

// Memory of a thread, kept from call to call.
struct Scratch {
  Buffer gates, cells, hidden, dh, block;
  PackedMatrix packed;
  std::vector<const float *> left, right;
  std::vector<float *> out;
};
Scratch &scratch() {
  static thread_local Scratch *of_thread = new Scratch();
  return *of_thread;
}

NATIVE_INLINE Vec clip(Vec x, float limit) { return limit > 0 ? at_most(at_least(x, -limit), limit) : x; }

// From the pre-activations of one row: its next cell, o tanh(c) to `out`, gates and cell to `saved` unless it is null.
void lstm_forward(int units, int f_at, int g_at, float limit, const float *gates, float *cell, float *out,
                  float *saved) {
  for (int k = 0; k < units; k += W) {
    const int lanes = std::min(W, units - k);
    const float *row = gates + k;
    Vec i = sigmoid(load(row, lanes)), f = sigmoid(load(row + f_at, lanes));
    Vec g = tanh_of(load(row + g_at, lanes)), o = sigmoid(load(row + 3 * units, lanes));
    Vec c = clip(f * load(cell + k, lanes) + i * g, limit);
    store(cell + k, c, lanes);
    store(out + k, o * tanh_of(c), lanes);
    if (!saved) continue;
    float *kept = saved + k;
    stream(kept, i, lanes), stream(kept + f_at, f, lanes), stream(kept + g_at, g, lanes);
    stream(kept + 3 * units, o, lanes), stream(kept + 4 * units, c, lanes);
  }
}

// From the gates and cell of one row to the gradients of the pre-activations, given dh and the gradient dc that comes
// from the next step, which becomes the one for the step before. With a projection o tanh(c) follows them in `out`.
void lstm_backward(int units, int f_at, int g_at, float limit, bool projected, const float *dh, const float *before,
                   const float *saved, float *dc, float *out) {
  for (int k = 0; k < units; k += W) {
    const int lanes = std::min(W, units - k);
    const float *row = saved + k;
    float *made = out + k;
    Vec i = load(row, lanes), f = load(row + f_at, lanes), g = load(row + g_at, lanes);
    Vec o = load(row + 3 * units, lanes), cell = load(row + 4 * units, lanes), t = tanh_of(cell);
    Vec h = load(dh + k, lanes);
    Vec c = load(dc + k, lanes) + h * o * (1.0f - t * t);
    if (limit > 0) c = cell < limit && cell > -limit ? c : Vec{};
    store(made, c * g * i * (1.0f - i), lanes);
    store(made + f_at, c * load(before + k, lanes) * f * (1.0f - f), lanes);
    store(made + g_at, c * i * (1.0f - g * g), lanes);
    store(made + 3 * units, h * t * o * (1.0f - o), lanes);
    if (projected) store(made + 4 * units, o * t, lanes);
    store(dc + k, c * f, lanes);
  }
}

void gru_forward(int units, const float *before, const float *gates, float *out, float *saved) {
  for (int k = 0; k < units; k += W) {
    const int lanes = std::min(W, units - k);
    const float *row = gates + k;
    Vec a = load(row, lanes), r = sigmoid(load(row + units, lanes)), z = sigmoid(load(row + 2 * units, lanes));
    Vec n = tanh_of(load(row + 3 * units, lanes) + r * a), h = load(before + k, lanes);
    store(out + k, n + z * (h - n), lanes);
    if (!saved) continue;
    float *kept = saved + k;
    stream(kept, a, lanes), stream(kept + units, r, lanes);
    stream(kept + 2 * units, z, lanes), stream(kept + 3 * units, n, lanes);
  }
}

// As lstm_backward; `carried` is the gradient of h that passes the gates by.
void gru_backward(int units, const float *dh, const float *before, const float *saved, float *carried, float *out) {
  for (int k = 0; k < units; k += W) {
    const int lanes = std::min(W, units - k);
    const float *row = saved + k;
    float *made = out + k;
    Vec a = load(row, lanes), r = load(row + units, lanes), z = load(row + 2 * units, lanes);
    Vec n = load(row + 3 * units, lanes), h = load(dh + k, lanes) + load(carried + k, lanes);
    Vec to_n = h * (1.0f - z) * (1.0f - n * n);
    store(made, to_n * r, lanes);
    store(made + units, to_n * a * r * (1.0f - r), lanes);
    store(made + 2 * units, h * (load(before + k, lanes) - n) * z * (1.0f - z), lanes);
    store(made + 3 * units, to_n, lanes);
    store(carried + k, h * z, lanes);
  }
}

void forward_task(const Work &work, const Task &task, const Work::Packed &weights) {
  const RecurrentLayer &layer = work.layer;
  const Slice &slice = *task.slice;
  const int units = work.units, rows = (int)slice.rows.size(), f_at = (layer.projection ? 2 : 1) * units;
  const float *bias = layer.bias[task.direction];
  Scratch &memory = scratch();
  const long width = 4 * units + W;
  memory.left.resize(CHUNK + rows), memory.right.resize(CHUNK + rows), memory.out.resize(CHUNK + rows);
  float *cells = memory.cells.get((long)rows * units), *hidden = memory.hidden.get((long)rows * units);
  for (int m = 0; m < rows; m++)
    std::memcpy(cells + (long)m * units,
                layer.first_c ? layer.first_c + (long)slice.rows[m] * units : work.zeros.data(), sizeof(float) * units);
  for (int from = 0, to; from < slice.steps(); from = to) {
    to = chunk_end(slice, from, CHUNK);
    const long first = slice.offset[from], count = slice.offset[to] - first;
    float *gates = memory.gates.get(count * width);
    for (int s = from, at = 0; s < to; s++)
      for (int m = 0; m < slice.active[s]; m++, at++) {
        float *row = gates + at * width;
        if (layer.tokens) {
          const int token = layer.tokens[work.place(task, s, m)];
          std::memcpy(row, work.gates_of_token(task.direction, token), sizeof(float) * 4 * units);
          continue;
        }
        memory.left[at] = work.x(task, s, m);
        memory.right[at] = bias + work.x_at;
        memory.out[at] = row + work.x_at;
        std::memcpy(row, bias, sizeof(float) * work.x_at);
      }
    if (!layer.tokens)
      matmul(memory.left.data(), 1, (int)count, weights.ih, memory.right.data(), memory.out.data());
    for (int s = from; s < to; s++) {
      const int n = slice.active[s];
      float *now[MOST_SLICE_ROWS], *out[MOST_SLICE_ROWS], *y[MOST_SLICE_ROWS];
      const float *before[MOST_SLICE_ROWS];
      for (int m = 0; m < n; m++) {
        now[m] = gates + (slice.offset[s] - first + m) * width;
        before[m] = work.h_before(task, s, m);
        y[m] = work.in_y(layer.y, task, s, m);
        out[m] = layer.projection ? hidden + (long)m * units : y[m];
      }
      if (s > 0 || layer.first_h) matmul(before, 1, n, weights.hh, now, now);
      for (int m = 0; m < n; m++) {
        float *cell = cells + (long)m * units;
        float *saved = layer.saved ? work.saved(task, s, m) : nullptr;
        if (work.gru())
          gru_forward(units, before[m], now[m], out[m], saved);
        else
          lstm_forward(units, f_at, 3 * units - f_at, layer.clips ? layer.clips[0] : 0, now[m], cell, out[m], saved);
      }
      if (!layer.projection) continue;
      matmul(out, 1, n, weights.projection, nullptr, y);
      for (int m = 0; m < n; m++)
        for (int k = 0; k < layer.outputs; k += W) {
          const int lanes = std::min(W, layer.outputs - k);
          store(y[m] + k, clip(load(y[m] + k, lanes), layer.clips[1]), lanes);
        }
    }
  }
  for (int m = 0; m < rows && layer.last_h; m++) {
    const long row = slice.rows[m];
    std::memcpy(layer.last_h + row * layer.outputs, work.h_before(task, slice.lengths[m], m),
                sizeof(float) * layer.outputs);
    if (layer.last_c) std::memcpy(layer.last_c + row * units, cells + (long)m * units, sizeof(float) * units);
  }
}

// Fills work.gradients, writes `dx`, adds to `dbias` (4 H,).
void backward_task(const Work &work, const Task &task, const Work::Packed &weights, const RecurrentGradients &gradients,
                   float *dx, float *dbias) {
  const RecurrentLayer &layer = work.layer;
  const Slice &slice = *task.slice;
  const int units = work.units, outputs = layer.outputs, rows = (int)slice.rows.size();
  const int f_at = (layer.projection ? 2 : 1) * units;
  Scratch &memory = scratch();
  memory.left.resize(CHUNK + rows), memory.out.resize(CHUNK + rows);
  float *carried = memory.cells.get((long)rows * units), *hidden = memory.hidden.get((long)rows * units);
  float *dh = memory.dh.get((long)rows * outputs);
  std::memset(carried, 0, sizeof(float) * rows * units);
  // dh of the first n rows at step s, from that of y and from the gates of the step behind it
  const float *given[MOST_SLICE_ROWS], *after[MOST_SLICE_ROWS];
  float *total[MOST_SLICE_ROWS], *of_hidden[MOST_SLICE_ROWS], *of_projection[MOST_SLICE_ROWS];
  for (int m = 0; m < rows; m++) total[m] = dh + (long)m * outputs, of_hidden[m] = hidden + (long)m * units;
  for (int to = slice.steps(), from; to > 0; to = from) {
    from = to - 1;
    while (from > 0 && slice.offset[to] - slice.offset[from - 1] <= CHUNK) from--;
    for (int s = to - 1; s >= from; s--) {
      const int n = slice.active[s], next = s + 1 < slice.steps() ? slice.active[s + 1] : 0;
      for (int m = 0; m < n; m++) given[m] = work.in_y(gradients.dy, task, s, m);
      for (int m = 0; m < next; m++) after[m] = work.gradient(task, s + 1, m);
      matmul(after, 1, next, weights.hh, given, total);
      for (int m = 0; m < next; m++) given[m] = total[m];
      if (layer.projection) {
        for (int m = 0; m < n; m++) {
          const float limit = layer.clips[1], *y = work.in_y(layer.y, task, s, m);
          after[m] = of_projection[m] = work.gradient(task, s, m) + 5 * units;
          for (int k = 0; k < outputs; k++)
            of_projection[m][k] = limit > 0 && !(y[k] < limit && y[k] > -limit) ? 0 : given[m][k];
          given[m] = of_hidden[m];
        }
        matmul(after, 1, n, weights.projection, nullptr, of_hidden);
      }
      for (int m = 0; m < n; m++) {
        const float *saved = work.saved(task, s, m);
        float *mine = carried + (long)m * units, *out = work.gradient(task, s, m);
        if (work.gru())
          gru_backward(units, given[m], work.h_before(task, s, m), saved, mine, out);
        else
          lstm_backward(units, f_at, 3 * units - f_at, layer.clips ? layer.clips[0] : 0, layer.projection, given[m],
                        work.c_before(task, s, m), saved, mine, out);
      }
    }
    for (int s = from, at = 0; s < to; s++)
      for (int m = 0; m < slice.active[s]; m++, at++) {
        const float *gates = work.gradient(task, s, m);
        for (int k = 0; k < 4 * units; k++) dbias[k] += gates[k];
        memory.left[at] = gates + work.x_at;
        if (dx) memory.out[at] = dx + work.place(task, s, m) * layer.inputs;
      }
    const int count = (int)(slice.offset[to] - slice.offset[from]);
    if (dx) matmul(memory.left.data(), 1, count, weights.ih, nullptr, memory.out.data());
  }
  for (int m = 0; m < rows && gradients.first_h; m++) {
    total[m] = gradients.first_h + (long)slice.rows[m] * outputs;
    if (slice.lengths[m]) after[m] = work.gradient(task, 0, m);
    given[m] = work.gru() ? carried + (long)m * units : work.zeros.data();
    if (!slice.lengths[m]) std::memset(total[m], 0, sizeof(float) * outputs);
  }
  if (gradients.first_h && slice.steps()) matmul(after, 1, slice.active[0], weights.hh, given, total);
}

// Sums over all (step, row) pairs of left^T right: some rows of weight gradients, of one or two matrices.
struct Product {
  struct Right {
    const float *const *rows;  // of each pair
    int at, columns;           // the part of those rows
    float *out;                // where the first row of the sum begins, and how far it is to the next
    long stride;
  };
  const float *const *left;
  int left_at, rows;
  long pairs;
  std::vector<Right> rights;

  void run(int row) const {
    constexpr int STRIDE = BLOCK + W;  // no power of two, whose multiples would share a few lines of the cache
    const int count = std::min(BLOCK, rows - row);
    Scratch &memory = scratch();
    float *block = memory.block.get((long)CHUNK * STRIDE);
    memory.left.resize(BLOCK), memory.right.resize(CHUNK), memory.out.resize(BLOCK);
    for (int k = 0; k < count; k++) memory.left[k] = block + k;
    for (const Right &right : rights)
      for (int k = 0; k < count; k++)
        std::memset(right.out + (row + k) * right.stride, 0, sizeof(float) * right.columns);
    for (long from = 0; from < pairs; from += CHUNK) {
      const int depth = (int)std::min<long>(CHUNK, pairs - from);
      for (int k = 0; k < depth; k++)
        std::memcpy(block + (long)k * STRIDE, left[from + k] + left_at + row, sizeof(float) * count);
      for (const Right &right : rights) {
        for (int k = 0; k < depth; k++) memory.right[k] = right.rows[from + k] + right.at;
        for (int k = 0; k < count; k++) memory.out[k] = right.out + (row + k) * right.stride;
        memory.packed.pack(memory.right.data(), depth, right.columns, false);
        matmul(memory.left.data(), STRIDE, count, memory.packed, memory.out.data(), memory.out.data());
      }
    }
  }
};

// Calls f(direction, first row, rows) for blocks of the rows of a table.
template <class F>
void for_table(const RecurrentLayer &layer, F &&f) {
  const int blocks = (layer.table_rows + CHUNK - 1) / CHUNK;
  parallel(blocks * layer.directions, [&](int k) {
    const int first = k % blocks * CHUNK;
    f(k / blocks, first, std::min(CHUNK, layer.table_rows - first));
  });
}

// Many steps read the same row of a table, whose product with the weights is the same each time.
void table_forward(const Work &work, const Work::Packed *packed) {
  const RecurrentLayer &layer = work.layer;
  for_table(layer, [&](int d, int first, int count) {
    const float *left[CHUNK], *start[CHUNK];
    float *out[CHUNK];
    for (int m = 0; m < count; m++) {
      left[m] = layer.x + (long)(first + m) * layer.inputs;
      start[m] = layer.bias[d];
      out[m] = work.gates_of_token(d, first + m);
    }
    matmul(left, 1, count, packed[d].ih, start, out);
  });
}

// Fills work.table_gates with the sums over all steps that read a row of the gradients z of their gates, in the order of
// the pairs, and `dx` (U, I).
void table_backward(const Work &work, const Work::Packed *packed, const std::vector<const float *> &z, float *dx) {
  const RecurrentLayer &layer = work.layer;
  const int size = 4 * work.units, rows = layer.table_rows, keys = layer.directions * rows;
  std::vector<long> first(keys + 1), place(work.pairs);  // the pairs of each direction and row, sorted by counting
  std::vector<int> key;
  for (const Task &task : work.tasks)
    for (int s = 0; s < task.slice->steps(); s++)
      for (int m = 0; m < task.slice->active[s]; m++) {
        key.push_back(task.direction * rows + layer.tokens[work.place(task, s, m)]);
        first[key.back() + 1]++;
      }
  for (int k = 0; k < keys; k++) first[k + 1] += first[k];
  std::vector<long> next(first);
  for (long pair = 0; pair < work.pairs; pair++) place[next[key[pair]]++] = pair;
  constexpr int AT_ONCE = 16;
  parallel((keys + AT_ONCE - 1) / AT_ONCE, [&](int block) {
    for (int k = block * AT_ONCE; k < std::min(keys, (block + 1) * AT_ONCE); k++) {
      float *sum = work.table_gates + (long)k * size;
      std::memset(sum, 0, sizeof(float) * size);
      for (long at = first[k]; at < first[k + 1]; at++) {
        const float *gates = z[place[at]];
        for (int n = 0; n < size; n++) sum[n] += gates[n];
      }
    }
  });
  if (!dx) return;
  const int blocks = (rows + CHUNK - 1) / CHUNK;
  parallel(blocks, [&](int k) {
    const float *left[CHUNK];
    float *out[CHUNK];
    const int start = k * CHUNK, count = std::min(CHUNK, rows - start);
    for (int m = 0; m < count; m++) out[m] = dx + (long)(start + m) * layer.inputs;
    for (int d = 0; d < layer.directions; d++) {
      for (int m = 0; m < count; m++) left[m] = work.gates_of_token(d, start + m);
      matmul(left, 1, count, packed[d].ih, d ? out : nullptr, out);
    }
  });
}

void weight_gradients(const Work &work, const Work::Packed *packed, const RecurrentGradients &gradients) {
  const RecurrentLayer &layer = work.layer;
  const int units = work.units, inputs = layer.inputs, outputs = layer.outputs;
  std::vector<const float *> x, h, z;  // of all pairs; with tokens x of each row of the table, for each direction
  x.reserve(work.pairs), h.reserve(work.pairs), z.reserve(work.pairs);
  for (const Task &task : work.tasks)
    for (int s = 0; s < task.slice->steps(); s++)
      for (int m = 0; m < task.slice->active[s]; m++) {
        if (!layer.tokens) x.push_back(work.x(task, s, m));
        h.push_back(work.h_before(task, s, m));
        z.push_back(work.gradient(task, s, m));
      }
  std::vector<const float *> of_table;
  if (layer.tokens) {
    table_backward(work, packed, z, gradients.dx);
    x = rows_of(layer.x, layer.table_rows, inputs);
    of_table = rows_of(work.table_gates, layer.directions * layer.table_rows, 4 * units);
  }
  std::vector<Product> products;
  const long pairs = work.pairs / layer.directions;
  for (int d = 0; d < layer.directions; d++) {
    const float *const *of_x = x.data() + (layer.tokens ? 0 : d * pairs), *const *of_h = h.data() + d * pairs;
    const float *const *of_z = z.data() + d * pairs;
    float *ih = gradients.weight_ih[d], *hh = gradients.weight_hh[d];
    if (layer.projection) {
      for (int at = 0; at < 4 * units; at += BLOCK) {
        const int columns = std::min(BLOCK, 4 * units - at);
        products.push_back({of_x, 0, inputs, pairs, {{of_z, at, columns, ih + at, 4 * units}}});
        products.push_back({of_h, 0, outputs, pairs, {{of_z, at, columns, hh + at, 4 * units}}});
      }
      products.push_back({of_z, 4 * units, units, pairs, {{of_z, 5 * units, outputs, gradients.projection, outputs}}});
    } else if (work.gru()) {  // a, r and z, n: see Work
      float *ih_n = ih + 2L * units * inputs, *hh_n = hh + 2L * units * outputs;
      products.push_back({of_z, 0, units, pairs, {{of_h, 0, outputs, hh_n, outputs}}});
      products.push_back(
          {of_z, units, 2 * units, pairs, {{of_x, 0, inputs, ih, inputs}, {of_h, 0, outputs, hh, outputs}}});
      products.push_back({of_z, 3 * units, units, pairs, {{of_x, 0, inputs, ih_n, inputs}}});
    } else if (layer.tokens) {
      const float *const *of_row = of_table.data() + (long)d * layer.table_rows;
      products.push_back({of_row, 0, 4 * units, layer.table_rows, {{of_x, 0, inputs, ih, inputs}}});
      products.push_back({of_z, 0, 4 * units, pairs, {{of_h, 0, outputs, hh, outputs}}});
    } else {
      products.push_back({of_z, 0, 4 * units, pairs, {{of_x, 0, inputs, ih, inputs}, {of_h, 0, outputs, hh, outputs}}});
    }
  }
  std::vector<std::pair<const Product *, int>> blocks;
  for (const Product &product : products)
    for (int row = 0; row < product.rows; row += BLOCK) blocks.push_back({&product, row});
  parallel((int)blocks.size(), [&](int k) { blocks[k].first->run(blocks[k].second); });
}

void zero_padding(const Slice &slice, const RecurrentLayer &layer, float *values, long width) {
  for (size_t m = 0; m < slice.rows.size(); m++)
    for (int t = slice.lengths[m]; t < layer.steps; t++)
      std::memset(values + ((long)t * layer.batch + slice.rows[m]) * width, 0, sizeof(float) * width);
}

}  // namespace

void recurrent_forward(const RecurrentLayer &layer) {
  std::lock_guard<std::mutex> lock(one_layer_at_a_time);
  static Work::Packed packed[2];
  static Buffer of_table;
  Work work(layer);
  work.pack(packed, false);
  if (layer.tokens) {
    work.table_gates = of_table.get(4L * layer.units * layer.table_rows * layer.directions);
    table_forward(work, packed);
  }
  parallel((int)work.tasks.size(), [&](int k) {
    const Task &task = work.tasks[k];
    if (!task.direction) zero_padding(*task.slice, layer, layer.y, (long)layer.directions * layer.outputs);
    forward_task(work, task, packed[task.direction]);
  });
}

void recurrent_backward(const RecurrentLayer &layer, const RecurrentGradients &gradients) {
  std::lock_guard<std::mutex> lock(one_layer_at_a_time);
  static Work::Packed packed[2];
  static Buffer of_bias, of_second_direction, of_gates, of_table;
  Work work(layer);
  work.gradients = of_gates.get(work.pairs * work.gradient_width);
  work.pack(packed, true);
  const int size = 4 * layer.units, slices = (int)work.slices.size();
  const long inputs = layer.inputs;
  float *sums = of_bias.get((long)size * work.tasks.size()), *dx = layer.tokens ? nullptr : gradients.dx;
  float *second = nullptr;
  if (dx && layer.directions == 2) second = of_second_direction.get((long)layer.steps * layer.batch * inputs);
  if (layer.tokens) work.table_gates = of_table.get((long)size * layer.table_rows * layer.directions);
  std::memset(sums, 0, sizeof(float) * size * work.tasks.size());
  parallel((int)work.tasks.size(), [&](int k) {
    const Task &task = work.tasks[k];
    if (dx && !task.direction) zero_padding(*task.slice, layer, dx, inputs);
    backward_task(work, task, packed[task.direction], gradients, task.direction ? second : dx, sums + (long)k * size);
  });
  weight_gradients(work, packed, gradients);
  for (int d = 0; d < layer.directions; d++) {
    std::memset(gradients.bias[d], 0, sizeof(float) * size);
    for (int j = 0; j < slices; j++)
      for (int k = 0; k < size; k++) gradients.bias[d][k] += sums[((long)d * slices + j) * size + k];
  }
  if (second)
    parallel(slices, [&](int k) {
      const Slice &slice = work.slices[k];
      for (size_t m = 0; m < slice.rows.size(); m++)
        for (int t = 0; t < slice.lengths[m]; t++) {
          const long at = ((long)t * layer.batch + slice.rows[m]) * inputs;
          for (int i = 0; i < inputs; i++) dx[at + i] += second[at + i];
        }
    });
}

}  // namespace native
