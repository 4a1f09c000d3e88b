"""The network as an ONNX graph for batches of any size and length.

The graph is built here, from the weights, because MindSpore's own ONNX export has no bidirectional LSTM and fixes every
shape. ONNX's LSTM operator reads each utterance within its length itself, so the padding column is not needed, and
batch normalisation with fixed statistics is a factor and a summand a column. Operators: https://onnx.ai/onnx/operators/,
opset 17.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto

from src.model_utils.onnx_builder import Graph, lstm_layer
from src.network import CTCNet, TimeConvolution


def build_onnx(network: CTCNet, feature_size: int) -> ModelProto:
    """Return the ONNX model of a CTCNet.

    Inputs frames (B, T, D) float32 of any T and lengths (B,) int32, every length at least 1 and at most T; output
    log_probs (B, T', V) float32 with T' = T / subsampling, rounded up. What stands in frames behind a length must be
    zero, and log_probs behind an utterance's end are undefined.
    """
    graph = Graph()
    count = network.subsampling
    x = graph("Pad", "frames", graph.ints(0, 0, 0, 0, count - 1, 0))  # (B, T + count - 1, D)
    rounded = graph("Shape", x, start=1, end=2)
    rounded = graph("Mul", graph("Div", rounded, graph.ints(count)), graph.ints(count))
    x = graph("Slice", x, graph.ints(0), rounded, graph.ints(1))  # (B, T' * count, D)
    x = graph("Reshape", x, graph.ints(0, -1, count * feature_size))  # (B, T', count * D)
    shift = graph("Add", "lengths", graph.constant(np.array([count - 1], np.int32)))
    steps = graph("Div", shift, graph.constant(np.array([count], np.int32)))  # (B,)
    if network.has_convolution:
        x = _convolutions(graph, network.front_end, x, steps)  # (B, T', C)
    x = graph("Transpose", x, perm=[1, 0, 2])  # (T', B, I)
    for k, layer in enumerate(network.layers):
        x = lstm_layer(graph, layer, x, steps)  # (T', B, H), 0 behind the end
        if len(network.norms):
            norm = network.norms[k]
            scale = norm.weight.asnumpy() / np.sqrt(norm.variance.asnumpy() + norm.epsilon)
            shift = norm.bias.asnumpy() - norm.mean.asnumpy() * scale
            x = graph("Add", graph("Mul", x, graph.constant(scale)), graph.constant(shift))
    x = graph("Transpose", x, perm=[1, 0, 2])  # (B, T', H)
    weight, bias = network.weight.asnumpy(), network.bias.asnumpy()
    logits = graph("Add", graph("MatMul", x, graph.constant(weight.T)), graph.constant(bias))
    graph("LogSoftmax", logits, axis=2, output="log_probs")
    return graph.model(
        "ctc_lstm",
        {
            "frames": (TensorProto.FLOAT, ["batch", "frames", feature_size]),
            "lengths": (TensorProto.INT32, ["batch"]),
        },
        {"log_probs": (TensorProto.FLOAT, ["batch", "steps", len(bias)])},
    )


def _convolutions(graph: Graph, front_end: TimeConvolution, x: str, steps: str) -> str:
    """Add the two convolutions; x (B, T', I), zero behind the end, to (B, T', C)."""
    last = graph("Shape", x, start=1, end=2)
    start, step = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
    numbers = graph("Cast", graph("Range", start, graph("Squeeze", last), step), to=TensorProto.INT32)  # (T',)
    is_real = graph("Less", numbers, graph("Unsqueeze", steps, graph.ints(1, 2)))  # (B, 1, T')
    x = graph("Transpose", x, perm=[0, 2, 1])  # (B, I, T')
    for weight, bias in ((front_end.weight_1, front_end.bias_1), (front_end.weight_2, front_end.bias_2)):
        kernel = weight.asnumpy().reshape(len(bias), 3, -1).swapaxes(1, 2)  # (C, I, 3)
        x = graph("Conv", x, graph.constant(kernel), graph.constant(bias.asnumpy()), pads=[1, 1])  # (B, C, T')
        x = graph("Where", is_real, graph("Relu", x), graph.constant(np.array(0, np.float32)))
    return graph("Transpose", x, perm=[0, 2, 1])
