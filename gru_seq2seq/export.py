"""Export a checkpoint as MINDIR or ONNX, encoder and decoder step, and compare each with the checkpoint first."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.arguments import usual_spelling
from src.decoding import padded_length
from src.inference import LONGEST, Translator, add_checkpoint_options, apply_settings, arrays_of, load_trained
from src.model_utils.configuration import Parser, write_yaml
from src.model_utils.runtime import UserError, init_device, log, run
from src.multi30k import SPLITS, read_pairs
from src.network import Decoder, Encoder
from src.tokenization import SPECIAL_TOKENS, save_tokenizers

FILES = {
    "MINDIR": ("gru_seq2seq_encoder.mindir", "gru_seq2seq_decoder.mindir"),
    "ONNX": ("gru_seq2seq_encoder.onnx", "gru_seq2seq_decoder.onnx"),
}
TOLERANCE = 1e-4  # largest difference of ln p of a text, as a share of it
RANDOM_SOURCES = 16  # compared besides the sentences of --data_dir


def write_mindir(network, length: int, folder: Path) -> tuple[Callable, Callable]:
    """Write MINDIR files for sources padded to `length`, any number of them; returns their encode and step."""
    state = Tensor(shape=[None, len(network.decoder), network.hidden_size], dtype=ms.float32)
    wide = Tensor(shape=[None, length, network.hidden_size], dtype=ms.float32)
    narrow = Tensor(shape=[None, length], dtype=ms.float32)
    rows = Tensor(shape=[None], dtype=ms.int32)
    cells = Encoder(network), Decoder(network)
    inputs = (Tensor(shape=[length, None], dtype=ms.int32), rows), (rows, state, wide, wide, narrow)
    loaded = []
    for name, cell, shapes in zip(FILES["MINDIR"], cells, inputs):
        cell.set_train(False)
        ms.export(cell, *shapes, file_name=str(folder / name), file_format="MINDIR")
        os.chmod(folder / name, 0o644)
        graph = nn.GraphCell(ms.load(str(folder / name)))
        graph.set_inputs(*shapes)  # else it would be compiled for every new shape
        loaded.append(arrays_of(graph))
    return tuple(loaded)


def write_onnx(network, length: int, folder: Path) -> tuple[Callable, Callable]:
    """Write ONNX files for sources of any length; returns their encode and step."""
    import onnxruntime

    from src.onnx_export import build_decoder, build_encoder

    loaded = []
    for name, build in zip(FILES["ONNX"], (build_encoder, build_decoder)):
        (folder / name).write_bytes(build(network).SerializeToString())
        session = onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        loaded.append(partial(_run, session, [value.name for value in session.get_inputs()]))
    return tuple(loaded)


def _run(session, names: list[str], *inputs: np.ndarray) -> list[np.ndarray]:
    return session.run(None, dict(zip(names, inputs)))


WRITERS = {"MINDIR": write_mindir, "ONNX": write_onnx}


def parse(argv=None):
    """Read the command line; options may be written with - or _."""
    parser = Parser(__doc__)
    add_checkpoint_options(parser)
    parser.add_argument("--output_dir", metavar="DIR", default="./export", help="where to (default: ./export)")
    parser.add_argument("--formats", default="MINDIR,ONNX", metavar="LIST", help="default: MINDIR,ONNX")
    parser.add_argument(
        "--length",
        type=int,
        default=0,
        metavar="N",
        help="tokens, the end included, that MINDIR reads of a source (default: max_length of the training)",
    )
    parser.add_argument("--data_dir", metavar="DIR", help="compare the translations of its sentences, too")
    parser.add_argument("--split", choices=list(SPLITS), default="test", help="files of --data_dir (default: test)")
    args = parser.parse_args(usual_spelling(sys.argv[1:] if argv is None else argv))
    args.formats = list(dict.fromkeys(name.strip().upper() for name in args.formats.split(",")))
    for name in args.formats:
        if name not in FILES:
            raise UserError(f"--formats: unknown format '{name}'; choose from {', '.join(FILES)}")
    if args.length and not 2 <= args.length <= LONGEST:
        raise UserError(f"--length {args.length}: choose 2 to {LONGEST}")
    output, training = Path(args.output_dir).resolve(), Path(args.ckpt_path).resolve().parent
    if output != training and any(output.glob("*.ckpt")):
        raise UserError(f"{args.output_dir}: holds checkpoints of another training; choose another --output_dir")
    return args


def random_ids(longest: int, size: int) -> list[list[int]]:
    """Return ids of any tokens but the special ones, of many lengths up to `longest`."""
    random = np.random.default_rng(0)
    first = min(len(SPECIAL_TOKENS), size - 1)
    return [random.integers(first, size, int(n)).tolist() for n in np.linspace(1, longest, RANDOM_SOURCES)]


def compare(exported: Translator, original: Translator, sentences: list[str], length: int) -> tuple[float, int]:
    """Return the largest difference of ln p of random ids, as a share of it, and how many translations differ."""
    sources = random_ids(length - 1, len(original.source_tokenizer))
    targets = random_ids(length - 1, len(original.target_tokenizer))[::-1]
    actual, expected = (translator.search.log_probs(sources, targets) for translator in (exported, original))
    difference = float(np.abs(actual / expected - 1).max()) if np.isfinite(actual).all() else float("inf")
    both = [[best.text for best, *_ in translator.translate(sentences)] for translator in (exported, original)]
    return difference, sum(one != other for one, other in zip(*both))


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse(argv)
    init_device(args.device_target, args.device_id)
    network, tokenizers, config = load_trained(args.ckpt_path, args.average)
    config = apply_settings(config, args)
    length = args.length or min(config.max_length, LONGEST)
    sentences = []
    if args.data_dir:
        sentences = read_pairs(args.data_dir, args.split, config.source, config.target, config.on_bad_pair).sources
    output = Path(args.output_dir)
    unfinished = output / f".unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    differences = {}
    try:
        for name in args.formats:
            graphs = WRITERS[name](network, length, unfinished)
            fixed = {"padded": lambda _: length, "longest": length} if name == "MINDIR" else {"put": np.array}
            exported = Translator(None, tokenizers, config, graphs, **{"padded": padded_length, **fixed})
            original = Translator(network, tokenizers, config, longest=exported.longest)
            differences[name], wrong = compare(exported, original, sentences, length)
            if not differences[name] <= TOLERANCE or wrong:
                raise SystemExit(
                    f"error: {name} differs from {args.ckpt_path} by {differences[name]:.1e} of ln p and in {wrong} of"
                    f" {len(sentences)} translations; nothing was exported"
                )
            log(f"{name}: ln p differs by {differences[name]:.1e} of it, none of {len(sentences)} translations differs")
        save_tokenizers(output, tokenizers)
        write_yaml(output / "config.yaml", config)
        for name in args.formats:
            for file in FILES[name]:
                os.replace(unfinished / file, output / file)
                log(f"{output / file}: ok")
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return differences


if __name__ == "__main__":
    run(main)
