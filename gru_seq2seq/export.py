"""Export a checkpoint as MINDIR or ONNX, encoder and decoder step, and compare each with the checkpoint first."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src import config as config_module
from src.inference import (
    LONGEST,
    SETTINGS,
    Part,
    Translator,
    add_checkpoint_options,
    forbidden_ids,
    load_trained,
)
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.exporting import Run, export, parse_export_arguments, write_mindir, write_onnx
from src.model_utils.files import write_json, write_yaml
from src.model_utils.runtime import UserError, init_device, run
from src.multi30k import SPLITS, read_pairs
from src.network import Seq2Seq
from src.tokenization import SPECIAL_TOKENS
from src.tokenizer_files import save_tokenizers

TOLERANCE = 1e-4  # largest difference of ln p of a text, as a share of it
RANDOM_SOURCES = 16  # compared besides the sentences of --data_dir


def parse_arguments(argv=None) -> Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__, native=False)
    add_checkpoint_options(parser)
    text = "tokens, the end included, that MINDIR reads of a source (default: max_length of the training)"
    parser.add_argument("--length", type=int, default=0, metavar="N", help=text)
    parser.add_argument("--data_dir", metavar="DIR", help="compare the translations of its sentences, too")
    parser.add_argument("--split", choices=list(SPLITS), default="test", help="files of --data_dir (default: test)")
    args = parse_export_arguments(parser, argv)
    if args.length and not 2 <= args.length <= LONGEST:
        raise UserError(f"--length {args.length}: choose 2 to {LONGEST}")
    return args


def write_mindir_graphs(network: Seq2Seq, length: int, folder: Path) -> tuple[Run, Run]:
    """Write MINDIR files for sources padded to `length`, any number of them; returns their encode and step."""
    state = Tensor(shape=[None, len(network.decoder), network.hidden_size], dtype=ms.float32)
    wide = Tensor(shape=[None, length, network.hidden_size], dtype=ms.float32)
    narrow = Tensor(shape=[None, length], dtype=ms.float32)
    rows = Tensor(shape=[None], dtype=ms.int32)
    source = Tensor(shape=[length, None], dtype=ms.int32)
    encoder, decoder = Part(network, "encode"), Part(network, "decode_step")
    return (
        write_mindir(encoder, (source, rows), folder / "gru_seq2seq_encoder.mindir"),
        write_mindir(decoder, (rows, state, wide, wide, narrow), folder / "gru_seq2seq_decoder.mindir"),
    )


def write_onnx_graphs(network: Seq2Seq, folder: Path) -> tuple[Run, Run]:
    """Write ONNX files for sources of any length; returns their encode and step."""
    from src.onnx_export import build_decoder, build_encoder

    return (
        write_onnx(build_encoder(network), folder / "gru_seq2seq_encoder.onnx"),
        write_onnx(build_decoder(network), folder / "gru_seq2seq_decoder.onnx"),
    )


def random_ids(longest: int, size: int) -> list[list[int]]:
    """Return ids of any tokens but the special ones, of many lengths up to `longest`."""
    random = np.random.default_rng(0)
    first = min(len(SPECIAL_TOKENS), size - 1)
    return [random.integers(first, size, int(n)).tolist() for n in np.linspace(1, longest, RANDOM_SOURCES)]


def difference(exported: Translator, original: Translator, sentences: list[str], length: int) -> float:
    """Return the largest difference of ln p of random ids, as a share of it; inf where a translation differs."""
    sources = random_ids(length - 1, len(original.source_tokenizer))
    targets = random_ids(length - 1, len(original.target_tokenizer))[::-1]
    actual, expected = (translator.search.log_probs(sources, targets) for translator in (exported, original))
    largest = float(np.abs(actual / expected - 1).max()) if np.isfinite(actual).all() else float("inf")
    both = [[best.text for best, *_ in translator.translate(sentences)] for translator in (exported, original)]
    return largest if both[0] == both[1] else float("inf")


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse_arguments(argv)
    init_device(args.device_target, args.device_id, native=False)  # whose libraries are on this machine only
    network, tokenizers, config = load_trained(args.ckpt_path, args.average)
    config = apply_settings(config, args, config_module, SETTINGS)
    length = args.length or min(config.max_length, LONGEST)
    sentences = []
    if args.data_dir:
        sentences = read_pairs(args.data_dir, args.split, config.source, config.target, config.on_bad_input).sources

    def compare(graphs: tuple[Run, Run], **options) -> float:
        exported = Translator(None, tokenizers, config, graphs, **options)
        original = Translator(network, tokenizers, config, longest=exported.longest)
        return difference(exported, original, sentences, length)

    def mindir(folder: Path) -> float:
        return compare(write_mindir_graphs(network, length, folder), padded=lambda _: length, longest=length)

    def onnx(folder: Path) -> float:
        return compare(write_onnx_graphs(network, folder), put=np.array)

    def save_company(folder: Path) -> None:
        save_tokenizers(folder, tokenizers)
        write_yaml(folder / "config.yaml", config)
        keys = ("beam_size", "length_penalty", "max_length_ratio", "max_length_extra")
        settings = {"longest": LONGEST, "mindir_length": length, "forbidden": forbidden_ids(config.unknown_words)}
        settings.update({"copy": config.unknown_words == "copy", "codes": tokenizers[0].codes})
        write_json(folder / "processing.json", {**settings, **{key: config[key] for key in keys}})

    compared = f"in ln p of {RANDOM_SOURCES} random texts, as a share of it, and in no translation of {len(sentences)}"
    return export(args, {"MINDIR": mindir, "ONNX": onnx}, TOLERANCE, save_company, f"{compared} sentences")


if __name__ == "__main__":
    run(main)
