"""One training step around any loss: gradients, all-reduce, clipping, mixed precision, update, weight average."""

from __future__ import annotations

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.model_utils import native, native_ops
from src.model_utils.runtime import rank_and_size
from src.model_utils.weight_average import WeightAverage


class TrainStep(nn.Cell):
    """One optimizer step: gradients, all-reduce, clipping by global norm, update, weight average.

    `construct(*batch)` returns the loss and the global gradient norm before clipping. `value_and_grad(*batch)`, where
    given, replaces the plain gradient of `loss_network` and returns (loss, gradients of its trainable parameters).
    `weight_average` > 0 is the decay of a WeightAverage, updated every `average_every` steps. `loss_scaler` is for
    mixed precision: a step whose gradients overflow is left out.
    """

    def __init__(
        self,
        loss_network: nn.Cell,
        optimizer: nn.Optimizer,
        gradient_clip: float = 0.0,
        weight_average: float = 0.0,
        value_and_grad: Callable | None = None,
        loss_scaler: ms.amp.DynamicLossScaler | None = None,
        average_every: int = 1,
    ):
        super().__init__(auto_prefix=False)  # a checkpoint names the parameters as the network alone does
        self.loss_network = loss_network
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.gradient_clip = gradient_clip
        self.loss_scaler = loss_scaler
        self.gradients = value_and_grad or ms.value_and_grad(self._scaled_loss, None, self.weights)
        size = rank_and_size()[1]
        self.reduce = nn.DistributedGradReducer(self.weights, mean=True, degree=size) if size > 1 else None
        self.sum_over_ranks = ops.AllReduce() if size > 1 else None
        self.ranks = size
        self.average = WeightAverage(self.weights, weight_average, average_every) if weight_average else None
        fused = loss_scaler is None and FusedAdam.serves(optimizer)
        self.update = FusedAdam(optimizer, gradient_clip, self.average) if fused else None
        self.map = ops.HyperMap()

    def __call__(self, *batch):
        result = super().__call__(*batch)
        if self.average is not None and self.update is None:  # a graph of its own
            self.average.count_step()
        return result

    def _scaled_loss(self, *batch):
        loss = self.loss_network(*batch)
        return loss if self.loss_scaler is None else self.loss_scaler.scale(loss)

    def construct(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradients = self.gradients(*batch)
        if self.reduce is not None:
            gradients = self.reduce(gradients)
            loss = self.sum_over_ranks(loss) / self.ranks
        if self.update is not None:
            return loss, self.update(gradients)
        finite = None
        if self.loss_scaler is not None:
            loss = self.loss_scaler.unscale(loss)
            gradients = self.loss_scaler.unscale(gradients)
            finite = ms.amp.all_finite(gradients)
            loss = ops.depend(loss, self.loss_scaler.adjust(finite))
        norm = ops.sqrt(ops.addn(self.map(squared_sum, gradients)))
        if self.gradient_clip > 0:
            scale = ops.minimum(self.gradient_clip / (norm + 1e-12), 1.0)
            gradients = self.map(ops.partial(scaled, scale), gradients)
        if self.loss_scaler is None or finite:
            loss = ops.depend(loss, self.optimizer(gradients))
        else:
            norm = ops.zeros_like(norm)
        return loss, norm


class FusedAdam(nn.Cell):
    """Clipping, nn.Adam's update and the average in one operator of the project's own kernels (src/native/adam.cc).

    It works on the parameters of an nn.Adam and a WeightAverage, so a checkpoint is the same. What MindSpore does for
    it takes some ten operators a weight, each of which passes over the weight or its gradient.
    """

    def __init__(self, optimizer: nn.Adam, gradient_clip: float, average: WeightAverage | None):
        super().__init__(auto_prefix=False)
        self.rates = self.rates_of(optimizer)
        state = [optimizer.global_step, optimizer.beta1_power, optimizer.beta2_power]
        state += [] if average is None else [average.updates]
        state += [*optimizer.parameters, *optimizer.moment1, *optimizer.moment2]
        state += [] if average is None else average.copies
        self.state = ms.ParameterTuple(state)
        betas = [float(beta.asnumpy()) for beta in (optimizer.beta1, optimizer.beta2, optimizer.eps)]
        decay = (0, 1) if average is None else (average.decay, average.every)
        self.settings = Tensor([*betas, gradient_clip, *decay], ms.float32)
        self.kernel = native_ops.adam(len(optimizer.parameters), average is not None)

    @staticmethod
    def rates_of(optimizer: nn.Optimizer) -> ms.Parameter | nn.Cell:
        """Return the learning rates of all steps: one, or a list, as MindSpore keeps it in a cell."""
        return getattr(optimizer.learning_rate, "learning_rate", optimizer.learning_rate)

    @staticmethod
    def serves(optimizer: nn.Optimizer) -> bool:
        """Whether the kernels are in use, and the optimizer is one whose update this is."""
        is_plain = type(optimizer) is nn.Adam and not optimizer.exec_weight_decay
        return is_plain and isinstance(FusedAdam.rates_of(optimizer), ms.Parameter) and native.enabled()

    def construct(self, gradients) -> Tensor:
        """Update the weights; returns the norm of the gradients before clipping."""
        return self.kernel(self.settings, self.rates, *self.state, *gradients)[0]


def squared_sum(gradient: Tensor) -> Tensor:
    """Return the squared norm of a gradient of any shape, a float32 scalar."""
    squares = ops.square(gradient.astype(ms.float32))
    if squares.ndim > 1:  # the CPU kernel adds up rows on all cores, but everything at once on one
        squares = squares.reshape(-1, squares.shape[-1]).sum(-1)
    return squares.sum()


def scaled(scale: Tensor, gradient: Tensor) -> Tensor:
    """Return a gradient times a scalar, in the gradient's type."""
    return gradient * scale.astype(gradient.dtype)


def mixed_precision(network: nn.Cell, amp_level: str) -> ms.amp.DynamicLossScaler | None:
    """Let a network compute in `amp_level`, in place, and return the loss scaler that this needs: none for O0."""
    if amp_level == "O0":
        return None
    ms.amp.auto_mixed_precision(network, amp_level)
    return ms.amp.DynamicLossScaler(2**15, 2, 1000)
