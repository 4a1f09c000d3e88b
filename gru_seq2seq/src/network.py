"""Encoder and decoder of GRUs with attention (Cho et al. 2014, Bahdanau et al. 2015, Luong et al. 2015).

In comments S are source steps, T target steps, B sentences, N hypotheses of a beam search, L decoder layers, E the size
of an embedding, H that of a state, V that of the target vocabulary.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src import random_streams
from src.gru import GRU
from src.model_utils.layers import AddBias, KeyedDropout
from src.tokenization import PAD

MASKED = -1e4  # a score that leaves exactly no weight in a float32 softmax, and fits into float16


def dynamic_inputs() -> list[Tensor]:
    """Return placeholders of any size for the arrays of dataset.TranslationInputs in their order."""
    shapes = [None, None], [None], [None, None], [None, None], [None]
    return [Tensor(shape=shape, dtype=ms.int32) for shape in shapes]


class Linear(nn.Dense):
    """y = x W^T + b over the last axis, W (outputs, inputs), Glorot & Bengio 2010 at the start."""

    def __init__(self, *, inputs: int, outputs: int, seed, bias: bool = True):
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = np.random.default_rng(seed).uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
        super().__init__(inputs, outputs, weight_init=Tensor(weight), bias_init="zeros", has_bias=bias)
        self.bias_add = AddBias()

    def construct(self, x) -> Tensor:
        """Map x (..., inputs) to (..., outputs)."""
        rows = self.matmul(x.reshape(-1, self.in_channels), self.weight)
        if self.has_bias:
            rows = self.bias_add(rows, self.bias)
        return rows if x.ndim == 2 else rows.reshape(*x.shape[:-1], self.out_channels)


class Attention(nn.Cell):
    """Weights over the memory of a source.

    The score of a query q and a state m is q W m with "luong" (Luong et al. 2015, section 3.1, "general") and
    v tanh(W q + U m + b) with "bahdanau" (Bahdanau et al. 2015, appendix A.1.2).
    """

    def __init__(self, *, kind: str, query_size: int, memory_size: int, seed):
        super().__init__()
        self.additive = kind == "bahdanau"
        self.memory_key = Linear(inputs=memory_size, outputs=query_size, seed=[*seed, 0], bias=self.additive)
        if self.additive:
            self.query = Linear(inputs=query_size, outputs=query_size, seed=[*seed, 1], bias=False)
            self.score = Linear(inputs=query_size, outputs=1, seed=[*seed, 2], bias=False)
        self.batch_matmul, self.batch_matmul_nt = ops.BatchMatMul(), ops.BatchMatMul(transpose_b=True)
        self.expand_dims, self.softmax = ops.ExpandDims(), ops.Softmax((-1,))

    def construct(self, queries, memory, keys, mask) -> tuple[Tensor, Tensor]:
        """Return contexts (B, T, M) and weights (B, T, S) of queries (B, T, Q).

        The queries are compared with `keys` (B, S, Q), the `memory_key` of memory (B, S, M), which is the same at every
        step; `mask` (B, S) is -1e4 where padded.
        """
        if self.additive:
            sums = self.query(queries).expand_dims(2) + keys.expand_dims(1)  # (B, T, S, Q)
            scores = self.score(ops.tanh(sums)).squeeze(-1)  # (B, T, S)
        else:
            scores = self.batch_matmul_nt(queries, keys)  # (B, T, S)
        weights = self.softmax(scores + self.expand_dims(mask, 1))
        return self.batch_matmul(weights, memory), weights


class Seq2Seq(nn.Cell):
    """Translate: a bidirectional GRU encoder, a GRU decoder with attention, logits over the target vocabulary.

    With "luong" the decoder's first layer asks for the context, which the layers above it read (as in Wu et al. 2016)
    and which joins the last state before the output. No context flows back into the layer that asks, so attention is
    computed for all target steps at once. With "bahdanau" the first layer reads the context that its state before asked
    for, step by step, as in the paper.

    `tied_embeddings` "decoder" shares the target embedding with the output matrix (Press & Wolf 2017), "all" the source
    embedding too, which needs one vocabulary for both. Padding never changes a result.
    """

    def __init__(
        self,
        *,
        source_vocabulary: int,
        target_vocabulary: int,
        embed_size: int,
        hidden_size: int,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        attention: str = "luong",
        dropout: float = 0.0,
        tied_embeddings: str = "none",
        layer_norm: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        if tied_embeddings == "all" and source_vocabulary != target_vocabulary:
            raise ValueError('tied_embeddings "all" needs one vocabulary for source and target')
        self.hidden_size = hidden_size
        self.recurrent_attention = attention == "bahdanau"
        self.attends_below = decoder_layers > 1 and not self.recurrent_attention

        def table(name: str, rows: int, stream: int) -> Parameter:
            values = np.random.default_rng([seed, stream]).normal(0, embed_size**-0.5, (rows, embed_size))
            return Parameter(Tensor(values.astype(np.float32)), name=name)

        target = table("target_embedding", target_vocabulary, random_streams.TARGET_EMBEDDING)
        source = output = target
        if tied_embeddings != "all":
            source = table("source_embedding", source_vocabulary, random_streams.SOURCE_EMBEDDING)
        if tied_embeddings == "none":
            output = table("output_embedding", target_vocabulary, random_streams.OUTPUT_EMBEDDING)
        self.target_embedding, self.source_embedding, self.output_embedding = target, source, output
        self.output_bias = Parameter(Tensor(np.zeros(target_vocabulary, np.float32)), name="output_bias")

        def layers(stream: int, input_sizes: list[int], size: int, bidirectional: bool) -> nn.CellList:
            return nn.CellList(
                [
                    GRU(input_size=inputs, hidden_size=size, bidirectional=bidirectional, seed=[seed, stream + k])
                    for k, inputs in enumerate(input_sizes)
                ]
            )

        encoder_inputs = [embed_size] + [hidden_size] * (encoder_layers - 1)
        decoder_inputs = [embed_size + (hidden_size if self.recurrent_attention else 0)]
        decoder_inputs += [hidden_size * (2 if self.attends_below else 1)] * (decoder_layers - 1)
        self.encoder = layers(random_streams.ENCODER, encoder_inputs, hidden_size // 2, True)
        self.decoder = layers(random_streams.DECODER, decoder_inputs, hidden_size, False)
        self.bridge = nn.CellList(
            [
                Linear(inputs=hidden_size, outputs=hidden_size, seed=[seed, random_streams.BRIDGE + k])
                for k in range(decoder_layers)
            ]
        )
        self.attention = Attention(
            kind=attention, query_size=hidden_size, memory_size=hidden_size, seed=[seed, random_streams.ATTENTION]
        )
        self.joint = Linear(inputs=2 * hidden_size, outputs=embed_size, seed=[seed, random_streams.JOINT])

        def dropouts(stream: int, sizes: list[int]) -> nn.CellList:
            return nn.CellList([KeyedDropout(dropout, size, [seed, stream + k]) for k, size in enumerate(sizes)])

        source_sizes = [embed_size] + [hidden_size] * encoder_layers
        target_sizes = [embed_size] + [hidden_size] * (decoder_layers - 1)
        self.source_dropout = dropouts(random_streams.SOURCE_DROPOUT, source_sizes)
        self.target_dropout = dropouts(random_streams.TARGET_DROPOUT, target_sizes)
        self.joint_dropout = dropouts(random_streams.JOINT_DROPOUT, [2 * hidden_size, embed_size])

        def norms(count: int) -> nn.CellList:
            return nn.CellList([nn.LayerNorm((hidden_size,)) if layer_norm else nn.Identity() for _ in range(count)])

        self.encoder_norms, self.decoder_norms = norms(encoder_layers), norms(decoder_layers)
        self.matmul_nt, self.add_bias = ops.MatMul(transpose_b=True), AddBias()
        # functions of mindspore.ops, methods of tensors and Python's numbers take longer to compile than these
        self.gather, self.transpose = ops.Gather(), ops.Transpose()
        self.concat_layers, self.concat_columns = ops.Concat(0), ops.Concat(2)
        self.equal, self.not_equal, self.cast, self.sum = ops.Equal(), ops.NotEqual(), ops.Cast(), ops.ReduceSum()
        self.tanh, self.log_softmax, self.pad = ops.Tanh(), ops.LogSoftmax(-1), Tensor(PAD, ms.int32)
        self.stack_layers, self.unstack_layers = ops.Stack(1), ops.Unstack(1)

    def construct(self, source, source_lengths, target_input, dropout_keys) -> Tensor:
        """Return logits (T * B, V) of the tokens that follow each of target_input (T, B).

        source (S, B), source_lengths (B,) and dropout_keys (B,) are int32.
        """
        return self._logits(self.hidden(source, source_lengths, target_input, dropout_keys))

    def hidden(self, source, source_lengths, target_input, dropout_keys) -> Tensor:
        """Return what the output layer reads, (T * B, E), for the inputs of `construct`."""
        states, memory = self._encode(source, source_lengths, dropout_keys)
        lengths = self.sum(self.cast(self.not_equal(target_input, self.pad), ms.int32), (0,))  # (B,)
        return self._decode(target_input, lengths, states, memory, dropout_keys)[0]

    def encode(self, source, source_lengths) -> tuple[Tensor, ...]:
        """Return states (B, L, H) of source (S, B), and the memory, some arrays with the sentence on axis 0."""
        states, memory = self._encode(source, source_lengths, None)
        return (self.stack_layers(states),) + memory

    def decode_step(self, tokens, state, *memory) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities (N, V) of the next token, the next state and attention weights (N, S).

        tokens (N,) int32 are the last ones, state (N, L, H) and memory (N, ...) those of their sentences.
        """
        states = self.unstack_layers(state)
        hidden, outputs, weights = self._decode(tokens.reshape(1, -1), None, states, memory, None)
        state = self.transpose(self.concat_layers(outputs), (1, 0, 2))
        return self.log_softmax(self._logits(hidden)), state, weights.reshape(-1, weights.shape[2])

    def _encode(self, source, lengths, dropout_keys):
        """Return the decoder's first states, L times (B, H), and memory (B, S, H), keys (B, S, H) and mask (B, S)."""
        x = self.gather(self.source_embedding, source, 0)  # (S, B, E)
        last = None
        for k in range(len(self.encoder)):
            x = self.source_dropout[k](x, dropout_keys)
            outputs = self.encoder[k](x, lengths, None, dropout_keys is None)  # (S, B, H)
            last = self.encoder[k].last_states(outputs, lengths)  # (B, H)
            outputs = self.encoder_norms[k](outputs)
            x = outputs if k == 0 else x + outputs
        x = self.source_dropout[len(self.encoder)](x, dropout_keys)
        memory = self.transpose(x, (1, 0, 2))  # (B, S, H)
        mask = self.transpose(self.cast(self.equal(source, self.pad), ms.float32), (1, 0)) * MASKED  # (B, S)
        states = ()
        for k in range(len(self.bridge)):
            states += (self.tanh(self.bridge[k](last)),)
        return states, (memory, self.attention.memory_key(memory), mask)

    def _decode(self, tokens, lengths, states, memory, dropout_keys):
        """Return what the output layer reads, the states of each layer (T, B, H), and attention weights (B, T, S).

        Reads tokens (T, B) with their lengths (B,), or a single step (1, B) without; of Bahdanau's decoder the weights
        are those of the last step, (B, 1, S).
        """
        x = self.gather(self.target_embedding, tokens, 0)  # (T, B, E)
        x = self.target_dropout[0](x, dropout_keys)
        if self.recurrent_attention:
            x, contexts, weights = self._attend_by_step(x, states[0], memory)  # (T, B, H) each
            outputs = (x,)
        else:
            outputs = (self.decoder[0](x, lengths, states[0]),)  # (T, B, H)
            x = self.decoder_norms[0](outputs[0])
            contexts, weights = self.attention(self.transpose(x, (1, 0, 2)), *memory)  # (B, T, H)
            contexts = self.transpose(contexts, (1, 0, 2))  # (T, B, H)
        for k in range(1, len(self.decoder)):
            below = self.target_dropout[k](x, dropout_keys)
            if self.attends_below:
                below = self.concat_columns((below, contexts))  # (T, B, 2H)
            outputs += (self.decoder[k](below, lengths, states[k]),)  # (T, B, H)
            x = x + self.decoder_norms[k](outputs[k])
        joint = self.joint_dropout[0](self.concat_columns((x, contexts)), dropout_keys)  # (T, B, 2H)
        joint = self.joint_dropout[1](self.tanh(self.joint(joint)), dropout_keys)  # (T, B, E)
        return joint.reshape(-1, joint.shape[-1]), outputs, weights

    def _attend_by_step(self, x, state, memory):
        """Return states and contexts (T, B, H), and the last weights, of Bahdanau's decoder over x (T, B, E)."""
        states, contexts, weights = (), (), None
        for t in range(x.shape[0]):
            context, weights = self.attention(state.expand_dims(1), *memory)  # (B, 1, H), (B, 1, S)
            context = context.squeeze(1)
            state = self.decoder[0].step(ops.cat((x[t], context), 1), state)
            states, contexts = states + (state,), contexts + (context,)
        return ops.stack(states), ops.stack(contexts), weights

    def _logits(self, hidden):
        """Return logits (rows, V) of what the output layer reads, (rows, E)."""
        return self.add_bias(self.matmul_nt(hidden, self.output_embedding), self.output_bias)
