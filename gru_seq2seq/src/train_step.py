"""The training step of a configuration: loss, gradients, optimizer and learning rates around the network."""

from __future__ import annotations

from mindspore import nn

from src.loss import TranslationLoss
from src.lr_schedule import warmup_decay
from src.model_utils import native
from src.model_utils.runtime import quiet, rank_and_size
from src.model_utils.train_step import TrainStep, mixed_precision
from src.network import Seq2Seq, dynamic_inputs


def learning_rates(config, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step."""
    return warmup_decay(
        config.num_epochs * steps_per_epoch,
        round(config.warmup_epochs * steps_per_epoch),
        config.learning_rate,
        config.lr_shape,
    )


def build_step(network: Seq2Seq, config, rates: list[float]) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network.

    Its inputs are those of a TranslationInputs. Where steps are written out, each pair of S and T compiles once.
    """
    loss_network = TranslationLoss(network=network, smoothing=config.label_smoothing, processes=rank_and_size()[1])
    with quiet():  # of a deprecated operator inside it
        optimizer = nn.Adam(
            network.trainable_params(), learning_rate=rates, beta2=0.98, weight_decay=config.weight_decay
        )
    step = TrainStep(
        loss_network,
        optimizer,
        gradient_clip=config.gradient_clip,
        weight_average=config.weight_average,
        loss_scaler=mixed_precision(network, config.amp_level),
        average_every=config.average_every,
    )
    if native.enabled() and not network.recurrent_attention:  # nothing is written out step by step
        step.set_inputs(*dynamic_inputs())
    return step
