"""options.json: the published format in, the same out, and an answer to every mistake."""

import json

import pytest

from src.model_options import load_options, options_content, parse_options, preset_names, preset_path, save_options
from src.model_utils.runtime import UserError


@pytest.mark.parametrize("name", preset_names())
def test_presets_survive_writing_and_reading(name, tmp_path):
    options = load_options(name)
    save_options(tmp_path / "options.json", options)
    assert load_options(tmp_path / "options.json") == options
    assert json.loads(preset_path(name).read_text(encoding="utf-8")).keys() <= options_content(options).keys()


def test_original_is_the_published_size():
    options = load_options("original")
    assert (options.lstm_dim, options.projection_dim, options.n_filters, options.n_highway) == (4096, 512, 2048, 2)
    assert (options.widest_filter, options.unroll_steps, options.n_negative_samples_batch) == (7, 20, 8192)


def changed(path: str, value):
    content = json.loads(preset_path("tiny").read_text(encoding="utf-8"))
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
        ("lstm.dims", 4, "o: lstm: unknown key 'dims'; did you mean 'dim'?"),
        ("batchsize", 4, "o: unknown key 'batchsize'; did you mean 'batch_size'?"),
        ("lstm.dim", None, "o: lstm: has no 'dim'"),
        ("char_cnn", None, "o: has no 'char_cnn'"),
        ("char_cnn.embedding", 4, "o: char_cnn: embedding must be an object"),
        ("char_cnn.filters", [[1, 2, 3]], "o: char_cnn.filters must be a list of [width, number]"),
        ("char_cnn.filters", [], "o: char_cnn.filters is empty"),
        ("char_cnn.n_characters", 300, "o: char_cnn.n_characters must be 261, or 262"),
        ("char_cnn.activation", "gelu", "o: char_cnn.activation is 'gelu' but must be relu or tanh"),
        ("char_cnn.max_characters_per_token", 2, "must be at least 3, the widest filter"),
        ("lstm.dim", "many", 'o: lstm.dim must be of type int, not "many"'),
        ("lstm.dim", 0, "o: lstm.dim is 0 but must be positive"),
        ("dropout", 1.0, "o: dropout is 1.0 but must be at least 0 and below 1"),
        ("bidirectional", False, "o: bidirectional must be true"),
    ],
)
def test_mistakes_are_explained(path, value, message):
    with pytest.raises(UserError) as error:
        parse_options(changed(path, value), "o")
    assert message in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="no such file; give an options.json or one of .*original, small, tiny"):
        load_options(tmp_path / "options.json")
    (tmp_path / "options.json").write_text('{\n"lstm": }', encoding="utf-8")
    with pytest.raises(UserError, match="options.json:2: not valid JSON"):
        load_options(tmp_path / "options.json")


def test_no_clipping_may_be_written_as_null():
    content = changed("lstm.cell_clip", 3)
    content["lstm"]["cell_clip"] = None
    assert parse_options(content).cell_clip == 0
