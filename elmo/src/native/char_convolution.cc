#include "char_convolution.h"

#include <algorithm>
#include <vector>

#include "matmul.h"
#include "threads.h"

namespace native {
namespace {

constexpr int VECTORS = 4, FILTERS = VECTORS * W;  // of one width that a thread takes at once

struct Block {
  int width, number, column, count;  // `count` of the `number` filters of a width; `column` is the first in all of them
  long weight;                       // the offset of its first weight
};

std::vector<Block> divide_filters(const CharConvolution &layer) {
  std::vector<Block> blocks;
  long weight = 0;
  for (int k = 0, column = 0; k < layer.widths; k++) {
    const int width = layer.sizes[2 * k], number = layer.sizes[2 * k + 1];
    for (int first = 0; first < number; first += FILTERS)
      blocks.push_back({width, number, column + first, std::min(FILTERS, number - first), weight + first});
    column += number, weight += (long)width * layer.dim * number;
  }
  return blocks;
}

// Memory of the thread for a row of FILTERS numbers for each offset in a window and character.
float *table_of(const CharConvolution &layer, const Block &block) {
  static thread_local Buffer *buffer = new Buffer();
  return buffer->get((long)block.width * layer.characters * FILTERS);
}

}  // namespace

// There are few characters, so what each adds to a score is a table: a window costs a sum of rows, not a product.
void char_convolution(const CharConvolution &layer, float *best, int *place) {
  const std::vector<Block> blocks = divide_filters(layer);
  std::vector<int> repeated(layer.words);  // the place from which on a word is one character, so that windows are equal
  for (int n = 0; n < layer.words; n++) {
    const int *ids = layer.char_ids + (long)n * layer.length;
    int &first = repeated[n] = layer.length - 1;
    while (first > 0 && ids[first - 1] == ids[first]) first--;
  }
  parallel((int)blocks.size(), [&](int b) {
    const Block &block = blocks[b];
    float *table = table_of(layer, block), *row = table;
    for (int j = 0; j < block.width; j++)
      for (int c = 0; c < layer.characters; c++, row += FILTERS)
        for (int at = 0; at < FILTERS; at += W) {
          Vec sum = {};
          for (int d = 0; d < layer.dim; d++)
            sum += layer.embedding[c * layer.dim + d] *
                   load(layer.weights + block.weight + (long)(j * layer.dim + d) * block.number + at, block.count - at);
          store(row + at, sum);
        }
    for (int n = 0; n < layer.words; n++) {
      const int *ids = layer.char_ids + (long)n * layer.length;
      const int last = std::min(repeated[n], layer.length - block.width);
      Vec highest[VECTORS];
      IntVec where[VECTORS] = {};
      for (int p = 0; p <= last; p++) {
        Vec sums[VECTORS] = {};
        for (int j = 0; j < block.width; j++) {
          const float *add = table + ((long)j * layer.characters + ids[p + j]) * FILTERS;
          for (int v = 0; v < VECTORS; v++) sums[v] += load(add + v * W);
        }
        for (int v = 0; v < VECTORS; v++) {
          const IntVec higher = p ? sums[v] > highest[v] : IntVec{} - 1;
          highest[v] = higher ? sums[v] : highest[v];
          where[v] = higher ? IntVec{} + p : where[v];
        }
      }
      const long out = (long)n * layer.filters + block.column;
      for (int v = 0, lanes = block.count; v < VECTORS; v++, lanes -= W) {
        store(best + out + v * W, highest[v] + load(layer.bias + block.column + v * W, lanes), lanes);
        store((float *)place + out + v * W, (Vec)where[v], lanes);
      }
    }
  });
}

void char_convolution_gradient(const CharConvolution &layer, const int *place, const float *d_best,
                               float *d_embedding, float *d_weights, float *d_bias) {
  const std::vector<Block> blocks = divide_filters(layer);
  const int size = layer.characters * layer.dim;
  std::vector<float> parts(blocks.size() * size);  // of the gradient of the embedding
  std::fill(d_bias, d_bias + layer.filters, 0.0f);
  parallel((int)blocks.size(), [&](int b) {
    const Block &block = blocks[b];
    float *table = table_of(layer, block);  // of the gradients of the table above
    std::fill(table, table + (long)block.width * layer.characters * FILTERS, 0.0f);
    for (int n = 0; n < layer.words; n++) {
      const long row = (long)n * layer.filters + block.column;
      for (int f = 0; f < block.count; f++) {
        const int *ids = layer.char_ids + (long)n * layer.length + place[row + f];
        const float gradient = d_best[row + f];
        d_bias[block.column + f] += gradient;
        for (int j = 0; j < block.width; j++) table[((long)j * layer.characters + ids[j]) * FILTERS + f] += gradient;
      }
    }
    for (int k = 0; k < block.width * layer.dim; k++) {
      const int d = k % layer.dim;
      const float *rows = table + (long)(k / layer.dim) * layer.characters * FILTERS;
      const long weight = block.weight + (long)k * block.number;
      Vec weights[VECTORS], sums[VECTORS] = {};
      for (int v = 0; v < VECTORS; v++) weights[v] = load(layer.weights + weight + v * W, block.count - v * W);
      for (int c = 0; c < layer.characters; c++, rows += FILTERS) {
        Vec products = {};
        for (int v = 0; v < VECTORS; v++) {
          products += load(rows + v * W) * weights[v];
          sums[v] += layer.embedding[c * layer.dim + d] * load(rows + v * W);
        }
        for (int lane = 0; lane < W; lane++) parts[(long)b * size + c * layer.dim + d] += products[lane];
      }
      for (int v = 0; v < VECTORS; v++) store(d_weights + weight + v * W, sums[v], block.count - v * W);
    }
  });
  std::fill(d_embedding, d_embedding + size, 0.0f);
  for (size_t k = 0; k < parts.size(); k++) d_embedding[k % size] += parts[k];
}

}  // namespace native
