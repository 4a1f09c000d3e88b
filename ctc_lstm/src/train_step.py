"""The training step of a configuration: loss, gradients, optimizer and learning rates around the network."""

from __future__ import annotations

from mindspore import nn

from src.features import feature_size
from src.loss import CTCLoss
from src.lr_schedule import warmup_decay
from src.model_utils import native
from src.model_utils.runtime import quiet
from src.model_utils.train_step import TrainStep, mixed_precision
from src.network import CTCNet, dynamic_inputs


def learning_rates(config, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step."""
    return warmup_decay(
        config.num_epoches * steps_per_epoch,
        round(config.warmup_epochs * steps_per_epoch),
        config.learning_rate,
        config.lr_shape,
        config.lr_decay,
        config.lr_decay_epochs * steps_per_epoch,
    )


def build_step(network: CTCNet, config, rates: list[float]) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network."""
    loss_network = CTCLoss(network=network, intermediate=config.intermediate_ctc)
    with quiet():  # of a deprecated operator inside it
        optimizer = nn.Adam(
            network.trainable_params(), learning_rate=rates, beta2=0.98, weight_decay=config.weight_decay
        )
    scaler = mixed_precision(network, config.amp_level)
    step = TrainStep(loss_network, optimizer, config.gradient_clip, config.weight_average, loss_scaler=scaler)
    if native.enabled() or not config.pad_to_bucket:  # the kernels are as fast for shapes that vary
        step.set_inputs(*dynamic_inputs(feature_size(config)))
    return step
