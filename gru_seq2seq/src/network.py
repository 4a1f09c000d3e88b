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
from src.model_utils.layers import AddBias, KeyedDropout, padding_mask
from src.tokenization import PAD

MASKED = -1e4  # a score that leaves exactly no weight in a float32 softmax, and fits into float16


def dynamic_inputs() -> list[Tensor]:
    """Return placeholders of any size for the arrays of dataset.TranslationInputs in their order."""
    shapes = [None, None], [None], [None, None], [None, None], [None]
    return [Tensor(shape=shape, dtype=ms.int32) for shape in shapes]


class Linear(nn.Cell):
    """y = x W^T + b over the last axis, W (outputs, inputs), Glorot & Bengio 2010 at the start."""

    def __init__(self, *, inputs: int, outputs: int, seed, bias: bool = True):
        super().__init__()
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = np.random.default_rng(seed).uniform(-bound, bound, (outputs, inputs))
        self.weight = Parameter(Tensor(weight.astype(np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(outputs, np.float32)), name="bias") if bias else None
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.add_bias = AddBias()

    def construct(self, x) -> Tensor:
        """Map x (..., inputs) to (..., outputs)."""
        shape = x.shape
        y = self.matmul_nt(x.reshape(-1, shape[-1]), self.weight)
        if self.bias is not None:
            y = self.add_bias(y, self.bias)
        return y.reshape(shape[:-1] + (y.shape[-1],))


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
        self.batch_matmul = ops.BatchMatMul()
        self.batch_matmul_nt = ops.BatchMatMul(transpose_b=True)

    def keys(self, memory) -> Tensor:
        """Return what the queries are compared with (B, S, Q) of memory (B, S, M); the same at every step."""
        return self.memory_key(memory)

    def construct(self, queries, keys, memory, mask) -> tuple[Tensor, Tensor]:
        """Return contexts (B, T, M) and weights (B, T, S) of queries (B, T, Q); `mask` (B, S) is -1e4 where padded."""
        if self.additive:
            sums = self.query(queries).expand_dims(2) + keys.expand_dims(1)  # (B, T, S, Q)
            scores = self.score(ops.tanh(sums)).squeeze(-1)  # (B, T, S)
        else:
            scores = self.batch_matmul_nt(queries, keys)  # (B, T, S)
        weights = ops.softmax(scores + mask.expand_dims(1), -1)
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

    def construct(self, source, source_lengths, target_input, dropout_keys) -> Tensor:
        """Return logits (T * B, V) of the tokens that follow each of target_input (T, B).

        source (S, B), source_lengths (B,) and dropout_keys (B,) are int32.
        """
        return self._logits(self.hidden(source, source_lengths, target_input, dropout_keys))

    def hidden(self, source, source_lengths, target_input, dropout_keys) -> Tensor:
        """Return what the output layer reads, (T * B, E), for the inputs of `construct`."""
        memory, keys, mask, states = self._encode(source, source_lengths, dropout_keys)
        lengths = (target_input != PAD).astype(ms.int32).sum(0)  # (B,)
        x = ops.gather(self.target_embedding, target_input, 0)  # (T, B, E)
        x = self.target_dropout[0](x, dropout_keys)
        if self.recurrent_attention:
            x, contexts = self._attend_by_step(x, states[0], memory, keys, mask)  # (T, B, H) each
        else:
            x = self.decoder[0](x, lengths, states[0])  # (T, B, H)
            x = self.decoder_norms[0](x)
            contexts, _ = self.attention(x.transpose(1, 0, 2), keys, memory, mask)  # (B, T, H)
            contexts = contexts.transpose(1, 0, 2)  # (T, B, H)
        for k in range(1, len(self.decoder)):
            below = self.target_dropout[k](x, dropout_keys)
            if self.attends_below:
                below = ops.cat((below, contexts), 2)  # (T, B, 2H)
            x = x + self.decoder_norms[k](self.decoder[k](below, lengths, states[k]))  # (T, B, H)
        return self._joint(x, contexts, dropout_keys)

    def encode(self, source, source_lengths) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the memory of source (S, B), a tuple of arrays with the sentence on axis 0, and states (B, L, H)."""
        memory, keys, mask, states = self._encode(source, source_lengths, None)
        return (memory, keys, mask), ops.stack(states, 1)

    def decode_step(self, tokens, state, memory) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities (N, V) of the next token, the next state and attention weights (N, S).

        tokens (N,) int32 are the last ones, state (N, L, H) and memory (a tuple of (N, ...)) those of their sentences.
        """
        memory, keys, mask = memory
        states = ops.unstack(state, axis=1)
        x = ops.gather(self.target_embedding, tokens, 0)  # (N, E)
        if self.recurrent_attention:
            first, context, weights = self._step_with_attention(x, states[0], memory, keys, mask)
            after, x = (first,), first
        else:
            first = self.decoder[0].step(x, states[0])  # (N, H)
            after, x = (first,), self.decoder_norms[0](first)
            context, weights = self.attention(x.expand_dims(1), keys, memory, mask)  # (N, 1, H), (N, 1, S)
            context, weights = context.squeeze(1), weights.squeeze(1)
        for k in range(1, len(self.decoder)):
            below = ops.cat((x, context), 1) if self.attends_below else x
            upper = self.decoder[k].step(below, states[k])
            after, x = after + (upper,), x + self.decoder_norms[k](upper)
        logits = self._logits(self._joint(x, context, None))  # (N, V)
        return ops.log_softmax(logits, -1), ops.stack(after, 1), weights

    def _encode(self, source, lengths, dropout_keys):
        """Return memory (B, S, H), keys (B, S, H), mask (B, S) and the decoder's first states, L times (B, H)."""
        padding = padding_mask(lengths, source.shape[0])  # (S, B, 1)
        x = ops.gather(self.source_embedding, source, 0)  # (S, B, E)
        last = None
        for k in range(len(self.encoder)):
            x = self._drop(self.source_dropout[k], x, dropout_keys)
            outputs = self.encoder[k](x, lengths, None, dropout_keys is None)  # (S, B, H)
            last = self.encoder[k].last_states(outputs, lengths)  # (B, H)
            outputs = self.encoder_norms[k](outputs)
            x = outputs if k == 0 else x + outputs
        x = self._drop(self.source_dropout[len(self.encoder)], x, dropout_keys)
        memory = x.transpose(1, 0, 2)  # (B, S, H)
        mask = padding.squeeze(2).transpose(1, 0) * MASKED  # (B, S)
        states = ()
        for k in range(len(self.bridge)):
            states = states + (ops.tanh(self.bridge[k](last)),)
        return memory, self.attention.keys(memory), mask, states

    def _attend_by_step(self, x, state, memory, keys, mask):
        """Return states and contexts (T, B, H) of Bahdanau's decoder over the embedded targets x (T, B, E)."""
        states, contexts = (), ()
        for t in range(x.shape[0]):
            state, context, _ = self._step_with_attention(x[t], state, memory, keys, mask)
            states, contexts = states + (state,), contexts + (context,)
        return ops.stack(states), ops.stack(contexts)

    def _step_with_attention(self, x, state, memory, keys, mask):
        context, weights = self.attention(state.expand_dims(1), keys, memory, mask)  # (B, 1, H), (B, 1, S)
        context = context.squeeze(1)
        state = self.decoder[0].step(ops.cat((x, context), 1), state)
        return state, context, weights.squeeze(1)

    def _joint(self, x, contexts, dropout_keys):
        """Return what the output layer reads, (rows, E), of the last states x and contexts (..., H)."""
        joint = self._drop(self.joint_dropout[0], ops.cat((x, contexts), -1), dropout_keys)
        joint = ops.tanh(self.joint(joint))  # (..., E)
        joint = self._drop(self.joint_dropout[1], joint, dropout_keys)
        return joint.reshape(-1, joint.shape[-1])

    def _logits(self, hidden):
        """Return logits (rows, V) of what the output layer reads, (rows, E)."""
        return self.add_bias(self.matmul_nt(hidden, self.output_embedding), self.output_bias)

    @staticmethod
    def _drop(dropout, x, keys) -> Tensor:
        return x if keys is None else dropout(x, keys)


class Encoder(nn.Cell):
    """A network's `encode` as a graph of its own, with its outputs in one row: state, then the memory."""

    def __init__(self, network: Seq2Seq):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, source, source_lengths) -> tuple[Tensor, ...]:
        memory, state = self.network.encode(source, source_lengths)
        return (state,) + memory


class Decoder(nn.Cell):
    """A network's `decode_step` as a graph of its own, with its inputs in one row: tokens, state, then the memory."""

    def __init__(self, network: Seq2Seq):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, tokens, state, *memory) -> tuple[Tensor, Tensor, Tensor]:
        return self.network.decode_step(tokens, state, memory)
