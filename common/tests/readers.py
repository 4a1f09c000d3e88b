"""The readers of users' files that all models have, for tools/fuzz.py: a small valid file of each and what reads it."""

import argparse
import json

import numpy as np

READERS = {}


def reader(prepare):
    """Register a function that fills a folder and returns (path of the file that is damaged, what reads it)."""
    READERS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


def parameters():
    from mindspore import Parameter, Tensor

    return [Parameter(Tensor(np.ones((8, k + 1), np.float32)), name=f"weight{k}") for k in range(4)]


@reader
def checkpoint(folder):
    from src.model_utils.checkpoint import load_checkpoint, load_into, save_checkpoint

    path, targets = folder / "x.ckpt", parameters()
    save_checkpoint(path, targets, {"epoch": 2, "step_in_epoch": 5, "best": 0.5, "best_at": "1"})
    return path, lambda: load_into(targets, load_checkpoint(path)[0], path)


@reader
def note_in_a_checkpoint(folder):
    import mindspore as ms

    from src.model_utils import checkpoint

    path, file, targets = folder / "note.json", folder / "x.ckpt", parameters()
    fixed = {"fixed": checkpoint.save_fixed(folder, {"fixed.npy": ms.Parameter(ms.Tensor([1.0, 1.0]), name="fixed")})}
    note = {"format_version": 3, "parameters": len(targets), **fixed, "epoch": 2, "best": None, "best_at": ""}
    path.write_text(json.dumps(note))

    def read():  # with a checksum that is right
        data = ms.Tensor(np.frombuffer(path.read_bytes(), np.uint8).astype(np.int32))
        entries = [{"name": each.name, "data": each} for each in targets]
        ms.save_checkpoint([*entries, {"name": checkpoint._STATE_KEY, "data": data}], str(file), crc_check=True)
        checkpoint.load_checkpoint(file)

    return path, read


@reader
def fixed_array(folder):
    from mindspore import Parameter, Tensor

    from src.model_utils.checkpoint import load_checkpoint, save_checkpoint, save_fixed

    fixed = save_fixed(folder, {"x.npy": Parameter(Tensor(np.ones((5, 3), np.float32)), name="fixed")})
    save_checkpoint(folder / "x.ckpt", parameters(), fixed=fixed)
    return folder / "x.npy", lambda: load_checkpoint(folder / "x.ckpt")


def rows():
    return {f"w{k}": np.arange(k, k + 5, dtype=np.float32) / 7 for k in range(12)}


@reader
def vectors_text(folder):
    from src.model_utils.vectors import read_vectors

    path = folder / "vectors.txt"
    path.write_text("12 5\n" + "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows().items()))
    return path, lambda: read_vectors(path)


@reader
def vectors_binary(folder):
    from src.model_utils.vectors import read_vectors

    path = folder / "vectors.bin"
    path.write_bytes(b"12 5\n" + b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in rows().items()))
    return path, lambda: read_vectors(path, 5, set(rows()))


@reader
def yaml_configuration(folder):
    import example_config

    from src.model_utils.configuration import resolve

    path = folder / "x.yaml"
    path.write_text("num_hiddens: 16\npooling: max\nbidirectional: false\nlearning_rate: 0.05\nname: b\n")
    args = argparse.Namespace(config_path=str(path), config_keys=(), typed={})
    return path, lambda: resolve(example_config.example_cfg, args, example_config)


@reader
def json_vocabulary(folder):
    from src.model_utils.files import read_vocabulary

    path = folder / "vocab.json"
    path.write_text(json.dumps(["<pad>", "<unk>", "a", "é"]))
    return path, lambda: read_vocabulary(path, ("<pad>", "<unk>"))


@reader
def lines_of_input(folder):
    from src.model_utils.text_input import TextInput

    path = folder / "input.txt"
    path.write_text("One line.\nUne autre, étrange.\n第三\n" * 4, encoding="utf-8")
    args = argparse.Namespace(texts=[], input_file=str(path))
    return path, lambda: list(TextInput(args, "text").chunks())


def prepared(folder):
    from src.model_utils.mindrecord import write_mindrecord

    schema = {
        "ids": {"type": "bytes"},
        "frames": {"type": "float32", "shape": [-1, 3]},
        "label": {"type": "int32"},
        "film": {"type": "string"},
    }
    records = (
        {"ids": bytes(range(k)) or b"x", "frames": np.ones((k % 4, 3), np.float32), "label": k, "film": f"tt{k}"}
        for k in range(20)
    )
    write_mindrecord(folder / "train.mindrecord", schema, "numbers", records, page_size=2**15)
    np.savez(folder / "train.npz", lengths=np.arange(20), names=np.array(["a", "b"]))

    def read():
        from src.model_utils.conversion import open_split_with_arrays

        file, _ = open_split_with_arrays(folder, "train", "", "lengths")
        file.column("label"), file.column("film")
        return [file[k] for k in range(len(file))]

    return read


@reader
def mindrecord(folder):
    read = prepared(folder)
    return folder / "train.mindrecord", read


@reader
def mindrecord_index(folder):
    read = prepared(folder)
    return folder / "train.mindrecord.db", read


@reader
def arrays_beside_mindrecord(folder):
    read = prepared(folder)
    return folder / "train.npz", read


@reader
def fingerprint(folder):
    from src.model_utils.conversion import check_prepared, identity

    path = folder / "fingerprint.json"
    path.write_text(json.dumps({"version": 2, "corpus": "ab changed cd", "min_count": 3}))
    return path, lambda: (check_prepared(folder, {"version": 2}, "data_path"), identity(folder))


@reader
def metrics(folder):
    from src.model_utils.reporting import read_metrics

    path, text = folder / "metrics.jsonl", '{"epoch": 1, "global_step": %d, "loss": 0.5, "valid_accuracy": 0.9}\n'
    path.write_text("".join(text % step for step in range(5)))
    return path, lambda: read_metrics(path)
