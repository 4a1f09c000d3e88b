"""The training step of a configuration: loss, gradients, optimizer and learning rates around the network."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn

from src.loss import AdversarialGradient, ClassificationLoss
from src.lr_schedule import warmup_decay
from src.model_utils.runtime import quiet
from src.model_utils.train_step import TrainStep, mixed_precision
from src.network import SentimentNet, dynamic_inputs


def learning_rates(config, steps_per_epoch: int) -> float | list[float]:
    """Return the constant rate, or the list of the rates of every step."""
    if not config.dynamic_lr:
        return config.learning_rate
    total = config.num_epochs * steps_per_epoch
    adjust_epoch = config.get("lr_adjust_epoch", 0) or config.num_epochs
    return warmup_decay(
        total + config.get("global_step", 0),
        round(config.warmup_epochs * steps_per_epoch),
        adjust_epoch * steps_per_epoch,
        config.get("lr_init", 0.0),
        config.get("lr_max", 0.0) or config.learning_rate,
        config.get("lr_end", 0.0),
        config.lr_shape,
        config.get("global_step", 0),
    )


def build_step(network: SentimentNet, config, rates: float | list[float]) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network."""
    loss_network = ClassificationLoss(network, label_smoothing=config.label_smoothing)
    weights = network.trainable_params()
    if config.optimizer == "adam":
        with quiet():  # it warns of a deprecated operator of its own
            optimizer = nn.Adam(
                weights, learning_rate=rates, beta1=config.momentum, beta2=0.98, weight_decay=config.weight_decay
            )
    else:
        optimizer = nn.Momentum(weights, rates, config.momentum, config.weight_decay)
    scaler = mixed_precision(network, config.amp_level)
    gradient = None
    if config.adversarial_epsilon:
        gradient = AdversarialGradient(loss_network, weights=optimizer.parameters, epsilon=config.adversarial_epsilon)
    step = TrainStep(loss_network, optimizer, config.gradient_clip, config.weight_average, gradient, scaler)
    step.set_inputs(*dynamic_inputs(), Tensor(shape=[None], dtype=ms.int32))
    return step
