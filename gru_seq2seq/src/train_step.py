"""The training step of a configuration: loss, gradients, optimizer and learning rates around the network."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn

from src.loss import TranslationLoss
from src.lr_schedule import warmup_decay
from src.model_utils.runtime import quiet, rank_and_size
from src.model_utils.training import TrainStep


def learning_rates(config, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step."""
    return warmup_decay(
        config.num_epochs * steps_per_epoch,
        round(config.warmup_epochs * steps_per_epoch),
        config.learning_rate,
        config.lr_shape,
    )


def build_step(network, config, rates: list[float]) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network.

    Its inputs are those of a TranslationInputs; each pair of S and T compiles once.
    """
    loss_network = TranslationLoss(network=network, smoothing=config.label_smoothing, processes=rank_and_size()[1])
    with quiet():  # of a deprecated operator inside it
        optimizer = nn.Adam(
            network.trainable_params(), learning_rate=rates, beta2=0.98, weight_decay=config.weight_decay
        )
    scaler = None
    if config.amp_level != "O0":
        ms.amp.auto_mixed_precision(network, config.amp_level)
        scaler = ms.amp.DynamicLossScaler(2**15, 2, 1000)
    average = config.weight_average
    return TrainStep(loss_network, optimizer, config.gradient_clip, average, None, scaler, config.average_every)
