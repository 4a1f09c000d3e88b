"""The emissions of the network as an ONNX graph for batches of any size and length.

The graph is built here, from the weights, because MindSpore's own ONNX export has no bidirectional LSTM and fixes every
shape. ONNX's LSTM operator reads each sequence within its length itself, so the padding column is not needed.
Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

from onnx import ModelProto, TensorProto

from src.model_utils.onnx_builder import Graph, lstm_layer
from src.network import Tagger


def build_onnx(network: Tagger) -> ModelProto:
    """Return the ONNX model of a Tagger.

    Inputs characters (B, T), bigrams (B, T + 1) and lengths (B,), int32, every length at least 1 and at most T; output
    emissions (B, T, K) float32. Those behind a sentence's length mean nothing.
    """
    graph = Graph()
    embedding = network.embedding
    parts = [_lookup(graph, embedding.character_table, "characters")]  # (T, B, C)
    if embedding.with_bigrams:
        pairs = _lookup(graph, embedding.bigram_table, "bigrams")  # (T + 1, B, P)
        zero, one, last, end = (graph.ints(n) for n in (0, 1, -1, 2**31 - 1))
        parts += [graph("Slice", pairs, zero, last, zero), graph("Slice", pairs, one, end, zero)]
    x = graph("Concat", *parts, axis=2)  # (T, B, E)
    for layer in network.lstm.layers:
        x = lstm_layer(graph, layer, x, "lengths")  # (T, B, 2H)
    scores = graph("MatMul", x, graph.constant(network.weight.asnumpy().T))  # (T, B, K)
    scores = graph("Add", scores, graph.constant(network.bias.asnumpy()))
    graph("Transpose", scores, perm=[1, 0, 2], output="emissions")
    inputs = {
        "characters": (TensorProto.INT32, ["batch", "steps"]),
        "bigrams": (TensorProto.INT32, ["batch", "pairs"]),
        "lengths": (TensorProto.INT32, ["batch"]),
    }
    if not embedding.with_bigrams:
        del inputs["bigrams"]
    outputs = {"emissions": (TensorProto.FLOAT, ["batch", "steps", network.bias.size])}
    return graph.model("bilstm_ner", inputs, outputs)


def _lookup(graph: Graph, table, ids: str) -> str:
    return graph("Gather", graph.constant(table.asnumpy()), graph("Transpose", ids, perm=[1, 0]))
