"""convert_weights.py, embed.py, neighbours.py, export.py: results, files, and mistakes of the user."""

import dataclasses
import io
import json
import os
import threading

import convert_dataset
import convert_weights
import embed
import h5py
import neighbours
import numpy as np
import pytest

import eval as evaluation
import export
from src import kneser_ney, sample_data
from src.data import division, vocabulary
from src.inference import Embedder, load_model
from src.model_options import save_options
from src.output_files import atomic_hdf5, copy_text


def contents(path) -> dict[str, np.ndarray]:
    datasets = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: datasets.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None
        )
    return datasets


def assert_same_file(one, other):
    one, other = contents(one), contents(other)
    assert list(one) == list(other)
    for name, values in one.items():
        assert values.dtype == other[name].dtype and values.shape == other[name].shape
        assert values.tobytes() == other[name].tobytes()


def test_weights_survive_both_conversions(published, tmp_path, exit_of):
    there, back = tmp_path / "a" / "model.ckpt", tmp_path / "b" / "model.hdf5"
    code, out, err = exit_of(convert_weights.main, "--input", published.weights, "--output", there)
    assert code == 0, err
    assert "arrays" in out and (there.parent / "options.json").is_file()
    code, _, err = exit_of(convert_weights.main, "--input", there, "--output", back)
    assert code == 0, err
    assert_same_file(published.weights, back)


def test_published_weights_survive_both_conversions(elmo_fixture, tmp_path):
    there, back = tmp_path / "model.ckpt", tmp_path / "model.hdf5"
    convert_weights.main(["--input", str(elmo_fixture.weights), "--output", str(there)])
    convert_weights.main(["--input", str(there), "--output", str(back)])
    assert_same_file(elmo_fixture.weights, back)


@pytest.fixture(scope="module")
def expected(published):
    """The stateless layers of the sentences."""
    network, options = load_model(published.weights)
    return dict(Embedder(network, options, 3)(published.sentences))


def run_embed(published, output, exit_of, *options, ckpt=None):
    arguments = "--ckpt_path", ckpt or published.ckpt, "--input_file", published.text, "--output_file", output
    code, out, err = exit_of(embed.main, *arguments, "--device_target", "CPU", *options)
    assert code == 0, err
    assert out.splitlines()[-1].startswith(f"{output}: 5 sentences, 40 tokens, ")
    return contents(output)


def test_embed_writes_all_layers_and_an_index(published, expected, tmp_path, exit_of):
    embeddings = run_embed(published, tmp_path / "new" / "out.hdf5", exit_of, "--batch_size", "3")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.hdf5"]
    index = json.loads(embeddings.pop("sentence_to_index")[0])
    assert index == {line: str(number) for number, line in enumerate(published.lines)}
    assert sorted(embeddings) == [str(number) for number in range(5)]
    for number, layers in expected.items():
        assert embeddings[str(number)].dtype == np.float32
        np.testing.assert_allclose(embeddings[str(number)], layers, atol=1e-6)


def test_embed_writes_the_same_to_a_numpy_archive(published, expected, tmp_path, exit_of):
    output = tmp_path / "out.npz"
    arguments = "--ckpt_path", published.ckpt, "--input_file", published.text, "--output_file", output
    code, _, err = exit_of(embed.main, *arguments, "--batch_size", "3")
    assert code == 0, err
    with np.load(output) as archive:  # which unpickles nothing
        embeddings = dict(archive)
    index = json.loads(embeddings.pop("sentence_to_index"))
    assert index == {line: str(number) for number, line in enumerate(published.lines)}
    assert list(map(str, sorted(expected))) == sorted(embeddings)
    for number, layers in expected.items():
        assert embeddings[str(number)].dtype == np.float32
        np.testing.assert_allclose(embeddings[str(number)], layers, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_the_index_of_embed_names_the_last_of_equal_sentences(published, tmp_path, exit_of):
    text, output = tmp_path / "text.txt", tmp_path / "out.hdf5"
    text.write_text('The end .\n"caf\u00e9" sat .\nThe end .\n', encoding="utf-8")
    arguments = "--ckpt_path", published.ckpt, "--input_file", text, "--output_file", output
    assert exit_of(embed.main, *arguments)[0] == 0
    index = json.loads(contents(output)["sentence_to_index"][0])
    assert index == {"The end .": "2", '"caf\u00e9" sat .': "1"}
    assert [path.name for path in tmp_path.iterdir() if path != text] == ["out.hdf5"]


def test_a_text_is_copied_into_hdf5_without_being_read_as_a_whole(tmp_path):
    class Text(io.BytesIO):
        def read(self, size=-1):
            assert 0 < size <= 2**20
            return super().read(size)

    content = ("\u00e9" * 2**20).encode()
    with atomic_hdf5(tmp_path / "out.hdf5") as file:
        copy_text(Text(content), file, "text")
        file["behind"] = np.arange(3)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert bytes(file["text"][0]) == content and file["behind"][:].tolist() == [0, 1, 2]


def test_embed_writes_the_average_of_the_layers(published, expected, tmp_path, exit_of):
    options = "--batch_size", "3", "--forget_sentences", "--layers", "average"
    average = run_embed(published, tmp_path / "mean.hdf5", exit_of, *options)
    assert sorted(average) == [str(number) for number in range(5)]
    for number, layers in expected.items():
        np.testing.assert_allclose(average[str(number)], layers.mean(0), atol=1e-6)


def test_embed_carries_the_state_on_if_asked(published, expected, tmp_path, exit_of, monkeypatch):
    monkeypatch.setattr("src.data.sentences.CHUNK", 2)  # a chunk of lines must not end the state
    options = "--stateful", "--batch_size", "1", "--layers", "top", "--forget_sentences"
    embeddings = run_embed(published, tmp_path / "out.hdf5", exit_of, *options, ckpt=published.weights)
    network, model_options = load_model(published.weights)
    for number, layers in Embedder(network, model_options, 1, stateful=True)(published.sentences):
        np.testing.assert_allclose(embeddings[str(number)], layers[-1], atol=1e-6)
    np.testing.assert_allclose(embeddings["0"], expected[0][-1], atol=1e-6)
    assert np.abs(embeddings["1"] - expected[1][-1]).max() > 1e-3


def test_vectors_of_a_sentence_are_the_same_whatever_stands_around_it(published, tmp_path, exit_of):
    lines = published.lines
    vectors = []
    for number, text in enumerate((lines, lines[3:4], [*reversed(lines), *lines])):
        path = tmp_path / f"{number}.txt"
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        output = tmp_path / f"{number}.hdf5"
        arguments = "--ckpt_path", published.ckpt, "--input_file", path, "--output_file", output, "--batch_size", "3"
        code, _, err = exit_of(embed.main, *arguments)
        assert code == 0, err
        vectors.append(contents(output)[str(text.index(lines[3]))])
    for other in vectors[1:]:
        np.testing.assert_array_equal(other, vectors[0])


def test_embed_takes_a_line_feed_alone_for_the_end_of_a_line(published, tmp_path, exit_of):
    text = tmp_path / "text.txt"
    text.write_bytes("\ufeffThe film was\rgood .\r\nA dog\u2028sat .\nThe end .".encode())
    output = tmp_path / "out.hdf5"
    arguments = "--ckpt_path", published.ckpt, "--input_file", text, "--output_file", output
    code, out, err = exit_of(embed.main, *arguments)
    assert code == 0, err
    embeddings = contents(output)
    index = json.loads(embeddings.pop("sentence_to_index")[0])
    assert list(index) == ["The film was\rgood .", "A dog\u2028sat .", "The end ."]
    assert {name: layers.shape[1] for name, layers in embeddings.items()} == {"0": 5, "1": 4, "2": 3}


def test_embed_reads_a_pipe(published, expected, tmp_path, exit_of):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(published.text.read_bytes(),))
    writer.start()
    arguments = "--ckpt_path", published.ckpt, "--input_file", pipe, "--output_file", tmp_path / "out.hdf5"
    code, _, err = exit_of(embed.main, *arguments, "--stateless", "--forget_sentences")
    writer.join()
    assert code == 0, err
    embeddings = contents(tmp_path / "out.hdf5")
    for number, layers in expected.items():
        np.testing.assert_allclose(embeddings[str(number)], layers, atol=1e-6)


def test_embed_replaces_none_of_its_inputs(published, tmp_path, exit_of):
    text, link = tmp_path / "text.txt", tmp_path / "link.txt"
    text.write_text("one\n", encoding="utf-8")
    link.symlink_to(text)
    arguments = "--ckpt_path", published.ckpt, "--input_file", text
    for output, message in (
        (text, "would replace what is read (--input_file)"),
        (link, "would replace what is read (--input_file)"),
        (published.ckpt, "would replace what is read (--ckpt_path)"),
        (tmp_path, "a folder; name a file in it"),
    ):
        code, _, err = exit_of(embed.main, *arguments, "--output_file", output)
        assert code == 2 and message in err
    assert text.read_text(encoding="utf-8") == "one\n"


def test_conversion_keeps_the_options_of_other_weights(published, tmp_path, exit_of):
    """Two sets of weights of the same shapes in one folder: each is embedded with by its own options."""
    own = json.loads((published.folder / "options.json").read_text(encoding="utf-8"))
    own["char_cnn"]["activation"] = "tanh"
    (tmp_path / "source.json").write_text(json.dumps(own), encoding="utf-8")
    for name, options in (("tiny", published.folder / "options.json"), ("other", tmp_path / "source.json")):
        output = tmp_path / f"{name}.ckpt"
        arguments = "--input", published.weights, "--options_path", options, "--output", output
        code, out, err = exit_of(convert_weights.main, *arguments)
        assert code == 0, err
    assert f"options in {tmp_path / 'other_options.json'}" in out
    assert load_model(tmp_path / "tiny.ckpt")[1] == published.options
    assert load_model(tmp_path / "other.ckpt")[1].activation == "tanh"
    third = dataclasses.replace(published.options, use_skip_connections=not published.options.use_skip_connections)
    save_options(tmp_path / "source.json", third)
    code, _, err = exit_of(
        convert_weights.main,
        *("--input", published.weights, "--options_path", tmp_path / "source.json"),
        *("--output", tmp_path / "other.ckpt"),
    )
    assert code == 2 and "other_options.json: holds the options of other weights" in err


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", "", "text.txt: empty"),
        ("one\n\ntwo\n", "", "text.txt:2: a line without words; remove it"),
        (b"\xff\xfe\n", "", "text.txt:1: not"),
        ("one\n", "--batch_size 0", "argument --batch_size: must be 1 or more, not 0"),
        ("one\n", "--output_file {folder}/out.npy", "out.npy: one array has no room for many sentences"),
        ("one\n", "--layer top", "did you mean '--layers'?"),
        ("one\n", "--options_path {folder}/lost.json", "lost.json: no such file"),
        ("one\n", "--options_path small", "'char_embed' has shape (261, 4), the options say (261, 16)"),
        ("one\n", "--ckpt_path {folder}/lost.ckpt", "lost.ckpt: no such file"),
        ("one\n", "--ckpt_path {folder}/options.json", "not a checkpoint"),
    ],
)
def test_a_mistake_gets_one_line_and_no_output(published, tmp_path, exit_of, text, options, message):
    path = tmp_path / "text.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    arguments = ["--ckpt_path", published.weights, "--input_file", path, "--output_file", tmp_path / "out.hdf5"]
    code, _, err = exit_of(embed.main, *arguments, *options.format(folder=published.folder).split())
    assert code == 2
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["text.txt"]


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        (evaluation, "--ckpt_path a.ckpt --config_path a.yaml", "unrecognized arguments: --config_path"),
        (
            convert_weights,
            "--input a.ckpt --output a.hdf5 --device_target CPU",
            "unrecognized arguments: --device_target",
        ),
        (
            convert_dataset,
            "--vocab_path a --options_path b --input_file c --output_file d --x e",
            "unrecognized arguments: --x",
        ),
        (division, "text.txt out --seeds 3", "did you mean '--seed'?"),
        (vocabulary, "text.txt", "the following arguments are required: FILE"),
        (kneser_ney, "folder --order five", "argument --order: invalid int value: 'five'"),
        (sample_data, "folder --document 3", "did you mean '--documents'?"),
    ],
)
def test_a_wrong_option_gets_one_line_and_exit_code_2(exit_of, program, arguments, message):
    code, _, err = exit_of(program.main, *arguments.split())
    assert code == 2
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_files_that_hold_no_weights_are_refused(published, tmp_path, exit_of):
    (tmp_path / "bad.hdf5").write_bytes(b"no weights")
    options = "--options_path", published.folder / "options.json", "--output", tmp_path / "out.ckpt"
    code, _, err = exit_of(convert_weights.main, "--input", tmp_path / "bad.hdf5", *options)
    assert code == 2 and "bad.hdf5: not a readable HDF5 file" in err
    code, _, err = exit_of(convert_weights.main, "--input", published.weights, "--output", tmp_path / "x.hdf5")
    assert code == 2 and "one must end in .hdf5, the other in .ckpt" in err
    with h5py.File(tmp_path / "more.hdf5", "w") as file:
        for name, values in contents(published.weights).items():
            file[name] = values
        file["softmax/W"] = np.zeros(3)
    code, _, err = exit_of(convert_weights.main, "--input", tmp_path / "more.hdf5", *options)
    assert code == 2 and "'softmax/W' does not belong to a biLM with these options" in err


def test_neighbours_are_ranked_by_cosine(published, expected, tmp_path, exit_of):
    common = "--ckpt_path", published.ckpt, "--input_file", published.text, "--device_target", "CPU"
    divided = tmp_path / "heldout.txt"  # with empty lines between documents, as convert_dataset.sh writes it
    divided.write_text("\n\n".join(published.lines), encoding="utf-8")
    arguments = *common[:2], "--input_file", divided, "--device_target", "CPU"
    code, out, err = exit_of(neighbours.main, "I saw the *film* twice .", *arguments, "--same_word", "--json")
    assert code == 0, err
    (answer,) = (json.loads(line) for line in out.splitlines())  # the query's own sentence is left out
    assert (answer["word"], answer["place"], answer["sentence"]) == ("film", 1, published.lines[0])
    one, other = expected[3][-1, 3], expected[0][-1, 1]
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert answer["cosine"] == pytest.approx(cosine, abs=1e-4)

    code, out, _ = exit_of(neighbours.main, "A *film* .", *common, "--count", "2", "--layer", "0")
    assert [line.split()[0] for line in out.splitlines()] == ["1.000", "1.000"]  # layer 0 knows the word alone
    assert all("*film*" in line for line in out.splitlines())

    code, _, err = exit_of(neighbours.main, "A film .", *common)
    assert code == 2 and "put asterisks around one word" in err
    code, _, err = exit_of(neighbours.main, "A *horse* .", *common, "--same_word")
    assert code == 2 and "holds no other 'horse'" in err
    code, _, err = exit_of(neighbours.main, "A *film* .", *common, "--layer", "3")
    assert code == 2 and "the model has layers 0 to 2" in err


def test_neighbours_of_the_sentences_of_a_pipe_are_those_of_each_alone(published, exit_of, monkeypatch, tmp_path):
    common = "--ckpt_path", published.ckpt, "--input_file", published.text, "--device_target", "CPU", "--same_word"
    lines = ["A *film* .", "no mark", "I saw the *film* twice .", "A *horse* ."]
    (tmp_path / "queries").write_text("\n".join(lines), encoding="utf-8")
    with open(tmp_path / "queries") as queries:
        monkeypatch.setattr("sys.stdin", queries)
        code, out, err = exit_of(neighbours.main, *common, "--json")
    assert code == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["query"] for answer in answers] == [lines[0], lines[2]]
    assert "left out 'no mark': put asterisks around one word" in err
    assert f"left out {published.text}: holds no other 'horse'" in err
    for answer in answers:
        _, alone, _ = exit_of(neighbours.main, answer["query"], *common, "--json")
        assert answer["contexts"] == [json.loads(line) for line in alone.splitlines()]


def test_export_agrees_with_the_checkpoint_or_leaves_the_older_file(
    published, expected, tmp_path, exit_of, monkeypatch, run_exported
):
    arguments = "--ckpt_path", published.ckpt, "--output_dir", tmp_path / "new", "--device_target", "CPU"
    code, out, err = exit_of(export.main, *arguments)
    assert code == 0, err
    for name, line in zip(("elmo.mindir", "elmo.onnx"), out.splitlines()[-2:]):
        assert line.startswith(f"{tmp_path}/new/{name}: ok, differs by ")
    scripts = {"processing.py", "token_indexer.py", "run_mindir.py", "run_onnx.py"}
    names = {"elmo.mindir", "elmo.onnx", "options.json", *scripts}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    for script in ("run_mindir.py", "run_onnx.py"):
        run_exported(tmp_path / "new", script, published.text, tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz") as vectors:
            assert sorted(vectors) == [str(number) for number in sorted(expected)]
            for number, layers in expected.items():
                np.testing.assert_allclose(vectors[str(number)], layers, atol=1e-5)

    monkeypatch.setattr(export, "Embedder", lambda *_, **__: enumerate)
    monkeypatch.setattr(export, "write_mindir", lambda cell, inputs, path: path.write_text("new", encoding="utf-8"))
    monkeypatch.setattr(export, "largest_difference", lambda *_: 2e-5)
    (tmp_path / "new" / "elmo.mindir").write_text("older", encoding="utf-8")
    code, _, _ = exit_of(export.main, *arguments)
    assert code.startswith("error: MINDIR differs from") and code.endswith("nothing was exported")
    assert (tmp_path / "new" / "elmo.mindir").read_text(encoding="utf-8") == "older"
