"""The training step of a configuration: loss, gradients, optimizer and learning rates around the network."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.dataset import Vocabulary
from src.loss import AdversarialGradient, TaggingLoss
from src.lr_schedule import warmup_decay
from src.model_utils.runtime import UserError, quiet
from src.model_utils.training import TrainStep
from src.tagging import constraints

AVERAGE_EVERY = 8  # steps between updates of the weight average


def learning_rates(config, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step."""
    total = config.train_epochs * steps_per_epoch
    return warmup_decay(total, round(config.warmup_epochs * steps_per_epoch), total, 0.0, config.learning_rate, 0.0)


class Step(TrainStep):
    """A TrainStep that moves the weight average every AVERAGE_EVERY steps only, by as much as in so many steps.

    As a part of every step the average would take longer than the optimizer.
    """

    def __init__(self, *arguments, weight_average: float, **named):
        super().__init__(*arguments, weight_average=weight_average, **named)
        self.weight_average = 0.0  # what the step itself is to do
        self.blend = _Blend(self.average, self.weights, weight_average) if weight_average else None

    def __call__(self, *batch):
        result = super().__call__(*batch)
        if self.blend:
            done = float(self.updates.asnumpy()) + 1
            self.updates.set_data(Tensor(done, ms.float32))
            if done % AVERAGE_EVERY == 0:
                self.blend(Tensor(done, ms.float32))
        return result


class _Blend(nn.Cell):
    """Moves the weight average as AVERAGE_EVERY steps with the decay of TrainStep would."""

    def __init__(self, average, weights, decay: float):
        super().__init__(auto_prefix=False)
        self.average, self.weights, self.decay = average, weights, decay
        self.map = ops.HyperMap()

    def construct(self, updates):
        decay = ops.minimum((1 + updates) / (10 + updates), self.decay) ** AVERAGE_EVERY
        return ops.depend(updates, self.map(ops.partial(_blend, decay), self.average, self.weights))


def _blend(decay, average, weight):
    return ops.assign(average, average * decay + weight * (1 - decay))


def build_step(network, vocabulary: Vocabulary, config, rates) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network."""
    fixed = constraints(vocabulary.tags, vocabulary.scheme)
    loss_network = TaggingLoss(network, fixed, config.language_model, config.language_model_characters)
    with quiet():  # of a deprecated operator inside it
        optimizer = nn.Adam(
            loss_network.trainable_params(), learning_rate=rates, beta2=0.98, weight_decay=config.weight_decay
        )
    scaler = None
    if config.amp_opt_level != "O0":
        ms.amp.auto_mixed_precision(network, config.amp_opt_level)
        scaler = ms.amp.DynamicLossScaler(2**15, 2, 1000)
    gradient = None
    if config.adversarial_epsilon > 0:
        if scaler:
            raise UserError("adversarial_epsilon needs float32; set --amp_opt_level O0 or --adversarial_epsilon 0")
        gradient = AdversarialGradient(loss_network, optimizer.parameters, config.adversarial_epsilon)
    return Step(
        loss_network,
        optimizer,
        config.gradient_clip,
        weight_average=config.weight_average,
        value_and_grad=gradient,
        loss_scaler=scaler,
    )
