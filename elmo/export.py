"""Export the embeddings of a biLM as MINDIR, compared with those of the checkpoint before the file appears."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.data.token_indexer import encode_words
from src.data.vocabulary import SPECIAL
from src.inference import Embedder, add_model_options, load_model
from src.mindir_export import ExportedElmo
from src.model_options import save_options
from src.model_utils.configuration import Parser
from src.model_utils.runtime import init_device, log, run

FILE = "elmo.mindir"
TOLERANCE = 1e-5  # largest difference of a value
SENTENCES = (
    "Great !",
    "A waste of time .",
    "It is n't a good film , but I loved the music , the colours and the last scene .",
    "Counter-revolutionaries and antidisestablishmentarianism stay 50 bytes long at most ; 诗 and Größe do , too .",
)


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__, config_file=False)
    add_model_options(parser)
    parser.add_argument("--output_dir", metavar="DIR", default="./export", help="where to (default: ./export)")
    return parser.parse_args(argv)


def arrays(sentences: list[list[str]], max_characters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return char_ids (N, W), index (T, B) and lengths (B,) int32 of sentences, as the exported graph takes them."""
    framed = [[SPECIAL[0], *sentence, SPECIAL[1]] for sentence in sentences]
    words = list(dict.fromkeys(word for sentence in framed for word in sentence))
    lengths = np.array([len(sentence) for sentence in framed], np.int32)
    index = np.zeros((lengths.max(), len(framed)), np.int32)
    for column, sentence in enumerate(framed):
        index[: len(sentence), column] = [words.index(word) for word in sentence]
    return encode_words(words, max_characters).astype(np.int32), index, lengths


def largest_difference(exported, embedder: Embedder, sentences: list[list[str]], max_characters: int) -> float:
    """Compare `exported` with the checkpoint on every sentence alone and on all of them in one batch."""
    expected = dict(embedder(sentences))
    difference = 0.0
    for chosen in [*([i] for i in range(len(sentences))), list(range(len(sentences)))]:
        inputs = arrays([sentences[i] for i in chosen], max_characters)
        layers = exported(*[Tensor(array) for array in inputs]).asnumpy()  # (L + 1, T, B, 2P)
        for column, i in enumerate(chosen):
            own = layers[:, 1 : 1 + len(sentences[i]), column]
            if not np.isfinite(own).all():
                return float("inf")
            difference = max(difference, float(np.abs(own - expected[i]).max()))
    return difference


def main(argv=None) -> float:
    """Export as the command line says; returns the largest difference from the checkpoint."""
    args = parse(argv)
    init_device(args.device_target, args.device_id)
    network, options = load_model(args.ckpt_path, args.options_path)
    exported = ExportedElmo(network)
    exported.set_train(False)
    output = Path(args.output_dir)
    unfinished = output / f".unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    shapes = [None, None], [None, None], [None]
    inputs = [Tensor(shape=shape, dtype=ms.int32) for shape in shapes]
    try:
        ms.export(exported, *inputs, file_name=str(unfinished / FILE), file_format="MINDIR")
        os.chmod(unfinished / FILE, 0o644)
        loaded = nn.GraphCell(ms.load(str(unfinished / FILE)))
        loaded.set_inputs(*inputs)  # else it would be compiled for every new shape
        sentences = [sentence.split() for sentence in SENTENCES]
        embedder = Embedder(network, options, len(sentences), stateful=False)
        difference = largest_difference(loaded, embedder, sentences, options.max_characters_per_token)
        if not difference <= TOLERANCE:
            raise SystemExit(
                f"error: MINDIR differs from {args.ckpt_path} by {difference:.1e}, more than {TOLERANCE:.0e};"
                " nothing was exported"
            )
        save_options(output / "options.json", options)
        os.replace(unfinished / FILE, output / FILE)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log(f"{output / FILE}: ok, differs by {difference:.1e} at most from {args.ckpt_path} on {len(SENTENCES)} sentences")
    return difference


if __name__ == "__main__":
    run(main)
