"""The graph that export.py writes: embeddings of any number of sentences of any lengths."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.model_utils.layers import padding_mask


class ExportedElmo(nn.Cell):
    """All layers of a biLM, each sentence from a zero state.

    The loop over time is part of the graph, where training and embed.py unroll it, so that no shape is fixed.
    """

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.n_layers, self.skip = network.n_layers, network.skip
        self.sizes = network.forward_layers[0].w_p.shape  # H, P
        self.reverse = ops.ReverseSequence(0, 1)

    def construct(self, char_ids, index, lengths) -> Tensor:
        """Map what `sentence_inputs` returns to the layers (L + 1, T, B, 2P); padding is zero."""
        x = ops.gather(self.network.char_encoder(char_ids), index, 0)  # (T, B, P)
        forward = self._direction(self.network.forward_layers, x)  # (L, T, B, P)
        backward = self._direction(self.network.backward_layers, self.reverse(x, lengths))
        steps = ops.TensorShape()(index)[0]
        mask = 1 - padding_mask(lengths, steps)  # (T, B, 1)
        layers = (ops.cat((x, x), 2) * mask,)
        for k in range(self.n_layers):
            layers += (ops.cat((forward[k], self.reverse(backward[k], lengths)), 2) * mask,)
        return ops.stack(layers)

    def _direction(self, layers, x):
        """Map x (T, B, P) to the outputs of each layer, a tuple of (T, B, P)."""
        hidden, size = self.sizes
        batch = x.shape[1]
        steps = ops.TensorShape()(x)[0]
        hs = (ops.zeros((batch, size), ms.float32),) * self.n_layers
        cs = (ops.zeros((batch, hidden), ms.float32),) * self.n_layers
        outputs = (ops.zeros_like(x),) * self.n_layers
        t = Tensor(0, ms.int64)
        while t < steps:
            read = ops.gather(x, t, 0)  # (B, P)
            new_hs, new_cs, new_outputs = (), (), ()
            for k in range(self.n_layers):
                h, c = layers[k].step(layers[k].inputs(read), hs[k], cs[k])
                read = h + read if self.skip and k > 0 else h
                new_hs, new_cs = new_hs + (h,), new_cs + (c,)
                new_outputs += (ops.tensor_scatter_update(outputs[k], t.reshape(1, 1), read.expand_dims(0)),)
            hs, cs, outputs = new_hs, new_cs, new_outputs
            t = t + 1
        return outputs
