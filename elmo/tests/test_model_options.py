"""options.json: the published format in, the same out, and an answer to every mistake."""

import dataclasses
import json

import pytest

from src.model_options import (
    PRESET_FOLDER,
    free_options_path,
    load_options,
    options_content,
    options_path_of,
    parse_options,
    preset_names,
    save_options,
)
from src.model_utils.runtime import UserError


@pytest.mark.parametrize("name", preset_names())
def test_presets_survive_writing_and_reading(name, tmp_path):
    options = load_options(name)
    save_options(tmp_path / "options.json", options)
    assert load_options(tmp_path / "options.json") == options
    assert (
        json.loads((PRESET_FOLDER / f"{name}.json").read_text(encoding="utf-8")).keys()
        <= options_content(options).keys()
    )


def test_original_is_the_published_size():
    options = load_options("original")
    assert (options.lstm_dim, options.projection_dim, options.n_filters, options.n_highway) == (4096, 512, 2048, 2)
    assert (options.widest_filter, options.unroll_steps, options.n_negative_samples_batch) == (7, 20, 8192)


def changed(path: str, value):
    content = json.loads((PRESET_FOLDER / "tiny.json").read_text(encoding="utf-8"))
    *sections, key = path.split(".")
    place = content
    for section in sections:
        place = place[section]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("lstm.dims", 4, "o: unknown key 'lstm.dims'; did you mean 'lstm.dim'?"),
        ("batchsize", 4, "o: unknown key 'batchsize'; did you mean 'batch_size'?"),
        ("lstm.dim", None, "o: has no 'lstm.dim'"),
        ("char_cnn", None, "o: has no 'char_cnn.embedding.dim'"),
        ("char_cnn.embedding", 4, "o: char_cnn.embedding must be an object"),
        ("char_cnn.filters", [[1, 2, 3]], "o: char_cnn.filters must be a list of [width, number]"),
        ("char_cnn.filters", [], "o: char_cnn.filters must be a list of [width, number]"),
        ("char_cnn.n_characters", 300, "o: char_cnn.n_characters must be 261 or 262"),
        ("char_cnn.activation", "gelu", "o: char_cnn.activation is 'gelu' but must be relu or tanh"),
        ("char_cnn.max_characters_per_token", 2, "must be at least 3, the widest filter"),
        ("lstm.dim", "many", "o: lstm.dim must be of type int, not 'many'"),
        ("lstm.dim", 0, "o: lstm.dim is 0 but must be above 0"),
        ("dropout", 1.0, "o: dropout is 1.0 but must be at least 0 and below 1"),
        ("bidirectional", False, "o: bidirectional must be true"),
        ("reverse", True, "o: reverse must be false"),
        ("char_cnn.projection_after_highway", False, "o: char_cnn.projection_after_highway must be true"),
    ],
)
def test_mistakes_are_explained(path, value, message):
    with pytest.raises(UserError) as error:
        parse_options(changed(path, value), "o")
    assert message in str(error.value)


def test_files_without_options_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file; give an options.json or one of .*original, small, tiny"):
        load_options(tmp_path / "options.json")
    (tmp_path / "options.json").write_text('{\n"lstm": }', encoding="utf-8")
    with pytest.raises(UserError, match="options.json:2: not valid JSON"):
        load_options(tmp_path / "options.json")


def test_keys_that_bilm_tf_writes_are_known():
    content = changed("reverse", False)
    content["learning_rate"] = 0.1
    content["char_cnn"]["projection_after_highway"] = True
    assert parse_options(content) == load_options("tiny")


def test_an_absent_key_means_what_bilm_tf_means_by_its_absence():
    content = changed("n_epochs", None)
    for key in ("n_layers", "cell_clip", "proj_clip", "use_skip_connections"):
        del content["lstm"][key]
    del content["char_cnn"]["n_highway"]
    options = parse_options(content)
    assert (options.n_layers, options.cell_clip, options.proj_clip) == (1, 0, 0)
    assert (options.use_skip_connections, options.n_highway) == (False, 0)


def test_options_of_other_weights_are_never_replaced(tmp_path):
    one = load_options("tiny")
    other = dataclasses.replace(one, activation="tanh")
    assert free_options_path(tmp_path / "one.ckpt", one) == tmp_path / "options.json"
    save_options(tmp_path / "options.json", one)
    assert free_options_path(tmp_path / "one.ckpt", one) == tmp_path / "options.json"
    path = free_options_path(tmp_path / "other_weights.hdf5", other)
    assert path == tmp_path / "other_options.json"
    save_options(path, other)
    assert load_options(options_path_of(tmp_path / "other_weights.hdf5")) == other
    assert load_options(options_path_of(tmp_path / "one.ckpt")) == one
    with pytest.raises(UserError, match="other_options.json: holds the options of other weights"):
        free_options_path(tmp_path / "other.ckpt", one)


def test_no_clipping_may_be_written_as_null():
    content = changed("lstm.cell_clip", 3)
    content["lstm"]["cell_clip"] = None
    assert parse_options(content).cell_clip == 0
