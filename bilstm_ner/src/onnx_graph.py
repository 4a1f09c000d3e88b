"""The emissions of the network as an ONNX graph for batches of any size and length.

The graph is built here, from the weights, because MindSpore's own ONNX export has no bidirectional LSTM and fixes every
shape. ONNX's LSTM operator reads each sequence within its length itself, so the padding column is not needed.
Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8  # what onnxruntime has read since 1.12


def build_onnx(network) -> onnx.ModelProto:
    """Return the ONNX model of a Tagger.

    Inputs characters (B, T), bigrams (B, T + 1) and lengths (B,), int32, every length at least 1 and at most T; output
    emissions (B, T, K) float32. Those behind a sentence's length mean nothing.
    """
    graph = _Graph()
    embedding = network.embedding
    parts = [_lookup(graph, embedding.character_table, "characters")]  # (T, B, C)
    if embedding.with_bigrams:
        pairs = _lookup(graph, embedding.bigram_table, "bigrams")  # (T + 1, B, P)
        zero, one, last, end = (graph.constant(np.array([n], np.int64)) for n in (0, 1, -1, 2**31 - 1))
        parts += [graph("Slice", pairs, zero, last, zero), graph("Slice", pairs, one, end, zero)]
    x = graph("Concat", *parts, axis=2)  # (T, B, E)
    for layer in network.lstm.layers:
        x = _lstm_layer(graph, layer, x)  # (T, B, 2H)
    scores = graph("MatMul", x, graph.constant(network.weight.asnumpy().T))  # (T, B, K)
    scores = graph("Add", scores, graph.constant(network.bias.asnumpy()))
    graph("Transpose", scores, perm=[1, 0, 2], output="emissions")
    inputs = [
        helper.make_tensor_value_info("characters", TensorProto.INT32, ["batch", "steps"]),
        helper.make_tensor_value_info("bigrams", TensorProto.INT32, ["batch", "pairs"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
    ][:: 1 if embedding.with_bigrams else 2]
    output = helper.make_tensor_value_info("emissions", TensorProto.FLOAT, ["batch", "steps", network.bias.size])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "bilstm_ner", inputs, [output], graph.constants),
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


def _lookup(graph: _Graph, table, ids: str) -> str:
    return graph("Gather", graph.constant(table.asnumpy()), graph("Transpose", ids, perm=[1, 0]))


def _lstm_layer(graph: _Graph, layer, x: str) -> str:
    """Add one bidirectional LSTMLayer to the graph; x (T, B, I) to (T, B, 2H)."""

    def stacked(name):
        return np.stack([_onnx_gates(getattr(layer, name + suffix).asnumpy()) for suffix in ("", "_reverse")])

    bias = stacked("bias")  # ONNX adds two biases, of which the second stays zero here
    bias = np.concatenate([bias, np.zeros_like(bias)], 1)
    weights = [graph.constant(array) for array in (stacked("weight_ih"), stacked("weight_hh"), bias)]
    y = graph("LSTM", x, *weights, "lengths", hidden_size=layer.hidden_size, direction="bidirectional")  # (T, 2, B, H)
    y = graph("Transpose", y, perm=[0, 2, 1, 3])  # (T, B, 2, H)
    return graph("Reshape", y, graph.constant(np.array([0, 0, -1], np.int64)))


def _onnx_gates(weight: np.ndarray) -> np.ndarray:
    """Bring the gates i, f, c, o along the first axis into ONNX's order i, o, f, c."""
    gate_i, gate_f, gate_c, gate_o = np.split(weight, 4)
    return np.concatenate([gate_i, gate_o, gate_f, gate_c])
