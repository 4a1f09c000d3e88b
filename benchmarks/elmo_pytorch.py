"""The PyTorch side of elmo/: the biLM of elmo/src/network.py written two ways, same weights and arithmetic.

loop        what people write: an LSTM cell with projection called at every step, gradients by autograd, words at the
            full width of 50 characters
strongest   the fastest form found here: the products with the inputs before the loop, the gradient of the loop by
            hand, short words at a smaller width

Both encode the distinct words of a batch only, and no padding among them. PyTorch's nn.LSTM has projections but clips
nothing, so neither can use it. Time-major throughout: T steps, B rows.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import DropColumns, PyTorchSide, update
from torch import Tensor, nn

PADDING = 260
DIRECTIONS = ("forward", "backward")


class Loop(nn.Module):
    """The biLM with its sampled softmax."""

    def __init__(self, config, weights: dict[str, Tensor]):
        super().__init__()
        self.options = config.options
        self.layers = self.options["n_layers"]
        self.dropout = DropColumns(self.options["dropout"])
        self.clips = [self.options[name] or float("inf") for name in ("cell_clip", "proj_clip")]
        for name, value in weights.items():
            if name.startswith("char_encoder.w_cnn"):  # (width * D, F) here, (F, D, width) for conv1d
                value = value.reshape(-1, self.options["char_dim"], value.shape[1]).permute(2, 1, 0).contiguous()
            if name.startswith("softmax."):
                self.register_buffer(name.replace(".", "_"), value.clone())
            else:
                self.register_parameter(name.replace(".", "_"), nn.Parameter(value.clone()))

    def weight(self, name: str) -> Tensor:
        """Return the parameter of a name of the MindSpore network."""
        return getattr(self, name.replace(".", "_"))

    def encode_words(self, char_ids: Tensor) -> Tensor:
        """Map char_ids (N, W) to vectors (N, P)."""
        if not len(char_ids):
            return torch.zeros(0, self.options["projection_dim"])
        characters = F.embedding(char_ids, self.weight("char_encoder.char_embed")).transpose(1, 2)  # (N, D, W)
        activation = torch.tanh if self.options["activation"] == "tanh" else torch.relu
        found = []
        for k in range(len(self.options["filters"])):
            scores = F.conv1d(characters, self.weight(f"char_encoder.w_cnn_{k}"))  # (N, F, places)
            found.append(activation(scores.amax(2) + self.weight(f"char_encoder.b_cnn_{k}")))
        x = torch.cat(found, 1)
        for k in range(self.options["n_highway"]):
            here = f"char_encoder.highways.{k}"
            gate = torch.sigmoid(torch.addmm(self.weight(f"{here}.b_carry"), x, self.weight(f"{here}.w_carry")))
            inner = torch.addmm(self.weight(f"{here}.b_transform"), x, self.weight(f"{here}.w_transform"))
            x = torch.lerp(x, torch.relu(inner), gate)
        return torch.addmm(self.weight("char_encoder.b_proj"), x, self.weight("char_encoder.w_proj"))

    def forward(self, char_ids: Tensor, long_char_ids: Tensor, indices: list[Tensor], h, c) -> tuple[list, list, list]:
        """Return the top layers of both directions [(T, B, P)] and the new h and c, by direction and layer."""
        table = torch.cat([self.encode_words(char_ids), self.encode_words(long_char_ids)])
        tops, new_h, new_c = [], [[], []], [[], []]
        for number, direction in enumerate(DIRECTIONS):
            x = F.embedding(indices[number], table)
            for k in range(self.layers):
                x = self.dropout(x)
                weights = [self.weight(f"{direction}_layers.{k}.{name}") for name in ("w_x", "w_h", "bias", "w_p")]
                outputs, last_h, last_c = self.recurrence(x, h[number][k], c[number][k], *weights)
                new_h[number].append(last_h.detach())
                new_c[number].append(last_c.detach())
                x = outputs + x if self.options["use_skip_connections"] and k else outputs
            tops.append(x)
        return tops, new_h, new_c

    def recurrence(self, x, h, c, w_x, w_h, bias, w_p) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs (T, B, P) of all steps and the last h and c."""
        cell_clip, proj_clip = self.clips
        outputs = []
        for inputs in x:
            i, j, f, o = (torch.addmm(bias, inputs, w_x) + h @ w_h).chunk(4, 1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(j)
            c = c.clamp(-cell_clip, cell_clip)
            h = ((torch.sigmoid(o) * torch.tanh(c)) @ w_p).clamp(-proj_clip, proj_clip)
            outputs.append(h)
        return torch.stack(outputs), h, c

    def loss(self, tops, targets, weight, bias, log_expected) -> Tensor:
        """Return the mean sampled softmax loss of both directions over the classes of weight (R, P).

        As in elmo/src/ops/sampled_softmax.py: a target outside the sample, the first rows, adds a term of its own.
        """
        sampled = min(self.options["n_negative_samples_batch"], len(self.softmax_weight))
        bias = bias - log_expected
        total = 0.0
        for top, target in zip(tops, targets):
            hidden = top.flatten(0, 1)
            logits = torch.addmm(bias[:sampled], hidden, weight[:sampled].t())  # (M, S)
            own = (hidden * weight[target]).sum(1) + bias[target]
            normalizer = logits.logsumexp(1)
            normalizer = torch.where(target >= sampled, torch.logaddexp(normalizer, own), normalizer)
            total = total + (normalizer - own).mean() / 2
        return total


class Strongest(Loop):
    """The loop by `_Recurrence`."""

    def recurrence(self, x, h, c, w_x, w_h, bias, w_p) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs (T, B, P) of all steps and the last h and c."""
        return _Recurrence.apply(x, h, c, w_x, w_h, bias, w_p, *self.clips)


class _Recurrence(torch.autograd.Function):
    """The recurrence of ProjectedLSTM with its gradient by hand, and results in place where that is faster."""

    @staticmethod
    def forward(ctx, x, h, c, w_x, w_h, bias, w_p, cell_clip, proj_clip) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = x.shape
        gates = torch.addmm(bias, x.flatten(0, 1), w_x).view(steps, batch, -1)  # (T, B, 4H)
        hs, cs = [h], [c]
        products = torch.empty(steps, *c.shape)
        tanhs = torch.empty(steps, *c.shape)
        for t in range(steps):
            z = gates[t].addmm_(hs[-1], w_h)
            i, j, f, o = z.chunk(4, 1)  # views: the gates replace their arguments
            i.sigmoid_(), j.tanh_(), f.add_(1).sigmoid_(), o.sigmoid_()
            cs.append((f * cs[-1]).addcmul_(i, j).clamp_(-cell_clip, cell_clip))
            torch.tanh(cs[-1], out=tanhs[t])
            torch.mul(o, tanhs[t], out=products[t])
            hs.append((products[t] @ w_p).clamp_(-proj_clip, proj_clip))
        hs, cs = torch.stack(hs), torch.stack(cs)
        ctx.clips = cell_clip, proj_clip
        ctx.save_for_backward(x, w_x, w_h, w_p, gates, hs, cs, products, tanhs)
        return hs[1:], hs[-1], cs[-1]

    @staticmethod
    def backward(ctx, d_outputs, *_) -> tuple:
        x, w_x, w_h, w_p, gates, hs, cs, products, tanhs = ctx.saved_tensors
        cell_clip, proj_clip = ctx.clips
        steps, size = len(x), w_h.shape[1] // 4
        dz = torch.empty_like(gates)
        d_projections = torch.empty_like(d_outputs)
        dh, dc = torch.zeros_like(hs[0]), torch.zeros_like(cs[0])
        for t in reversed(range(steps)):
            d_projection = torch.mul(dh + d_outputs[t], hs[t + 1].abs() < proj_clip, out=d_projections[t])
            d_product = d_projection @ w_p.t()
            i, j, f, o = gates[t].split(size, 1)
            di, dj, df, do = dz[t].split(size, 1)
            dc = (dc + d_product * o * (1 - tanhs[t].square())) * (cs[t + 1].abs() < cell_clip)
            torch.mul(dc * j * i, 1 - i, out=di)
            torch.mul(dc * i, 1 - j.square(), out=dj)
            torch.mul(dc * cs[t] * f, 1 - f, out=df)
            torch.mul(d_product * products[t], 1 - o, out=do)
            dc = dc * f
            dh = dz[t] @ w_h.t()
        flat = dz.flatten(0, 1)
        dx = (flat @ w_x.t()).view_as(x)
        dw_x = x.flatten(0, 1).t() @ flat
        dw_h = hs[:-1].flatten(0, 1).t() @ flat
        dw_p = products.flatten(0, 1).t() @ d_projections.flatten(0, 1)
        return dx, dh, dc, dw_x, dw_h, flat.sum(0), dw_p, None, None


class Side(PyTorchSide):
    """Training and inference of one of the networks from given weights."""

    networks = {"loop": Loop, "strongest": Strongest}

    def prepare_training(self, rates: list[float]) -> None:
        """Make the optimizers, and the state before the text."""
        self.options, self.rates, self.updates = self.config.options, rates, 0
        self.parameters = list(self.network.parameters())
        if self.config.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, betas=(0.9, self.config.adam_beta2), fused=True)
        else:
            start = {"initial_accumulator_value": self.config.adagrad_accumulator, "eps": 0.0}
            self.optimizer = torch.optim.Adagrad(self.parameters, fused=True, **start)
        self.tables = self.network.softmax_weight, self.network.softmax_bias
        self.squares = [torch.full_like(table, self.config.adagrad_accumulator) for table in self.tables]
        self.h, self.c = self.empty_state()

    def empty_state(self) -> list[list[list[Tensor]]]:
        """Return the state before a text: h and c by direction and layer."""
        rows, layers = self.options["batch_size"], self.options["n_layers"]
        sizes = self.options["projection_dim"], self.options["lstm_dim"]
        return [[[torch.zeros(rows, size)] * layers for _ in DIRECTIONS] for size in sizes]

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this side wants them; not timed."""
        short, long, *indices = inputs[:4]
        kept = [(group != PADDING).any(1) for group in (short, long)]
        place = np.cumsum(np.concatenate(kept)) - 1
        short, long = short[kept[0]], long[kept[1]]
        if not isinstance(self.network, Strongest):  # one group of words, at full width
            wide = np.pad(short, ((0, 0), (0, long.shape[1] - short.shape[1])), constant_values=PADDING)
            short, long = np.concatenate([wide, long]), long[:0]
        texts = [short, long, *(place[index] for index in indices)]
        return *(array.astype(np.int64) for array in (*texts, *inputs[4:7])), *inputs[7:9]

    def train(self, batch: tuple) -> float:
        """Do one optimizer step and return its loss; as elmo/src/train_step.py."""
        self.network.train()
        short, long, *indices = (torch.from_numpy(array) for array in batch[:4])
        *targets, classes, log_expected, restart = (torch.from_numpy(array) for array in batch[4:])
        h, c = ([[value * (1 - restart) for value in each] for each in state] for state in (self.h, self.c))
        self.optimizer.zero_grad(set_to_none=True)
        tops, self.h, self.c = self.network(short, long, indices, h, c)
        rows = [table[classes].requires_grad_() for table in self.tables]
        loss = self.network.loss(tops, targets, *rows, log_expected)
        (loss * self.config.loss_factor).backward()
        if self.options["all_clip_norm_val"]:
            torch.nn.utils.clip_grad_norm_([*self.parameters, *rows], self.options["all_clip_norm_val"], foreach=True)
        rate = self.rates[self.updates]
        with torch.no_grad():  # Adagrad for the rows of the softmax
            for table, row, squares in zip(self.tables, rows, self.squares):
                total = squares[classes].addcmul_(row.grad, row.grad)
                squares[classes] = total
                table[classes] = row.addcdiv(row.grad, total.sqrt(), value=-rate * self.config.softmax_lr_factor)
        self.updates += 1
        update(self.optimizer, rate, self.updates)
        return float(loss.detach())

    def outputs(self, short: Tensor, long: Tensor, *batch: Tensor) -> Tensor:
        """Return the top layers (2, T, B, P), from a zero state."""
        return torch.stack(self.network(short, long, batch[:2], *self.empty_state())[0])
