// The convolutions of a character encoder, each followed by the maximum over all places of a word.
#pragma once

namespace native {

// With N words of W characters out of C, D numbers for a character, and F filters of K widths in all.
struct CharConvolution {
  int words, length, characters, dim, filters, widths;
  const int *char_ids;  // (N, W)
  const float *embedding, *weights, *bias;  // (C, D); (width * D, number) of each width, one behind the other; (F,)
  const int *sizes;  // (K, 2), width and number of filters
};

// best (N, F): the highest score with its bias; place (N, F): where, the first of equals.
void char_convolution(const CharConvolution &layer, float *best, int *place);

// Fills the gradients of embedding, weights and bias from that of `best`.
void char_convolution_gradient(const CharConvolution &layer, const int *place, const float *d_best,
                               float *d_embedding, float *d_weights, float *d_bias);

}  // namespace native
