"""Both frameworks compute the same, results are complete, wrong input is explained. No test asserts a time."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import run

FOLDER = Path(run.__file__).parent
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is optional")


def benchmark(tmp_path, *options, model="lstm"):
    common = f"--models {model} --presets tiny --steps 3 --rounds 1 --output {tmp_path / 'found.json'}".split()
    return run.main([*common, *options])


@needs_torch
@pytest.mark.parametrize(
    "changes",
    [
        "",
        "adversarial_epsilon=0.5 num_layers=2 pooling=attention gradient_clip=0 label_smoothing=0.1",
        "optimizer=momentum num_layers=2 pooling=ends projection_size=0 trained_words=0 dynamic_lr=false"
        " weight_decay=0.01",
    ],
    ids=["tiny", "adversarial", "zoo"],
)
def test_pytorch_networks_compute_what_mindspore_does(tmp_path, changes):
    # Without dropout, equal losses of every step mean equal logits, gradients, clipping, rates and optimizers.
    result = benchmark(tmp_path, "--against", "pytorch", "--set", "dropout=0", *changes.split())
    mindspore, *others = result["results"]
    assert [record["variant"] for record in others] == ["packed", "strongest"]
    expected = mindspore["runs"][0]["losses"]
    assert len(expected) == 6  # two passes
    assert len({round(loss, 4) for loss in expected}) > 3
    for record in others:
        assert record["runs"][0]["logits_difference"] <= 1e-4
        np.testing.assert_allclose(record["runs"][0]["losses"], expected, atol=1e-5)
    assert [ratio["variant"] for ratio in result["ratios"]] == ["packed", "strongest"]


@needs_torch
@pytest.mark.parametrize("model", [model for model in run.MODELS if model != "lstm"])
def test_pytorch_networks_of_the_other_models(tmp_path, model):
    mindspore, *others = benchmark(tmp_path, "--against", "pytorch", "--set", "dropout=0", model=model)["results"]
    assert [record["variant"] for record in others] == list(run.MODELS[model]["tiny"])
    for record in others:
        assert record["runs"][0]["logits_difference"] <= 1e-4
        np.testing.assert_allclose(record["runs"][0]["losses"], mindspore["runs"][0]["losses"], rtol=1e-4)


def test_mindspore_alone(tmp_path):
    benchmark(tmp_path, "--malloc", "tuned", "default", "--set", "num_hiddens=8")
    result = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert [record["malloc"] for record in result["results"]] == ["tuned", "default"]
    assert result["ratios"] == []
    assert result["machine"]["versions"]["mindspore"] and result["machine"]["cores"]
    for record in result["results"]:
        assert record["config"]["num_hiddens"] == 8
        assert record["samples"] == 3 * record["config"]["batch_size"] < record["tokens"]
        assert all(value > 0 for value in record["medians"].values())
        assert record["medians"].keys() == {*run.MEDIANS, "training_share_of_peak"}
        assert record["medians"]["training_share_of_peak"] < 1
        in_lstm = 6 * record["tokens"] * 2 * (4 * 8) * (record["config"]["projection_size"] + 8)  # without padding
        assert in_lstm < record["operations"] < 2 * in_lstm


@needs_torch
def test_padded_network_reads_padding_as_text():
    from lstm_pytorch import Packed, Padded

    config = SimpleNamespace(
        embed_size=3, projection_size=0, num_hiddens=2, num_layers=1, bidirectional=True, dropout=0.0, pooling="ends",
        max_length=6, embedding_dropout=0.0,
    )  # fmt: skip
    import torch

    def network(kind):
        torch.manual_seed(0)
        weights = {"embedding.vectors": torch.randn(5, 3), "weight": torch.randn(2, 8), "bias": torch.zeros(2)}
        for suffix in ("", "_reverse"):
            for name, shape in (("weight_ih", (8, 3)), ("weight_hh", (8, 2)), ("bias", (8,))):
                weights[f"lstm.layers.0.{name}{suffix}"] = torch.randn(shape)
        return kind(config, weights).eval()

    words, tokens, lengths = (
        np.arange(5, dtype=np.int32),
        np.array([[1, 2], [3, 4], [4, 0]]),
        np.array([3, 2], np.int32),
    )
    logits = {}
    for kind in (Packed, Padded):
        net = network(kind)
        inputs = [torch.from_numpy(array) for array in net.collate(words, tokens, lengths)]
        assert len(inputs[0]) == (3 if kind is Packed else 6)
        logits[kind] = net.classify(net.embed(*inputs), *inputs).detach()
    assert not torch.allclose(logits[Packed], logits[Padded])


@needs_torch
def test_weight_average():
    import torch
    from pytorch_training import TrainStep

    config = SimpleNamespace(
        gradient_clip=0.0, weight_average=0.5, weight_decay=0.0, optimizer="momentum", momentum=0.0
    )
    weight = torch.nn.Parameter(torch.zeros(1))

    def backward():
        weight.grad = torch.tensor([-1.0])
        return torch.tensor(0.0)

    step = TrainStep([weight], backward, config, [1.0, 1.0])
    step()
    step()
    after_one = 1 - 2 / 11  # decay (1 + n) / (10 + n), from 0 towards 1
    assert weight.item() == 2
    assert not step.average[0].requires_grad
    assert step.average[0].item() == pytest.approx(after_one * 3 / 12 + 2 * 9 / 12)


def test_ratios_belong_to_their_group():
    def record(framework, variant, preset, speed, memory):
        medians = {
            "training_samples_per_second": speed,
            "inference_samples_per_second": 2 * speed,
            "peak_memory_mib": memory,
        }
        about = {"model": "lstm", "preset": preset, "malloc": "tuned", "framework": framework, "variant": variant}
        return {**about, "medians": medians}

    found = run.ratios(
        [
            record("mindspore", "", "default", 6.0, 10.0),
            record("pytorch", "packed", "default", 2.0, 20.0),
            record("pytorch", "strongest", "default", 4.0, 5.0),
            record("mindspore", "", "zoo", 1.0, 1.0),
            record("pytorch", "packed", "zoo", 4.0, 1.0),
        ]
    )
    assert [(each["preset"], each["variant"], each["training"], each["peak_memory"]) for each in found] == [
        ("default", "packed", 3.0, 0.5),
        ("default", "strongest", 1.5, 2.0),
        ("zoo", "packed", 0.25, 1.0),
    ]


def test_environment_replaces_the_callers_allocator_settings(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    assert "MALLOC_MMAP_MAX_" not in run.environment("default")
    assert run.environment("tuned")["MALLOC_MMAP_MAX_"] == "0"
    assert os.environ["MALLOC_MMAP_MAX_"] == "7"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--presets", "huge"], "no model has 'huge'"),
        (["--preset", "tiny"], "did you mean '--presets'"),
        (["--steps", "many"], "--steps"),
        (["--steps", "0"], "at least 1"),
        (["--set", "batch_size"], "KEY=VALUE"),
        (["--set", "batch_sizes=4"], "did you mean '--batch_size'"),
        (["--preprocess_path", "nowhere"], "no such file"),
        (["--output", "found.txt"], ".json"),
        (["--variants", "quick"], "no network 'quick'"),
        (["--models", "lstm", "ctc_lstm", "--set", "dropout=0"], "name it with --models"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(tmp_path, options, message):
    command = [sys.executable, str(FOLDER / "run.py"), "--models", "lstm", "--presets", "tiny", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
