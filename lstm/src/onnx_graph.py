"""The network as an ONNX graph for batches of any size and length.

The graph is built here, from the weights, because MindSpore's own ONNX export has no bidirectional LSTM and fixes every
shape. ONNX's LSTM operator reads each sequence within its length itself, so the padding column is not needed.
Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8  # what onnxruntime has read since 1.12


def build_onnx(network, table: np.ndarray) -> onnx.ModelProto:
    """Return the ONNX model of a SentimentNet whose word vectors, projection and offsets included, are `table` (V, D).

    Inputs ids (B, T) and lengths (B,), int32, every length at least 1 and at most T; output probabilities (B, C)
    float32. What stands in ids behind a review's length is not read.
    """
    graph = _Graph()
    x = graph("Gather", graph.constant(table), graph("Transpose", "ids", perm=[1, 0]))  # (T, B, D)
    for layer in network.lstm.layers:
        x = _lstm_layer(graph, layer, x)  # (T, B, H), 0 behind the end
    pooled = _pooling(graph, network.pooling, x)  # (B, P)
    weight, bias = network.weight.asnumpy(), network.bias.asnumpy()
    logits = graph("Gemm", pooled, graph.constant(weight), graph.constant(bias), transB=1)  # (B, C)
    graph("Softmax", logits, axis=1, output="probabilities")
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "tokens"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
    ]
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(bias)])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "lstm", inputs, [output], graph.constants),
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

    def __call__(self, operator: str, *inputs: str, output: str = "", **attributes) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def _lstm_layer(graph: _Graph, layer, x: str) -> str:
    """Add one LSTMLayer to the graph; x (T, B, I) to (T, B, H * directions)."""
    suffixes = ("", "_reverse")[: layer.directions]

    def stacked(name):
        return np.stack([_onnx_gates(getattr(layer, name + suffix).asnumpy()) for suffix in suffixes])

    bias = stacked("bias")  # ONNX adds two biases, of which the second stays zero here
    bias = np.concatenate([bias, np.zeros_like(bias)], 1)
    weights = [graph.constant(array) for array in (stacked("weight_ih"), stacked("weight_hh"), bias)]
    direction = "bidirectional" if layer.directions == 2 else "forward"
    y = graph("LSTM", x, *weights, "lengths", hidden_size=layer.hidden_size, direction=direction)  # (T, 2, B, H)
    y = graph("Transpose", y, perm=[0, 2, 1, 3])  # (T, B, 2, H)
    return graph("Reshape", y, graph.constant(np.array([0, 0, -1], np.int64)))


def _onnx_gates(weight: np.ndarray) -> np.ndarray:
    """Bring the gates i, f, c, o along the first axis into ONNX's order i, o, f, c."""
    gate_i, gate_f, gate_c, gate_o = np.split(weight, 4)
    return np.concatenate([gate_i, gate_o, gate_f, gate_c])


def _pooling(graph: _Graph, pooling, x: str) -> str:
    """Add the Pooling to the graph; x (T, B, H) to (B, P)."""
    zero, one = graph.constant(np.array(0, np.int64)), graph.constant(np.array(1, np.int64))
    first_axis, second_axis = graph.constant(np.array([0], np.int64)), graph.constant(np.array([1], np.int64))
    lengths = graph("Unsqueeze", graph("Cast", "lengths", to=TensorProto.INT64), second_axis)  # (B, 1)
    longest = graph("Gather", graph("Shape", "ids"), one)
    steps = graph("Range", zero, longest, one)  # (T,)
    steps = graph("Reshape", steps, graph.constant(np.array([-1, 1, 1], np.int64)))  # (T, 1, 1)

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
