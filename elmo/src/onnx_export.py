"""All layers of a biLM as an ONNX graph for any number of sentences of any lengths.

The graph is built here, from the weights, because MindSpore's own ONNX export fixes every shape. ONNX's LSTM operator
has no projection and clips other values, so a Scan runs the steps.
Operators: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto

from src.model_utils.onnx_builder import Graph
from src.network import BiLanguageModel

_INT, _FLOAT = TensorProto.INT32, TensorProto.FLOAT


def build_onnx(network: BiLanguageModel) -> ModelProto:
    """Return the ONNX model of a biLM.

    Inputs, all int32, as `sentence_inputs` makes them: char_ids (N, W), index (T, B) and lengths (B,); output layers
    (L + 1, T, B, 2P) float32, each sentence from a zero state, 0 behind its end.
    """
    graph = Graph()
    x = graph("Gather", _char_encoder(graph, network.char_encoder), "index")  # (T, B, P)
    lengths = graph("Cast", "lengths", to=TensorProto.INT64)

    def reverse(value: str) -> str:  # each sentence within its length
        return graph("ReverseSequence", value, lengths, time_axis=0, batch_axis=1)

    zero, one = (graph.constant(np.array(number, np.int64)) for number in (0, 1))
    steps = graph("Range", zero, graph("Gather", graph("Shape", "index"), zero), one)  # (T,)
    is_real = graph("Less", graph("Unsqueeze", steps, graph.ints(1)), graph("Unsqueeze", lengths, graph.ints(0)))
    mask = graph("Unsqueeze", graph("Cast", is_real, to=_FLOAT), graph.ints(2))  # (T, B, 1)
    forward = _direction(graph, network.forward_layers, x, network.skip, "forward")
    backward = _direction(graph, network.backward_layers, reverse(x), network.skip, "backward")
    layers = [(x, x), *((one, reverse(other)) for one, other in zip(forward, backward))]
    masked = [graph("Mul", graph("Concat", *halves, axis=2), mask) for halves in layers]
    graph("Concat", *(graph("Unsqueeze", layer, graph.ints(0)) for layer in masked), axis=0, output="layers")
    width = 2 * network.forward_layers[0].w_p.shape[1]
    return graph.model(
        "elmo",
        {
            "char_ids": (_INT, ["words", "characters"]),
            "index": (_INT, ["steps", "batch"]),
            "lengths": (_INT, ["batch"]),
        },
        {"layers": (_FLOAT, [len(masked), "steps", "batch", width])},
    )


def _char_encoder(graph: Graph, encoder) -> str:
    """Add the character CNN, its highway layers and the projection; char_ids (N, W) to word vectors (N, P)."""
    characters = graph("Gather", graph.constant(encoder.char_embed.asnumpy()), "char_ids")  # (N, W, D)
    characters = graph("Transpose", characters, perm=[0, 2, 1])
    best = []
    for width, weight, bias in zip(encoder.widths, encoder.w_cnn, encoder.b_cnn):
        kernel = weight.asnumpy().reshape(width, -1, bias.size).transpose(2, 1, 0)  # (F_k, D, width)
        scores = graph("Conv", characters, graph.constant(kernel), graph.constant(bias.asnumpy()))
        best.append(graph("ReduceMax", scores, axes=[2], keepdims=0))  # (N, F_k)
    x = graph("Concat", *best, axis=1)  # (N, F)
    x = graph("Tanh" if encoder.tanh else "Relu", x)
    for highway in encoder.highways:
        gate = graph("Sigmoid", _linear(graph, x, highway.w_carry, highway.b_carry))
        transformed = graph("Relu", _linear(graph, x, highway.w_transform, highway.b_transform))
        x = graph("Add", x, graph("Mul", gate, graph("Sub", transformed, x)))
    return _linear(graph, x, encoder.w_proj, encoder.b_proj)


def _linear(graph: Graph, x: str, weight, bias) -> str:
    return graph("Add", graph("MatMul", x, graph.constant(weight.asnumpy())), graph.constant(bias.asnumpy()))


def _direction(graph: Graph, layers, x: str, skip: bool, name: str) -> list[str]:
    """Add the layers of a direction; x (T, B, P) in reading order to the outputs of each, (T, B, P)."""
    outputs: list[str] = []
    for k, layer in enumerate(layers):
        y = _projected_lstm(graph, layer, x, f"{name}_{k}_")
        x = graph("Add", y, x) if skip and k > 0 else y
        outputs.append(x)
    return outputs


def _projected_lstm(graph: Graph, layer, x: str, prefix: str) -> str:
    """Add a ProjectedLSTM from a zero state; x (T, B, I) to (T, B, P). Its body is the `step` of that class."""
    cells, size = layer.w_p.shape
    bias = layer.bias.asnumpy() + layer.forget_bias.asnumpy()
    z = graph("Add", graph("MatMul", x, graph.constant(layer.w_x.asnumpy())), graph.constant(bias))  # (T, B, 4H)
    batch = graph("Shape", x, start=1, end=2)
    h, c = (
        graph(
            "Expand",
            graph.constant(np.zeros((1, width), np.float32)),
            graph("Concat", batch, graph.ints(width), axis=0),
        )
        for width in (size, cells)
    )
    body, names = Graph(prefix), {name: prefix + name for name in ("h", "c", "z", "new_h", "new_c", "y")}

    def clip(value: str, limit: float, output: str) -> str:
        bounds = [body.constant(np.array(bound, np.float32)) for bound in (-limit, limit)]
        return body("Clip", value, *bounds, output=output) if limit > 0 else body("Identity", value, output=output)

    gates = body("Add", names["z"], body("MatMul", names["h"], body.constant(layer.w_h.asnumpy())))
    i, j, f, o = body("Split", gates, outputs=4, axis=1)  # (B, H)
    new = body("Mul", body("Sigmoid", i), body("Tanh", j))
    kept = body("Mul", body("Sigmoid", f), names["c"])
    new_c = clip(body("Add", kept, new), layer.cell_clip, names["new_c"])
    hidden = body("Mul", body("Sigmoid", o), body("Tanh", new_c))
    new_h = clip(body("MatMul", hidden, body.constant(layer.w_p.asnumpy())), layer.proj_clip, names["new_h"])
    body("Identity", new_h, output=names["y"])
    widths = {"h": size, "c": cells, "z": 4 * cells, "new_h": size, "new_c": cells, "y": size}
    kinds = {name: (names[name], (_FLOAT, ["batch", width])) for name, width in widths.items()}
    step = body.body("step", dict(kinds[key] for key in "hcz"), dict(kinds[key] for key in ("new_h", "new_c", "y")))
    return graph("Scan", h, c, z, outputs=3, body=step, num_scan_inputs=1)[2]
