"""Checkpoints: exact, whole, of a known format; where weights come from; the folder of a training."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from damaged_files import read_damaged
from mindspore import Parameter, Tensor
from toy_training import Line, assert_same, values

from src.model_utils import checkpoint
from src.model_utils.checkpoint import (
    check_output_folder,
    initial_weights,
    load_checkpoint,
    load_into,
    output_folder,
    save_checkpoint,
    save_fixed,
    training_checkpoints,
)
from src.model_utils.runtime import UserError


def names(folder, pattern="*.ckpt"):
    return sorted(path.name for path in Path(folder).glob(pattern))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "line-1_4.ckpt"
    parameters = [Parameter(Tensor(np.arange(60, dtype=np.float32).reshape(4, 15) + k), name=f"p{k}") for k in range(4)]
    save_checkpoint(path, parameters, {"epoch": 2, "best": 0.1 + 0.2})
    return path


def test_checkpoint_comes_back_exactly(good):
    parameters, state = load_checkpoint(good)
    assert state == {"epoch": 2, "best": 0.1 + 0.2} and sorted(parameters) == ["p0", "p1", "p2", "p3"]
    np.testing.assert_array_equal(parameters["p3"].asnumpy(), np.arange(60).reshape(4, 15) + 3)
    assert [path.name for path in good.parent.iterdir()] == [good.name]


def test_truncated_checkpoint_is_never_loaded(good, tmp_path):
    content, path = good.read_bytes(), tmp_path / "cut.ckpt"
    for end in sorted({0, 1, 2, len(content) - 1, *range(0, len(content), max(1, len(content) // 150))}):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"cut\.ckpt: (damaged|truncated)"):
            load_checkpoint(path)


def test_flipped_bits_are_never_loaded_silently(good, tmp_path):
    content, path, source = good.read_bytes(), tmp_path / "flipped.ckpt", random.Random(0)
    wanted = values(load_checkpoint(good)[0])
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[source.randrange(len(content))] ^= 1 << source.randrange(8)
        path.write_bytes(damaged)
        try:
            parameters, state = load_checkpoint(path)
        except UserError:
            refused += 1
            continue
        assert state == {"epoch": 2, "best": 0.1 + 0.2}
        assert_same(values(parameters), wanted)
    assert refused > 150


def test_other_files_are_no_checkpoints(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.ckpt")
    for name, message in (("weights.h5", r"must end in \.ckpt"), ("other.ckpt", "damaged|truncated")):
        (tmp_path / name).write_bytes(b"not a checkpoint at all")
        with pytest.raises(UserError, match=message):
            load_checkpoint(tmp_path / name)
    foreign = [{"name": "p", "data": Tensor(np.ones(3, np.float32))}]
    ms.save_checkpoint(foreign, str(tmp_path / "foreign.ckpt"), crc_check=True)
    with pytest.raises(UserError, match="not a checkpoint written by this project"):
        load_checkpoint(tmp_path / "foreign.ckpt")


def test_newest_good_checkpoint_skips_damaged_ones(good, tmp_path, capsys):
    ordered = ["line-1_4.ckpt", "line-2_4.ckpt", "line-10_2.ckpt", "line-10_10.ckpt"]
    for name in (*ordered, "line_best.ckpt", "line-x.ckpt"):
        shutil.copy(good, tmp_path / name)
    assert [path.name for path in training_checkpoints(tmp_path, "line")] == ordered
    (tmp_path / "line-10_10.ckpt").write_bytes(good.read_bytes()[:-200])
    (tmp_path / "line-10_2.ckpt").write_bytes(b"")
    assert initial_weights(tmp_path, "line", resume=True).path.name == "line-2_4.ckpt"
    assert capsys.readouterr().out.count("warning: skipped") == 2
    with pytest.raises(UserError, match=r"holds no other-\*.ckpt to resume from"):
        initial_weights(tmp_path, "other", resume=True)


def test_load_into_is_strict():
    parameters = {"weight": Parameter(Tensor(np.ones(3, np.float32)), name="weight")}
    with pytest.raises(UserError, match="no parameter 'bias'"):
        load_into(Line().get_parameters(), parameters, "x.ckpt")
    parameters["bias"] = Parameter(Tensor(np.ones(2, np.float32)), name="bias")
    with pytest.raises(UserError, match=r"'bias' has shape \(2,\), the configured network \(1,\)"):
        load_into(Line().get_parameters(), parameters, "x.ckpt")


@pytest.mark.parametrize("error", [OSError("full"), RuntimeError("full\nC++ call stack")])
def test_failed_saving_leaves_the_older_checkpoint(tmp_path, monkeypatch, error):
    path = tmp_path / "line-1_4.ckpt"
    save_checkpoint(path, [], {"epoch": 1})

    def fail(entries, name, **_):
        Path(name).with_suffix(".tmp").write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint.ms, "save_checkpoint", fail)
    with pytest.raises(UserError, match=r"cannot write the checkpoint \(full\)"):
        save_checkpoint(path, [], {"epoch": 2})
    assert load_checkpoint(path)[1] == {"epoch": 1} and [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_says_its_format_version(good, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", checkpoint.FORMAT_VERSION + 1)
    fixed = save_fixed(tmp_path, {"table.npy": Parameter(Tensor(np.ones(3, np.float32)), name="table")})
    save_checkpoint(tmp_path / "newer.ckpt", [], {"epoch": 2}, fixed)
    assert load_checkpoint(tmp_path / "newer.ckpt")[1] == {"epoch": 2}
    assert load_checkpoint(good)[1]["epoch"] == 2  # older ones are read
    monkeypatch.undo()
    message = r"newer\.ckpt: has checkpoint format 4, this program reads 1 to 3; get a newer version"
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / "newer.ckpt")


def test_a_checkpoint_without_a_format_version_is_read(tmp_path):
    """As they were written before the first release."""
    note = json.dumps({"parameters": 1, "epoch": 3}).encode()
    entries = [
        {"name": "weight", "data": Tensor(np.ones(3, np.float32))},
        {"name": "training_state", "data": Tensor(np.frombuffer(note, np.uint8).astype(np.int32))},
    ]
    ms.save_checkpoint(entries, str(tmp_path / "old.ckpt"), crc_check=True)
    parameters, state = load_checkpoint(tmp_path / "old.ckpt")
    assert state == {"epoch": 3}
    np.testing.assert_array_equal(parameters["weight"].asnumpy(), np.ones(3))


def test_damaged_content_of_any_kind_is_refused_or_does_not_matter(tmp_path):
    path = tmp_path / "x.ckpt"
    weights = [Parameter(Tensor(np.ones((8, k + 1), np.float32)), name=f"weight{k}") for k in range(4)]
    save_checkpoint(path, weights)

    def read():
        parameters, _ = load_checkpoint(path)
        for weight in weights:
            assert (parameters[weight.name].asnumpy() == 1).all()

    assert read_damaged(path, read) > 30


@pytest.mark.parametrize(
    "note",
    [
        *(b"\xff", b"[]", b"3", b"{}", b"[" * 100_000, b'{"parameters": "4"}'),
        b'{"parameters": 1, "format_version": "3"}',
        *(
            b'{"parameters": 1, "fixed": %s}' % fixed
            for fixed in (b"[1]", b'{"w": 1}', b'{"w": ["x.npy"]}', b'{"w": [3, 4]}')
        ),
        b'{"parameters": 1, "fixed": {"w": ["../../secret.npy", 1]}}',
        b'{"parameters": 1, "fixed": {"w": ["/secret.npy", 1]}}',
    ],
)
def test_a_checkpoint_with_a_good_checksum_and_a_wrong_note_is_refused(tmp_path, note):
    path = tmp_path / "x.ckpt"
    state = Tensor(np.frombuffer(note, np.uint8).astype(np.int32))
    parameters = (
        {"name": "weight", "data": Tensor(np.ones(3, np.float32))},
        {"name": checkpoint._STATE_KEY, "data": state},
    )
    ms.save_checkpoint(list(parameters), str(path), crc_check=True)
    with pytest.raises(UserError, match=r"x\.ckpt: (truncated|what it says of itself is damaged)"):
        load_checkpoint(path)


# where weights come from


def line_weights(value):
    return [
        Parameter(Tensor(np.full(3, value, np.float32)), name="weight"),
        Parameter(Tensor(np.full(1, value, np.float32)), name="bias"),
        Parameter(Tensor(np.full(3, value + 1, np.float32)), name="average.weight"),
    ]


def test_fresh_weights_come_from_nowhere(tmp_path):
    weights, network = initial_weights(tmp_path / "absent", "line"), Line()
    assert weights.folder is None and weights.state is None
    weights.load_pre_trained(network)
    np.testing.assert_array_equal(network.weight.asnumpy(), Line().weight.asnumpy())
    assert not list(tmp_path.iterdir())


def test_pre_trained_weights_are_the_average_of_their_training(tmp_path):
    path = tmp_path / "earlier" / "line-1_4.ckpt"
    save_checkpoint(path, line_weights(5), {"epoch": 2})
    weights, network = initial_weights(tmp_path / "outputs", "line", pre_trained=str(path)), Line()
    assert weights.folder == path.parent and weights.state is None
    weights.load_pre_trained(network)
    assert network.weight.asnumpy().tolist() == [6, 6, 6] and network.bias.asnumpy().tolist() == [5]
    assert not (tmp_path / "outputs").exists()
    with pytest.raises(UserError, match="no such checkpoint"):
        initial_weights(tmp_path, "line", pre_trained=tmp_path / "absent.ckpt")


def test_resumed_weights_are_those_of_the_newest_good_checkpoint(tmp_path):
    for epoch in (1, 2):
        save_checkpoint(tmp_path / f"line-{epoch}_4.ckpt", line_weights(epoch), {"epoch": epoch + 1})
    (tmp_path / "line-3_4.ckpt").write_bytes(b"half")
    weights, network = initial_weights(tmp_path, "line", pre_trained="absent.ckpt", resume=True), Line()
    assert weights.path == tmp_path / "line-2_4.ckpt" and weights.folder == tmp_path
    assert weights.state == {"epoch": 3}
    weights.load_pre_trained(network)  # a Trainer loads them, with all else that it needs
    np.testing.assert_array_equal(network.weight.asnumpy(), Line().weight.asnumpy())
    with pytest.raises(UserError, match="holds no other-.*start without --resume"):
        initial_weights(tmp_path, "other", resume=True)


# the folder of a training


def test_output_folder_is_for_one_training_at_a_time(tmp_path, good):
    folder = tmp_path / "new" / "outputs"
    with output_folder(folder, "line", False, False):
        with pytest.raises(UserError, match="another training writes here"), output_folder(folder, "line", True, False):
            pass
        (folder / ".unfinished-1-line-9_9.tmp").write_bytes(b"of a killed run")
    with output_folder(folder, "line", False, False):
        assert names(folder, ".unfinished*") == []
    with pytest.raises(OSError), output_folder(tmp_path / "new" / "outputs" / ".lock" / "x", "line", False, False):
        pass


def test_an_earlier_training_is_deleted_only_when_asked_to(tmp_path, good):
    for name in ("line-1_4.ckpt", "line_best.ckpt", "mine.ckpt"):
        shutil.copy(good, tmp_path / name)
    message = r"earlier training \(line-1_4\.ckpt\); --resume continues it, --overwrite"
    with pytest.raises(UserError, match=message):
        check_output_folder(tmp_path, "line", False, False)
    with pytest.raises(UserError, match=message), output_folder(tmp_path, "line", False, False):
        pass
    check_output_folder(tmp_path, "line", False, True)
    for overwrite in (False, True):
        with output_folder(tmp_path, "line", True, overwrite):
            assert len(names(tmp_path)) == 3
    with output_folder(tmp_path, "line", False, True):
        assert names(tmp_path) == ["mine.ckpt"]


def test_fixed_parameters_stand_once_beside_the_checkpoints(tmp_path):
    table = Parameter(Tensor(np.arange(2000, dtype=np.float32).reshape(-1, 4)), name="table")
    weight = Parameter(Tensor(np.ones(3, np.float32)), name="weight")
    fixed = save_fixed(tmp_path, {"table.npy": table})
    for name in ("a.ckpt", "b.ckpt"):
        save_checkpoint(tmp_path / name, [weight, table], {"epoch": 3}, fixed)
        assert (tmp_path / name).stat().st_size < 1000
    parameters, state = load_checkpoint(tmp_path / "b.ckpt")
    assert state == {"epoch": 3} and parameters.keys() == {"weight", "table"}
    np.testing.assert_array_equal(parameters["table"].asnumpy(), table.asnumpy())
    written = (tmp_path / "table.npy").stat().st_mtime_ns
    assert save_fixed(tmp_path, {"table.npy": table}) == fixed
    assert (tmp_path / "table.npy").stat().st_mtime_ns == written, "it is there already"

    other = Parameter(Tensor(table.asnumpy() + 1), name="table")
    assert save_fixed(tmp_path, {"table.npy": other}) != fixed
    with pytest.raises(UserError, match="table.npy: damaged, or of another training than the checkpoint beside it"):
        load_checkpoint(tmp_path / "b.ckpt")
    content = (tmp_path / "table.npy").read_bytes()
    huge = content.replace(b"(500, 4), }          ", b"(500000, 4000000), } ")
    assert huge != content
    for damaged in (b"", b"x", content[:-1], content[:40], huge, content.replace(b"{'descr", b"({'descr")):
        (tmp_path / "table.npy").write_bytes(damaged)
        with pytest.raises(UserError, match="table.npy: damaged, or of another training"):
            load_checkpoint(tmp_path / "b.ckpt")
    assert save_fixed(tmp_path, {"table.npy": table}) == fixed, "a damaged one is written anew"
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "b.ckpt")[0]["table"].asnumpy(), table.asnumpy())
    (tmp_path / "table.npy").write_bytes(b"")
    assert save_fixed(tmp_path, {"table.npy": table}) == fixed
    (tmp_path / "table.npy").unlink()
    with pytest.raises(UserError, match="table.npy: no such file; keep it together"):
        load_checkpoint(tmp_path / "b.ckpt")
