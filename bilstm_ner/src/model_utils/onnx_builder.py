"""ONNX models built node by node, and the LSTM layer as one of their nodes.

A module of its own, imported only by what writes such a model, because nothing else should need the package onnx.
Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, checker, helper, numpy_helper

OPSET, IR_VERSION = 17, 8  # what onnxruntime has read since 1.12


class Graph:
    """Collects nodes and constants; values are known by their names.

    `graph("Add", x, y)` adds a node and returns the name of its output; the operators, with the shapes that they take,
    are those of https://onnx.ai/onnx/operators/, opset 17. `model` says which values are the model's own inputs, used
    in the graph by their names, and outputs, named with `output=`. The body of a loop is a Graph whose names begin with
    a `prefix` of their own.
    """

    def __init__(self, prefix: str = ""):
        self.nodes, self.constants, self.prefix = [], [], prefix

    def constant(self, array) -> str:
        """Add a constant of the array's shape and type; returns its name."""
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def ints(self, *values: int) -> str:
        """Add an int64 constant (N,), the form of axes, shapes and bounds; returns its name."""
        return self.constant(np.array(values, np.int64))

    def __call__(self, operator: str, *inputs: str, output: str = "", outputs: int = 1, **attributes):
        """Add a node; returns the name of its output, or the list of their names if it has several `outputs`.

        An input that is left out is "". `output` names the output of a node that has only one.
        """
        names = [output or f"{self.prefix}{operator.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def body(self, name: str, inputs: dict, outputs: dict) -> GraphProto:
        """Return the graph itself, as an attribute of a loop; inputs and outputs as for `model`."""
        values = [
            [helper.make_tensor_value_info(each, *kind) for each, kind in side.items()] for side in (inputs, outputs)
        ]
        return helper.make_graph(self.nodes, name, *values, self.constants)

    def model(self, name: str, inputs: dict, outputs: dict) -> ModelProto:
        """Return the checked model; `inputs` and `outputs` map names to (TensorProto type, shape).

        A string in a shape names a size that is known only when the model runs.
        """
        model = helper.make_model(
            self.body(name, inputs, outputs),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        checker.check_model(model)
        return model


def lstm_layer(graph: Graph, layer, x: str, lengths: str) -> str:
    """Add one LSTMLayer to the graph; x (T, B, I) to (T, B, H * directions), 0 behind the end of each sequence.

    `lengths` names the value with the lengths (B,), int32, every one at least 1 and at most T. The operator reads each
    sequence within its length itself, so the padding column of LSTMLayer is not needed.
    Source: LSTM in https://onnx.ai/onnx/operators/, opset 17.
    """
    suffixes = ("", "_reverse")[: layer.directions]

    def stacked(name):
        return np.stack([_onnx_gates(getattr(layer, name + suffix).asnumpy()) for suffix in suffixes])

    bias = stacked("bias")  # ONNX adds two biases, of which the second stays zero here
    bias = np.concatenate([bias, np.zeros_like(bias)], 1)
    weights = [graph.constant(array) for array in (stacked("weight_ih"), stacked("weight_hh"), bias)]
    direction = "bidirectional" if layer.directions == 2 else "forward"
    y = graph("LSTM", x, *weights, lengths, hidden_size=layer.hidden_size, direction=direction)
    y = graph("Transpose", y, perm=[0, 2, 1, 3])  # (T, directions, B, H) to (T, B, directions, H)
    return graph("Reshape", y, graph.ints(0, 0, -1))


def _onnx_gates(weight: np.ndarray) -> np.ndarray:
    """Bring the gates i, f, c, o along the first axis into ONNX's order i, o, f, c."""
    gate_i, gate_f, gate_c, gate_o = np.split(weight, 4)
    return np.concatenate([gate_i, gate_o, gate_f, gate_c])
