"""The network as an ONNX graph for batches of any size and length.

The graph is built here, from the weights, because MindSpore's own ONNX export has no bidirectional LSTM and fixes every
shape. ONNX's LSTM operator reads each sequence within its length itself, so the padding column is not needed.
Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto

from src.model_utils.onnx_builder import Graph, lstm_layer


def build_onnx(network, table: np.ndarray) -> ModelProto:
    """Return the ONNX model of a SentimentNet whose word vectors, projection and offsets included, are `table` (V, D).

    Inputs ids (B, T) and lengths (B,), int32, every length at least 1 and at most T; output probabilities (B, C)
    float32. What stands in ids behind a review's length is not read.
    """
    graph = Graph()
    x = graph("Gather", graph.constant(table), graph("Transpose", "ids", perm=[1, 0]))  # (T, B, D)
    for layer in network.lstm.layers:
        x = lstm_layer(graph, layer, x, "lengths")  # (T, B, H), 0 behind the end
    pooled = _pooling(graph, network.pooling, x)  # (B, P)
    weight, bias = network.weight.asnumpy(), network.bias.asnumpy()
    logits = graph("Gemm", pooled, graph.constant(weight), graph.constant(bias), transB=1)  # (B, C)
    graph("Softmax", logits, axis=1, output="probabilities")
    return graph.model(
        "lstm",
        {"ids": (TensorProto.INT32, ["batch", "tokens"]), "lengths": (TensorProto.INT32, ["batch"])},
        {"probabilities": (TensorProto.FLOAT, ["batch", len(bias)])},
    )


def _pooling(graph: Graph, pooling, x: str) -> str:
    """Add the Pooling to the graph; x (T, B, H) to (B, P)."""
    zero, one = graph.constant(np.array(0, np.int64)), graph.constant(np.array(1, np.int64))
    first_axis, second_axis = graph.ints(0), graph.ints(1)
    lengths = graph("Unsqueeze", graph("Cast", "lengths", to=TensorProto.INT64), second_axis)  # (B, 1)
    longest = graph("Gather", graph("Shape", "ids"), one)
    steps = graph("Range", zero, longest, one)  # (T,)
    steps = graph("Reshape", steps, graph.ints(-1, 1, 1))  # (T, 1, 1)

    def choose(condition, otherwise):  # (T, B, 1) picks from (T, B, H)
        return graph("Where", condition, x, graph.constant(np.array(otherwise, np.float32)))

    if pooling.kind == "ends":
        is_last = graph("Equal", steps, graph("Sub", lengths, one))  # (T, B, 1)
        last = graph("ReduceSum", choose(is_last, 0.0), first_axis, keepdims=0)  # (B, H)
        return graph("Concat", graph("Gather", x, zero), last, axis=1)
    is_real = graph("Less", steps, lengths)  # (T, B, 1)
    if pooling.kind == "attention":
        scores = graph("MatMul", x, graph.constant(pooling.score.asnumpy().reshape(-1, 1)))  # (T, B, 1)
        scores = graph("Where", is_real, scores, graph.constant(np.array(-1e4, np.float32)))
        return graph("ReduceSum", graph("Mul", x, graph("Softmax", scores, axis=0)), first_axis, keepdims=0)
    total = graph("ReduceSum", x, first_axis, keepdims=0)  # (B, H)
    mean = graph("Div", total, graph("Cast", lengths, to=TensorProto.FLOAT))
    highest = graph("ReduceMax", choose(is_real, -2.0), axes=[0], keepdims=0)  # (B, H)
    return {"mean": mean, "max": highest}.get(pooling.kind) or graph("Concat", mean, highest, axis=1)
