"""Encoder and decoder step as ONNX graphs for batches of any size and sources of any length.

The graphs are built here, from the weights, because MindSpore's own ONNX export fixes every shape and would write the
encoder out step by step. ONNX's GRU operator has the reset-after form (`linear_before_reset`) and reads each sequence
within its length itself. Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

import numpy as np
from mindspore import nn
from onnx import ModelProto, TensorProto

from src.model_utils.onnx_builder import Graph
from src.network import MASKED, Seq2Seq


def build_encoder(network: Seq2Seq) -> ModelProto:
    """Return the ONNX model of `encode`.

    Inputs source (S, B) and source_lengths (B,), int32, every length at least 1 and at most S; outputs state (B, L, H),
    memory and keys (B, S, H) and mask (B, S), float32.
    """
    graph = Graph()
    x = graph("Gather", graph.constant(network.source_embedding.asnumpy()), "source")  # (S, B, E)
    for k, layer in enumerate(network.encoder):
        outputs, last = _gru_layer(graph, layer, x)  # (S, B, H), (B, H)
        outputs = _norm(graph, network.encoder_norms[k], outputs)
        x = graph("Add", x, outputs) if k else outputs
    memory = graph("Transpose", x, perm=[1, 0, 2], output="memory")
    graph("Identity", _linear(graph, network.attention.memory_key, memory), output="keys")
    zero, one = (graph.constant(np.array(number, np.int64)) for number in (0, 1))
    steps = graph("Cast", graph("Range", zero, graph("Gather", graph("Shape", "source"), zero), one), to=_INT)  # (S,)
    is_padded = graph("GreaterOrEqual", steps, graph("Unsqueeze", "source_lengths", graph.ints(1)))  # (B, S)
    graph("Mul", graph("Cast", is_padded, to=_FLOAT), graph.constant(np.array(MASKED, np.float32)), output="mask")
    states = [graph("Unsqueeze", graph("Tanh", _linear(graph, layer, last)), graph.ints(1)) for layer in network.bridge]
    graph("Concat", *states, axis=1, output="state")
    size = network.hidden_size
    return graph.model(
        "encoder",
        {"source": (_INT, ["length", "batch"]), "source_lengths": (_INT, ["batch"])},
        {"state": (_FLOAT, ["batch", len(states), size]), **_memory("batch", size)},
    )


def build_decoder(network: Seq2Seq) -> ModelProto:
    """Return the ONNX model of `decode_step`.

    Inputs tokens (N,) int32, state (N, L, H) and what the encoder gives as memory, keys and mask; outputs log_probs
    (N, V), next_state (N, L, H) and attention (N, S), float32.
    """
    graph = Graph()
    layers = len(network.decoder)
    states = [graph("Gather", "state", graph.constant(np.array(k, np.int64)), axis=1) for k in range(layers)]
    x = graph("Gather", graph.constant(network.target_embedding.asnumpy()), "tokens")  # (N, E)
    if network.recurrent_attention:
        context = _attention(graph, network.attention, states[0])  # (N, H)
        x = first = _gru_step(graph, network.decoder[0], graph("Concat", x, context, axis=1), states[0])
    else:
        first = _gru_step(graph, network.decoder[0], x, states[0])  # (N, H)
        x = _norm(graph, network.decoder_norms[0], first)
        context = _attention(graph, network.attention, x)
    after = [first]
    for k in range(1, layers):
        below = graph("Concat", x, context, axis=1) if network.attends_below else x
        after.append(_gru_step(graph, network.decoder[k], below, states[k]))
        x = graph("Add", x, _norm(graph, network.decoder_norms[k], after[k]))
    joint = graph("Tanh", _linear(graph, network.joint, graph("Concat", x, context, axis=1)))  # (N, E)
    logits = graph("MatMul", joint, graph.constant(network.output_embedding.asnumpy().T))
    logits = graph("Add", logits, graph.constant(network.output_bias.asnumpy()))  # (N, V)
    graph("LogSoftmax", logits, axis=1, output="log_probs")
    graph("Concat", *(graph("Unsqueeze", state, graph.ints(1)) for state in after), axis=1, output="next_state")
    size, state = network.hidden_size, (_FLOAT, ["rows", layers, network.hidden_size])
    return graph.model(
        "decoder",
        {"tokens": (_INT, ["rows"]), "state": state, **_memory("rows", size)},
        {
            "log_probs": (_FLOAT, ["rows", network.output_bias.shape[0]]),
            "next_state": state,
            "attention": (_FLOAT, ["rows", "length"]),
        },
    )


_INT, _FLOAT = TensorProto.INT32, TensorProto.FLOAT


def _memory(rows: str, size: int) -> dict:
    wide = (_FLOAT, [rows, "length", size])
    return {"memory": wide, "keys": wide, "mask": (_FLOAT, [rows, "length"])}


def _linear(graph: Graph, layer, x: str) -> str:
    y = graph("MatMul", x, graph.constant(layer.weight.asnumpy().T))
    return y if layer.bias is None else graph("Add", y, graph.constant(layer.bias.asnumpy()))


def _norm(graph: Graph, layer, x: str) -> str:
    if not isinstance(layer, nn.LayerNorm):
        return x
    weights = [graph.constant(weight.asnumpy()) for weight in (layer.gamma, layer.beta)]
    return graph("LayerNormalization", x, *weights, axis=-1, epsilon=layer.epsilon)


def _gru_weights(graph: Graph, layer) -> list[str]:
    """Return W (D, 3H, I), R (D, 3H, H) and B (D, 6H) of a GRU layer of D directions."""
    weights = [_onnx_gates(weight.asnumpy()) for weight in layer.weights]
    weight_ih, weight_hh, bias_ih, bias_hh = (np.stack(weights[k::4]) for k in range(4))
    return [graph.constant(array) for array in (weight_ih, weight_hh, np.concatenate([bias_ih, bias_hh], 1))]


def _onnx_gates(weight: np.ndarray) -> np.ndarray:
    """Bring the gates reset, update, new along the first axis into ONNX's order update, reset, new."""
    reset, update, new = np.split(weight, 3)
    return np.concatenate([update, reset, new])


def _gru_layer(graph: Graph, layer, x: str) -> tuple[str, str]:
    """Add a bidirectional layer; x (S, B, I) to outputs (S, B, 2 * H), 0 behind the end, and last states (B, 2 * H)."""
    options = {"hidden_size": layer.hidden_size, "linear_before_reset": 1, "direction": "bidirectional"}
    y, last = graph("GRU", x, *_gru_weights(graph, layer), "source_lengths", outputs=2, **options)
    y = graph("Reshape", graph("Transpose", y, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))  # of (S, 2, B, H)
    return y, graph("Reshape", graph("Transpose", last, perm=[1, 0, 2]), graph.ints(0, -1))  # of (2, B, H)


def _gru_step(graph: Graph, layer, x: str, state: str) -> str:
    """Add one step of a layer; x (N, I) and state (N, H) to the next state (N, H)."""
    weights = _gru_weights(graph, layer)
    x, state = (graph("Unsqueeze", value, graph.ints(0)) for value in (x, state))
    options = {"hidden_size": layer.hidden_size, "linear_before_reset": 1}
    _, last = graph("GRU", x, *weights, "", state, outputs=2, **options)
    return graph("Squeeze", last, graph.ints(0))


def _attention(graph: Graph, layer, query: str) -> str:
    """Add the attention of query (N, H), whose weights are the output `attention`; returns the context (N, H)."""
    if layer.additive:
        query = graph("Unsqueeze", _linear(graph, layer.query, query), graph.ints(1))  # (N, 1, H)
        scores = _linear(graph, layer.score, graph("Tanh", graph("Add", query, "keys")))  # (N, S, 1)
    else:
        scores = graph("MatMul", "keys", graph("Unsqueeze", query, graph.ints(2)))  # (N, S, 1)
    scores = graph("Add", graph("Squeeze", scores, graph.ints(2)), "mask")
    weights = graph("Softmax", scores, axis=1, output="attention")
    context = graph("MatMul", graph("Unsqueeze", weights, graph.ints(1)), "memory")  # (N, 1, H)
    return graph("Squeeze", context, graph.ints(1))
