"""Exporting: formats are checked, compared and put in place together or not at all."""

from __future__ import annotations

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops
from onnx import TensorProto

from src.model_utils import exporting
from src.model_utils.configuration import Parser
from src.model_utils.exporting import export, largest_difference, parse_export_arguments, write_mindir, write_onnx
from src.model_utils.onnx_builder import Graph
from src.model_utils.runtime import UserError


class Scaled(nn.Cell):
    """x (N, 3) * factor and the sums (N,) of its rows."""

    def __init__(self):
        super().__init__()
        self.factor = Parameter(Tensor(np.array([1, 2, 3], np.float32)), name="factor")

    def construct(self, x, rows):
        scaled = x * self.factor
        return scaled, scaled.sum(1) + ops.zeros_like(rows)


def parse(*words):
    parser = Parser("test", config_file=False, device=False)
    parser.add_argument("--ckpt_path")
    return parse_export_arguments(parser, list(words))


def test_formats_are_chosen_in_any_case_and_once(tmp_path):
    assert parse("--ckpt_path", str(tmp_path / "x.ckpt")).formats == ["MINDIR", "ONNX"]
    assert parse("--ckpt_path", "x.ckpt", "--formats", "onnx, ONNX").formats == ["ONNX"]
    with pytest.raises(UserError, match="--formats: unknown format 'AIR'; choose from MINDIR, ONNX"):
        parse("--ckpt_path", "x.ckpt", "--formats", "AIR")


def test_the_folder_of_another_training_is_refused(tmp_path):
    (tmp_path / "other.ckpt").touch()
    with pytest.raises(UserError, match="holds checkpoints of another training; choose another --output_dir"):
        parse("--ckpt_path", str(tmp_path / "mine" / "x.ckpt"), "--output_dir", str(tmp_path))
    assert parse("--ckpt_path", str(tmp_path / "x.ckpt"), "--output_dir", str(tmp_path)).output_dir == str(tmp_path)


def test_mindir_and_onnx_run_on_arrays(tmp_path):
    x, rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.zeros(4, np.float32)
    inputs = Tensor(shape=[None, 3], dtype=ms.float32), Tensor(shape=[None], dtype=ms.float32)
    graph = Graph()
    graph("Mul", "x", graph.constant(np.array([1, 2, 3], np.float32)), output="y")
    model = graph.model(
        "scaled", {"x": (TensorProto.FLOAT, ["N", 3])}, {"y": (TensorProto.FLOAT, ["N", 3])}
    )  # which has no use for `rows`
    mindir = write_mindir(Scaled(), inputs, tmp_path / "x.mindir")
    onnx = write_onnx(model, tmp_path / "x.onnx", ("rows", "x"))
    for count in (4, 1):
        scaled, sums = mindir(x[:count], rows[:count])
        np.testing.assert_allclose(scaled, x[:count] * [1, 2, 3], rtol=1e-6)
        np.testing.assert_allclose(sums, (x[:count] * [1, 2, 3]).sum(1), rtol=1e-5)
        np.testing.assert_allclose(onnx(rows[:count], x[:count])[0], x[:count] * [1, 2, 3], rtol=1e-6)
    assert write_onnx(model, tmp_path / "y.onnx")(x)[0].shape == (4, 3)
    assert (tmp_path / "x.mindir").stat().st_mode & 0o777 == 0o644


def test_differences_are_sought_alone_and_in_one_batch():
    expected, asked = [np.array([1.0, 2.0]), np.array([3.0])], []

    def outputs(chosen):
        asked.append(chosen)
        for i in chosen:
            yield expected[i] + (0.5 if len(chosen) == 2 and i == 1 else 0)

    assert largest_difference(outputs, expected) == 0.5 and asked == [[0], [1], [0, 1]]
    wrong = {"a value": np.array([np.nan, 0]), "shape": np.zeros((1, 2)), "more": np.array([1.0, 2.0, 3.0])}
    for answer in wrong.values():
        assert largest_difference(lambda chosen, a=answer: [a for _ in chosen], expected) == np.inf
    assert largest_difference(lambda chosen: expected[:1], expected) == np.inf  # an answer is missing


def run_export(tmp_path, formats=("MINDIR", "ONNX"), differences=(1e-7, 2e-7), company="words", modules=()):
    args = SimpleNamespace(ckpt_path="c.ckpt", output_dir=str(tmp_path / "export"), formats=list(formats))

    def writer(name, difference):
        def write(folder):
            (folder / f"net.{name.lower()}").write_text(company)
            return difference

        return write

    writers = {name: writer(name, difference) for name, difference in zip(("MINDIR", "ONNX"), differences)}

    def save_company(folder):
        (folder / "vocab.json").write_text(company)

    return export(args, writers, 1e-5, save_company, "on 3 reviews", modules)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_all_files_are_put_in_place_together(tmp_path, capsys):
    assert run_export(tmp_path) == {"MINDIR": 1e-7, "ONNX": 2e-7}
    assert content(tmp_path / "export") == dict.fromkeys(("net.mindir", "net.onnx", "vocab.json"), "words")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{tmp_path}/export/net.onnx: ok, differs by 2.0e-07 at most from c.ckpt on 3 reviews"


def test_scripts_of_the_formats_and_what_they_import_lie_beside_the_files(tmp_path, monkeypatch):
    examples = tmp_path / "export_examples"
    for name in ("run_onnx.py", "run_mindir.py", "processing.py"):
        examples.mkdir(exist_ok=True)
        (examples / name).write_text(f"# {name}")
    (tmp_path / "src" / "data").mkdir(parents=True)
    (tmp_path / "src" / "data" / "words.py").write_text("# words.py")
    monkeypatch.setattr(exporting, "EXAMPLES", examples)
    run_export(tmp_path, formats=["ONNX"], modules=["data/words.py"])
    scripts = {name: f"# {name}" for name in ("run_onnx.py", "processing.py", "words.py")}
    assert content(tmp_path / "export") == {"net.onnx": "words", "vocab.json": "words", **scripts}


@pytest.mark.parametrize("difference", [2e-5, float("inf"), float("nan")])
def test_nothing_is_exported_when_one_format_differs(tmp_path, difference):
    run_export(tmp_path)
    with pytest.raises(SystemExit, match="ONNX differs from c.ckpt by .*, more than 1e-05; nothing was exported"):
        run_export(tmp_path, differences=(1e-7, difference), company="other words")
    assert content(tmp_path / "export") == dict.fromkeys(("net.mindir", "net.onnx", "vocab.json"), "words")


def test_company_of_files_that_stay_is_not_replaced(tmp_path):
    run_export(tmp_path)
    run_export(tmp_path, formats=["ONNX"])  # the same vocabulary
    with pytest.raises(UserError, match=r"vocab\.json: belongs to net\.mindir and has another content"):
        run_export(tmp_path, formats=["ONNX"], company="other words")
    assert content(tmp_path / "export") == dict.fromkeys(("net.mindir", "net.onnx", "vocab.json"), "words")
    run_export(tmp_path, company="other words")  # all of them
    assert set(content(tmp_path / "export").values()) == {"other words"}
