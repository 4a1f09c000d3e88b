"""The training step of a configuration: loss, gradients, optimizer and learning rates around the network."""

from __future__ import annotations

from easydict import EasyDict
from mindspore import nn

from src.dataset import Vocabulary
from src.loss import AdversarialGradient, TaggingLoss
from src.lr_schedule import warmup_decay
from src.model_utils import native
from src.model_utils.runtime import UserError, quiet
from src.model_utils.train_step import TrainStep, mixed_precision
from src.network import Tagger, dynamic_inputs
from src.tagging import constraints


def learning_rates(config: EasyDict, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step."""
    total = config.train_epochs * steps_per_epoch
    return warmup_decay(total, round(config.warmup_epochs * steps_per_epoch), config.learning_rate)


def build_step(network: Tagger, vocabulary: Vocabulary, config: EasyDict, rates: list[float] | float) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network."""
    fixed = constraints(vocabulary.tags, vocabulary.scheme)
    loss_network = TaggingLoss(
        network,
        constraints=fixed,
        language_model=config.language_model,
        most_characters=config.language_model_characters,
    )
    with quiet():  # of a deprecated operator inside it
        optimizer = nn.Adam(
            loss_network.trainable_params(), learning_rate=rates, beta2=0.98, weight_decay=config.weight_decay
        )
    scaler = mixed_precision(network, config.amp_opt_level)
    gradient = None
    if config.adversarial_epsilon > 0:
        if scaler:
            raise UserError("adversarial_epsilon needs float32; set --amp_opt_level O0 or --adversarial_epsilon 0")
        gradient = AdversarialGradient(loss_network, weights=optimizer.parameters, epsilon=config.adversarial_epsilon)
    step = TrainStep(
        loss_network,
        optimizer,
        gradient_clip=config.gradient_clip,
        weight_average=config.weight_average,
        average_every=config.average_every,
        value_and_grad=gradient,
        loss_scaler=scaler,
    )
    if native.enabled():  # without a CRF that is written out for each length, one compilation serves all
        step.set_inputs(*dynamic_inputs(), *dynamic_inputs()[:1] * 2)
    return step
