"""Language-model pre-training of the sentiment network's word projection and LSTM on unlabelled reviews."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.dataset import Sample, lengths_of, pad, truncate
from src.lr_schedule import warmup_decay
from src.model_utils import ranks
from src.model_utils.batching import Batch, pooled_plan, rows_of_process
from src.model_utils.checkpoint import InitialWeights, output_folder, training_checkpoints
from src.model_utils.layers import dropout_keys, padding_mask
from src.model_utils.runtime import UserError, log, quiet, rank_and_size
from src.model_utils.softmax_loss import SoftmaxLoss
from src.model_utils.train_step import TrainStep
from src.model_utils.trainer import Cadence, Trainer
from src.network import SentimentNet, dynamic_inputs
from src.preparation import PADDING_ID, save_vocabulary
from src.random_streams import Stream

FOLDER, NAME = "pretraining", "lm"  # below the folder of the training, and of the checkpoints there
VECTORS = "word_vectors.npy"  # of the network, in the folder of the training


class LanguageModelLoss(nn.Cell):
    """Mean cross entropy of the word that each direction of the LSTM reads next.

    Pre-training the classifier's LSTM as a language model is from Dai & Le 2015. The softmax is over the distinct words
    of the batch, about 1,500, which are looked up anyway: the words of other reviews, as often as they occur, are a
    word's competitors. That is no normalized model of the vocabulary, but it teaches the LSTM the same context at a
    fraction of the cost. Output vectors are a learned projection of the fixed word vectors.
    """

    def __init__(self, network: SentimentNet, *, num_hiddens: int, bidirectional: bool, seed: int):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.embedding = network.embedding
        self.lstm = network.lstm
        self.hidden_size = num_hiddens
        self.bidirectional = bidirectional
        embed_size = network.embedding.vectors.shape[1]
        bound = (3 / (embed_size * num_hiddens)) ** 0.5
        random = np.random.default_rng([seed, Stream.OUTPUT_PROJECTION])
        weight = random.uniform(-bound, bound, (embed_size, num_hiddens))
        self.matmul = ops.MatMul()
        self.loss = SoftmaxLoss()
        self.output_projection = Parameter(Tensor(weight.astype(np.float32)), name="output_projection")

    def construct(self, words: Tensor, tokens: Tensor, lengths: Tensor, dropout_keys: Tensor, pairs: Tensor) -> Tensor:
        """Return the scalar loss of `PretrainingInputs`."""
        padding = padding_mask(lengths, tokens.shape[0])  # (T, B, 1)
        table = self.embedding.table(words)  # (U, D)
        outputs = self.lstm(table, lengths, dropout_keys, False, tokens)  # (T, B, H * directions)
        vectors = ops.gather(self.embedding.vectors, words[1:], 0)  # (U - 1, E), padding is never predicted
        candidates = self.matmul(vectors, self.output_projection)  # (U - 1, H)
        real = 1 - padding[1:].reshape(-1)  # ((T - 1) * B,), both steps of a pair are real where the later one is
        none = ops.zeros_like(padding[0]).reshape(-1)  # (B,), the pair around the end; slicing outputs would be slow
        parts = ops.split(outputs, self.hidden_size, 2)  # (T, B, H) of each direction
        following = ops.cat((tokens[1:], tokens[:1]))  # (T, B)
        loss = self._one_direction(parts[0], candidates, following, ops.cat((real, none)))
        if self.bidirectional:
            preceding = ops.cat((tokens[-1:], tokens[:-1]))  # (T, B)
            loss = (loss + self._one_direction(parts[1], candidates, preceding, ops.cat((none, real)))) / 2
        return loss / pairs[0]

    def _one_direction(self, states, candidates, targets, shares):
        """Return the scalar loss of states (T, B, H) with the words targets (T, B), each with its share (T * B,)."""
        targets = ops.maximum(targets - 1, 0)  # (T, B), indices of candidates; any for padding
        return self.loss(states, candidates, ops.zeros_like(candidates[:, 0]), targets, shares)


class PretrainingInputs(NamedTuple):
    """The inputs of LanguageModelLoss for B segments; int32 but for `pairs`."""

    words: np.ndarray  # (U,), the distinct ids of the global batch, the first of which is padding
    tokens: np.ndarray  # (T, B), indices into words
    lengths: np.ndarray  # (B,)
    dropout_keys: np.ndarray  # (B,)
    pairs: np.ndarray  # (1,) float32, a process's equal share of the neighbouring words in the global batch


class PretrainingBatches:
    """Segments of reviews in shuffled batches of similar lengths; an epoch is a function of (seed, epoch).

    A data-parallel process takes every size-th segment of a batch, but all processes share the words of the batch.
    """

    def __init__(self, parts: Sequence[Sequence[Sample]], config, rank: int = 0, size: int = 1):
        self.own_rows = rows_of_process(config.pretrain_batch_size, rank, size, "pretrain_batch_size")
        self.parts, self.max_length, self.truncation = parts, config.max_length, config.truncation
        lengths = [lengths_of(samples, config.max_length) for samples in parts]
        self.firsts = np.cumsum([0, *map(len, parts)])  # of each part, and the number of all reviews
        self.review, self.start, self.lengths = segments(np.concatenate(lengths), config.pretrain_length)
        self.batch_size, self.seed, self.size = config.pretrain_batch_size, config.seed, size
        self.steps_per_epoch = len(self.lengths) // self.batch_size
        if not self.steps_per_epoch:
            raise UserError(
                f"{len(self.lengths)} segments do not fill a batch of pre-training; lower --pretrain_batch_size"
            )
        log(
            f"pre-training: {self.firsts[-1]} reviews, {int(self.lengths.sum())} tokens, {len(self.lengths)} segments,"
            f" {config.pretrain_epochs * self.steps_per_epoch} steps"
        )

    def segment(self, number: int) -> np.ndarray:
        """Return the ids (length,) of a segment."""
        review, start = self.review[number], self.start[number]
        part = np.searchsorted(self.firsts, review, side="right") - 1
        ids = self.parts[part][review - self.firsts[part]].ids
        return truncate(ids, self.max_length, self.truncation)[start : start + self.lengths[number]]

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = pooled_plan(self.lengths, self.batch_size, [self.seed, Stream.PRETRAINING, epoch])
        for step in range(first_step, len(plan)):
            keys = dropout_keys(self.seed + 1, (epoch - 1) * len(plan) + step, self.batch_size)
            ids = [self.segment(number) for number in plan[step]]
            words, tokens, lengths = pad([*ids, np.array([PADDING_ID])])  # the last one makes padding a word
            tokens, lengths = tokens[:, :-1][:, self.own_rows], lengths[:-1][self.own_rows]
            total = int(self.lengths[plan[step]].sum())
            pairs = np.array([(total - self.batch_size) / self.size], np.float32)
            tokens = np.ascontiguousarray(tokens[: lengths.max()])
            yield Batch(PretrainingInputs(words, tokens, lengths, keys[self.own_rows], pairs), self.batch_size, total)


def segments(lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide reviews of lengths (N,) into equal segments of at most `most` tokens, the longer ones first.

    Returns the review, the first token and the length of each segment (S,); those of one token are left out.
    """
    counts = -(-lengths // most)
    review = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(review)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the review
    size, longer = np.divmod(lengths, counts)
    start = number * size[review] + np.minimum(number, longer[review])
    sizes = size[review] + (number < longer[review])
    return review[sizes > 1], start[sizes > 1], sizes[sizes > 1]


def initial_stage(folder: Path, name: str, resume: bool) -> tuple[Path, str]:
    """Return the folder and the name of the checkpoints that a training would resume from.

    They are those of its pre-training where it was stopped before the first checkpoint of its own.
    """

    def stopped_in_pretraining() -> bool:
        return not training_checkpoints(folder, name) and bool(training_checkpoints(folder / FOLDER, NAME))

    return (folder / FOLDER, NAME) if resume and ranks.from_first(stopped_in_pretraining) else (folder, name)


def pretrain(
    network: SentimentNet,
    batches: PretrainingBatches,
    vocabulary: dict[str, int],
    config,
    folder: Path,
    weights: InitialWeights,
    tensorboard: str | None = None,
) -> None:
    """Pre-train the network in place for `pretrain_epochs` epochs, with checkpoints and curves below `folder`.

    Event files, if any, go below the folder `tensorboard`.

    Resumed `weights` are those of a pre-training, which goes on where it was stopped.
    """
    steps = config.pretrain_epochs * batches.steps_per_epoch
    loss_network = LanguageModelLoss(
        network, num_hiddens=config.num_hiddens, bidirectional=config.bidirectional, seed=config.seed
    )
    trained = [weight for weight in loss_network.trainable_params() if "offsets" not in weight.name]
    rates = warmup_decay(steps, steps // 20, steps, 0.0, config.pretrain_learning_rate, 0.0)
    with quiet():  # it warns of a deprecated operator of its own
        optimizer = nn.Adam(trained, learning_rate=rates, beta2=0.98)
    step = TrainStep(loss_network, optimizer, gradient_clip=1.0)
    step.set_inputs(*dynamic_inputs(), Tensor(shape=[1], dtype=ms.float32))
    resume, folder = weights.state is not None, folder / FOLDER
    with output_folder(folder, NAME, resume, overwrite=not resume):
        if rank_and_size()[0] == 0:
            save_vocabulary(folder / "vocab.json", vocabulary)
        trainer = Trainer(
            name=NAME,
            folder=folder,
            network=network,
            step=step,
            batches=batches,
            steps_per_epoch=batches.steps_per_epoch,
            num_epochs=config.pretrain_epochs,
            learning_rate=lambda step_: rates[step_],
            validate=None,
            metric="valid_loss",
            cadence=Cadence(
                print_steps=config.print_steps,
                save_checkpoint_steps=config.save_checkpoint_steps,
                keep_checkpoint_max=1,
            ),
            fixed={f"../{VECTORS}": network.embedding.vectors},
            tensorboard=Path(tensorboard) / FOLDER if tensorboard else None,
        )
        trainer.resume(weights)
        trainer.train()
