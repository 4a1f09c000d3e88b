"""One training step: state in, gradients, clipping, dense and sparse update, state out."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.loss import TrainingLoss
from src.model_options import ModelOptions
from src.model_utils import native, native_ops
from src.model_utils.runtime import quiet, rank_and_size
from src.model_utils.train_step import FusedAdam, scaled, squared_sum
from src.network import LanguageModel


class TrainOneStep(nn.Cell):
    """The step of a Trainer for truncated back-propagation through a running text.

    The state of every row of the global batch is a parameter, so checkpoints hold it and a resumed training has it.
    Of the softmax only the rows of the step's classes are read, differentiated and updated, by Adagrad (Duchi et al.
    2011) whatever the optimizer of the network: a row that is not drawn then stays as it is. The gradient norm for
    clipping is that of all gradients, those of the rows among them.
    """

    def __init__(self, *, model: LanguageModel, options: ModelOptions, config, rates: list[float]):
        super().__init__(auto_prefix=False)
        self.model = model
        self.optimizer = build_optimizer(config, model.bilm.trainable_params(), rates)
        self.weights = self.optimizer.parameters
        self.loss_factor = config.loss_factor
        self.gradient_clip = options.all_clip_norm_val
        self.rates = Tensor(np.array(rates, np.float32) * config.softmax_lr_factor)

        def parameter(name, shape, value=0.0):
            return Parameter(Tensor(np.full(shape, value, np.float32)), name=name, requires_grad=False)

        self.updates = Parameter(Tensor(0, ms.int32), name="updates", requires_grad=False)
        start = config.adagrad_accumulator
        self.squares = parameter("softmax.weight.squares", model.weight.shape, start)
        self.bias_squares = parameter("softmax.bias.squares", model.bias.shape, start)
        rank, self.ranks = rank_and_size()
        rows = options.batch_size
        self.first, self.rows = rank * rows // self.ranks, rows // self.ranks
        sampled = min(options.n_negative_samples_batch, len(model.weight))
        predictions = 2 * self.rows * options.unroll_steps
        self.loss_network = TrainingLoss(bilm=model.bilm, sampled=sampled, predictions=predictions)
        shapes = options.state_shapes(rows)
        self.h, self.c = parameter("state.h", shapes[0]), parameter("state.c", shapes[1])
        self.gradients = ms.value_and_grad(self._loss, (0, 1), self.weights, has_aux=True)
        self.reduce = nn.DistributedGradReducer(self.weights, mean=True, degree=self.ranks) if self.ranks > 1 else None
        self.sum_over_ranks = ops.AllReduce() if self.ranks > 1 else None
        self.gather_ranks = ops.AllGather() if self.ranks > 1 else None
        self.map = ops.HyperMap()
        self.update = None
        if native.enabled():
            tables = model.weight, model.bias, self.squares, self.bias_squares
            self.update = FusedUpdate(self.optimizer, tables, config.softmax_lr_factor, self.gradient_clip)

    def _loss(self, weight, bias, text, targets, log_expected, h, c, dropout_keys):
        loss, h, c = self.loss_network(text, targets, h, c, dropout_keys, weight, bias, log_expected)
        return loss * self.loss_factor, h, c

    def construct(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step on TrainingInputs (see dataset.py); returns the loss and the gradient norm before clipping."""
        text, targets = inputs[:4], inputs[4:6]
        classes, log_expected, restart, dropout_keys = inputs[6:]
        h, c = self._mine(self.h) * (1 - restart), self._mine(self.c) * (1 - restart)
        weight, bias = ops.gather(self.model.weight, classes, 0), ops.gather(self.model.bias, classes, 0)
        (loss, h, c), (rows, gradients) = self.gradients(weight, bias, text, targets, log_expected, h, c, dropout_keys)
        d_weight, d_bias = rows
        if self.reduce is not None:
            gradients = self.reduce(gradients)
            loss = self.sum_over_ranks(loss) / self.ranks
            d_weight, d_bias = self.sum_over_ranks(d_weight) / self.ranks, self.sum_over_ranks(d_bias) / self.ranks
        done = self.updates + 1  # a new tensor: what reads the parameter itself might see it after its update
        if self.update is not None:
            norm = self.update(classes, d_weight, d_bias, gradients)
        else:
            norm = ops.sqrt(ops.addn(self.map(squared_sum, gradients)) + squared_sum(d_weight) + squared_sum(d_bias))
            if self.gradient_clip > 0:
                scale = ops.minimum(self.gradient_clip / (norm + 1e-12), 1.0)
                gradients = self.map(ops.partial(scaled, scale), gradients)
                d_weight, d_bias = d_weight * scale, d_bias * scale
            rate = ops.gather(self.rates, done - 1, 0)
            self._adagrad(self.model.weight, self.squares, classes, weight, d_weight, rate)
            self._adagrad(self.model.bias, self.bias_squares, classes, bias, d_bias, rate)
            loss = ops.depend(loss, self.optimizer(gradients))
        ops.assign(self.updates, done)
        ops.assign(self.h, self._everyone(h))
        ops.assign(self.c, self._everyone(c))
        return loss / self.loss_factor, norm

    def _adagrad(self, table, squares, classes, values, gradient, rate):
        total = ops.gather(squares, classes, 0) + ops.square(gradient)
        ops.scatter_update(squares, classes, total)
        ops.scatter_update(table, classes, values - rate * gradient / ops.sqrt(total))

    def _mine(self, state):
        """Return the rows of this process, (2, L, b, size) of (2, L, B, size)."""
        return state if self.ranks == 1 else state[:, :, self.first : self.first + self.rows]

    def _everyone(self, state):
        """Put the rows of all processes together again."""
        if self.ranks == 1:
            return state
        return self.gather_ranks(state.transpose(2, 0, 1, 3)).transpose(1, 2, 0, 3)


class FusedUpdate(nn.Cell):
    """Clipping and both updates in one operator of the project's own kernels (src/native/adam.cc).

    It works on the parameters of the optimizer and on `tables`: weight and bias of the softmax and their squares.
    """

    def __init__(self, optimizer: nn.Optimizer, tables, softmax_lr_factor: float, gradient_clip: float):
        super().__init__(auto_prefix=False)
        adam = isinstance(optimizer, nn.Adam)
        counts, moments, betas = [optimizer.global_step], optimizer.accum if not adam else (), [0] * 3
        if adam:
            counts += [optimizer.beta1_power, optimizer.beta2_power]
            moments = [*optimizer.moment1, *optimizer.moment2]
            betas = [float(value.asnumpy()) for value in (optimizer.beta1, optimizer.beta2, optimizer.eps)]
        self.state = ms.ParameterTuple([*counts, *tables, *optimizer.parameters, *moments])
        self.settings = Tensor([*betas, gradient_clip, softmax_lr_factor, adam], ms.float32)
        self.rates = FusedAdam.rates_of(optimizer)
        self.kernel = native_ops.sampled_update(len(optimizer.parameters), adam)

    def construct(self, classes, d_weight, d_bias, gradients) -> Tensor:
        """Update everything; returns the norm of the gradients before clipping."""
        return self.kernel(self.settings, self.rates, classes, *self.state, d_weight, d_bias, *gradients).reshape(())


def build_optimizer(config, weights, rates: list[float]) -> nn.Optimizer:
    """Return the optimizer of the network's dense weights."""
    with quiet():  # of a deprecated operator inside it
        if config.optimizer == "adam":
            return nn.Adam(weights, learning_rate=rates, beta2=config.adam_beta2)
        return nn.Adagrad(weights, accum=config.adagrad_accumulator, learning_rate=rates)
