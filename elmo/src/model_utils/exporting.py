"""What the export.py of all models share: formats, options, comparing with the checkpoint, nothing half done."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.model_utils.runtime import UserError, log

FORMATS = ("MINDIR", "ONNX")
EXAMPLES = Path(__file__).resolve().parents[2] / "export_examples"  # programs that run exported files on their own
Run = Callable[..., list[np.ndarray]]  # from the inputs of an exported file to its outputs, all arrays


def parse_export_arguments(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Add --output_dir and --formats, and parse a command line; `formats` becomes a list.

    Raises UserError for an unknown format and for the folder of another training.
    """
    parser.add_argument("--output_dir", metavar="DIR", default="./export", help="where to (default: ./export)")
    every = ",".join(FORMATS)
    parser.add_argument("--formats", default=every, metavar="LIST", help=f"default: {every}")
    args = parser.parse_args(argv)
    args.formats = list(dict.fromkeys(name.strip().upper() for name in args.formats.split(",")))
    for name in args.formats:
        if name not in FORMATS:
            raise UserError(f"--formats: unknown format '{name}'; choose from {', '.join(FORMATS)}")
    output, training = Path(args.output_dir).resolve(), Path(args.ckpt_path).resolve().parent
    if output != training and any(output.glob("*.ckpt")):
        raise UserError(f"{args.output_dir}: holds checkpoints of another training; choose another --output_dir")
    return args


def write_mindir(cell: nn.Cell, inputs: Sequence[Tensor], path: Path) -> Run:
    """Write a cell as MINDIR; `inputs` are tensors without data, whose unknown sizes are None.

    The file holds the kernels of the device it is exported on, so it runs on devices of that kind only.
    """
    cell.set_train(False)
    ms.export(cell, *inputs, file_name=str(path), file_format="MINDIR")
    os.chmod(path, 0o644)
    loaded = nn.GraphCell(ms.load(str(path)))
    loaded.set_inputs(*inputs)  # else it would be compiled for every new shape

    def run(*arrays):
        outputs = loaded(*map(Tensor, arrays))
        return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return run


def write_onnx(model, path: Path, inputs: Sequence[str] = ()) -> Run:
    """Write an ONNX model. `inputs` names what is given to it in order, where its graph may lack some of them."""
    import onnxruntime

    path.write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = [each.name for each in session.get_inputs()]

    def run(*arrays):
        return session.run(None, {name: array for name, array in zip(inputs or known, arrays) if name in known})

    return run


def largest_difference(outputs: Callable[[list[int]], Iterable[np.ndarray]], expected: Sequence[np.ndarray]) -> float:
    """Compare what an exported file gives for samples, each alone and all in one batch, with what is expected.

    `outputs(indices)` are the arrays of these samples. Returns inf where a shape is another or a value is not finite.
    """
    everything, largest = list(range(len(expected))), 0.0
    for chosen in [*([i] for i in everything), everything]:
        answers = list(outputs(chosen))
        if len(answers) != len(chosen):
            return float("inf")
        for i, answer in zip(chosen, answers):
            if answer.shape != expected[i].shape or not np.isfinite(answer).all():
                return float("inf")
            largest = max(largest, float(np.abs(answer - expected[i]).max(initial=0)))
    return largest


def export(
    args,
    writers: dict[str, Callable[[Path], float]],
    tolerance: float,
    save_company: Callable[[Path], None],
    compared: str,
    modules: Sequence[str] = (),
) -> dict[str, float]:
    """Write every format of `args.formats`, and put all files into --output_dir when each is like the checkpoint.

    `writers[format](folder)` writes its files there and returns their largest difference from the checkpoint,
    `save_company(folder)` what has to lie beside them, such as the vocabulary. The scripts of export_examples/ that run
    these formats without this project go there, too, with the `modules` of src/ that they import. `compared` ends the
    message, such as "on 64 reviews". Returns the differences. Raises UserError where files that stay in --output_dir
    have other company.
    """
    output = Path(args.output_dir)
    unfinished = output / f".unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    differences, names = {}, {}
    try:
        for name in args.formats:
            before = set(unfinished.iterdir())
            differences[name] = writers[name](unfinished)
            names[name] = sorted(path.name for path in set(unfinished.iterdir()) - before)
            if not differences[name] <= tolerance:
                raise SystemExit(
                    f"error: {name} differs from {args.ckpt_path} by {differences[name]:.1e}, more than"
                    f" {tolerance:.0e}; nothing was exported"
                )
        models = set(unfinished.iterdir())
        save_company(unfinished)
        for path in [*_examples(args.formats), *(EXAMPLES.parent / "src" / module for module in modules)]:
            shutil.copyfile(path, unfinished / path.name)
        company = sorted(set(unfinished.iterdir()) - models)
        _check_company(company, output, {path.name for path in models})
        for path in [*company, *models]:
            os.replace(path, output / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for name, files in names.items():
        for file in files:
            log(f"{output / file}: ok, differs by {differences[name]:.1e} at most from {args.ckpt_path} {compared}")
    return differences


def _examples(formats: Sequence[str]) -> list[Path]:
    """Return the files of export_examples/ but the scripts that run other formats."""
    wanted = {f"run_{name.lower()}.py" for name in formats}
    return [path for path in sorted(EXAMPLES.glob("*.py")) if path.name in wanted or not path.name.startswith("run_")]


def _check_company(company: list[Path], output: Path, written: set[str]) -> None:
    """Refuse to replace a vocabulary or configuration that belongs to models which this export does not replace."""
    models = sorted(path.name for path in output.iterdir() if path.suffix in (".ckpt", ".mindir", ".onnx"))
    others = [name for name in models if name not in written]
    for path in company:
        older = output / path.name
        if others and older.exists() and older.read_bytes() != path.read_bytes():
            raise UserError(
                f"{older}: belongs to {others[0]} and has another content than this export; choose another --output_dir"
            )
