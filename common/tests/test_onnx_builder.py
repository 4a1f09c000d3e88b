"""The LSTM layer as an ONNX node gives what LSTMLayer gives."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor
from onnx import TensorProto

from src.model_utils.onnx_builder import Graph, lstm_layer
from src.model_utils.recurrent import LSTMLayer


@pytest.mark.parametrize("bidirectional", [False, True])
def test_lstm_node_equals_the_layer(bidirectional):
    layer, lengths = LSTMLayer(3, 4, bidirectional, 1.0, [7]), np.array([6, 1, 4], np.int32)
    x = np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32)
    graph = Graph()
    graph("Identity", lstm_layer(graph, layer, "x", "lengths"), output="y")
    kinds = {"x": (TensorProto.FLOAT, ["T", "B", 3]), "lengths": (TensorProto.INT32, ["B"])}
    model = graph.model("layer", kinds, {"y": (TensorProto.FLOAT, ["T", "B", 4 * layer.directions])})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y = session.run(None, {"x": x, "lengths": lengths})[0]
    expected = layer(Tensor(x), Tensor(lengths)).asnumpy()
    np.testing.assert_allclose(y, expected, atol=1e-5)
