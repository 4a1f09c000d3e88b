"""The network as an ONNX graph for batches of any size and length.

The graph is built here, from the weights, because MindSpore's own ONNX export has no bidirectional LSTM and fixes every
shape. ONNX's LSTM operator reads each utterance within its length itself, so the padding column is not needed, and
batch normalisation with fixed statistics is a factor and a summand a column. Operators: https://onnx.ai/onnx/operators/,
opset 17.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from src.network import CTCNet, TimeConvolution

OPSET, IR_VERSION = 17, 8  # what onnxruntime has read since 1.12


def build_onnx(network: CTCNet, feature_size: int) -> onnx.ModelProto:
    """Return the ONNX model of a CTCNet.

    Inputs frames (B, T, D) float32 of any T and lengths (B,) int32, every length at least 1 and at most T; output
    log_probs (B, T', V) float32 with T' = T / subsampling, rounded up. What stands in frames behind a length must be
    zero, and what stands in log_probs behind an utterance's end means nothing.
    """
    graph = _Graph()
    count = network.subsampling
    extra = graph.constant(np.array([0, 0, 0, 0, count - 1, 0], np.int64))
    x = graph("Pad", "frames", extra)  # (B, T + count - 1, D)
    rounded = graph("Shape", x, start=1, end=2)
    rounded = graph("Mul", graph("Div", rounded, graph.ints(count)), graph.ints(count))
    x = graph("Slice", x, graph.ints(0), rounded, graph.ints(1))  # (B, T' * count, D)
    x = graph("Reshape", x, graph.ints(0, -1, count * feature_size))  # (B, T', count * D)
    x = graph("Transpose", x, perm=[1, 0, 2])  # (T', B, count * D)
    shift = graph("Add", "lengths", graph.constant(np.array([count - 1], np.int32)))
    steps = graph("Div", shift, graph.constant(np.array([count], np.int32)))  # (B,)
    if isinstance(network.front_end, TimeConvolution):
        x = _convolutions(graph, network.front_end, x, steps)
    for k, layer in enumerate(network.layers):
        x = _lstm_layer(graph, layer, x, steps)  # (T', B, H), 0 behind the end
        if len(network.norms):
            norm = network.norms[k]
            scale = norm.weight.asnumpy() / np.sqrt(norm.variance.asnumpy() + norm.epsilon)
            shift = norm.bias.asnumpy() - norm.mean.asnumpy() * scale
            x = graph("Add", graph("Mul", x, graph.constant(scale)), graph.constant(shift))
    x = graph("Transpose", x, perm=[1, 0, 2])  # (B, T', H)
    weight, bias = network.weight.asnumpy(), network.bias.asnumpy()
    logits = graph("Add", graph("MatMul", x, graph.constant(weight.T)), graph.constant(bias))
    graph("LogSoftmax", logits, axis=2, output="log_probs")
    inputs = [
        helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", "frames", feature_size]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
    ]
    output = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "steps", len(bias)])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "ctc_lstm", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Collects nodes and constants; values are known by their names."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def __call__(self, operator: str, *inputs: str, output: str = "", **attributes) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def _convolutions(graph: _Graph, front_end: TimeConvolution, x: str, steps: str) -> str:
    """Add the two convolutions; x (T', B, I), zero behind the end, to (T', B, C)."""
    last = graph("Shape", x, start=0, end=1)
    start, step = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
    numbers = graph("Range", start, graph("Squeeze", last), step)
    numbers = graph("Reshape", graph("Cast", numbers, to=TensorProto.INT32), graph.ints(-1, 1, 1))
    is_real = graph("Less", numbers, graph("Unsqueeze", steps, graph.ints(1)))  # (T', B, 1)
    zero = graph.constant(np.array(0, np.float32))
    for number in (1, 2):
        weight = getattr(front_end, f"weight_{number}").asnumpy()
        bias = getattr(front_end, f"bias_{number}").asnumpy()
        wide = graph("Pad", x, graph.constant(np.array([1, 0, 0, 1, 0, 0], np.int64)))  # (T' + 2, B, I)
        before = graph("Slice", wide, graph.ints(0), graph.ints(-2), graph.ints(0))
        after = graph("Slice", wide, graph.ints(2), graph.ints(2**31), graph.ints(0))
        x = graph("MatMul", graph("Concat", before, x, after, axis=2), graph.constant(weight.T))
        x = graph("Where", is_real, graph("Relu", graph("Add", x, graph.constant(bias))), zero)
    return x


def _lstm_layer(graph: _Graph, layer, x: str, steps: str) -> str:
    """Add one LSTMLayer to the graph; x (T', B, I) to (T', B, H * directions)."""
    suffixes = ("", "_reverse")[: layer.directions]

    def stacked(name):
        return np.stack([_onnx_gates(getattr(layer, name + suffix).asnumpy()) for suffix in suffixes])

    bias = stacked("bias")  # ONNX adds two biases, of which the second stays zero here
    bias = np.concatenate([bias, np.zeros_like(bias)], 1)
    weights = [graph.constant(array) for array in (stacked("weight_ih"), stacked("weight_hh"), bias)]
    direction = "bidirectional" if layer.directions == 2 else "forward"
    y = graph("LSTM", x, *weights, steps, hidden_size=layer.hidden_size, direction=direction)  # (T', 2, B, H)
    return graph("Reshape", graph("Transpose", y, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))  # (T', B, 2 * H)


def _onnx_gates(weight: np.ndarray) -> np.ndarray:
    """Bring the gates i, f, c, o along the first axis into ONNX's order i, o, f, c."""
    gate_i, gate_f, gate_c, gate_o = np.split(weight, 4)
    return np.concatenate([gate_i, gate_o, gate_f, gate_c])
