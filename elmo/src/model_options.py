"""options.json of a biLM, in the format that is published with ELMo weights, as a checked value."""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from src.data.token_indexer import CHARACTERS
from src.model_utils.files import atomic_write, read_json
from src.model_utils.runtime import UserError

PRESET_FOLDER = Path(__file__).resolve().parents[1] / "options"
ACTIVATIONS = ("relu", "tanh")

_CHAR_CNN = {
    "embedding": "",
    "filters": "",
    "n_highway": "n_highway",
    "activation": "activation",
    "max_characters_per_token": "max_characters_per_token",
    "n_characters": "",
}
_LSTM = {
    "dim": "lstm_dim",
    "projection_dim": "projection_dim",
    "n_layers": "n_layers",
    "cell_clip": "cell_clip",
    "proj_clip": "proj_clip",
    "use_skip_connections": "use_skip_connections",
}
_TRAINING = (
    "dropout",
    "all_clip_norm_val",
    "n_epochs",
    "n_train_tokens",
    "batch_size",
    "n_tokens_vocab",
    "unroll_steps",
    "n_negative_samples_batch",
)
_OF_NETWORK = (
    "char_dim",
    "filters",
    "n_highway",
    "activation",
    "projection_dim",
    "lstm_dim",
    "n_layers",
    "cell_clip",
    "proj_clip",
    "use_skip_connections",
    "dropout",
)
# What bilm-tf and programs that go with it write too; anything else would be another network.
_FIXED = {"bidirectional": True, "sample_softmax": True, "share_embedding_softmax": False, "reverse": False}
_FIXED_CHAR_CNN = {"projection_after_highway": True}
_IGNORED = ("learning_rate",)  # bilm-tf's; here training has its own configuration


@dataclass(frozen=True)
class ModelOptions:
    """What describes a biLM; the names are those of the published options.json, flattened.

    A field with a default may be absent from the file: it then means what bilm-tf means by its absence. The fields from
    `dropout` on belong to the training.
    """

    char_dim: int  # char_cnn.embedding.dim
    filters: tuple[tuple[int, int], ...]  # (width, number) of the convolutions, narrow ones first
    lstm_dim: int  # cells H of a layer and direction
    projection_dim: int  # P: outputs of a layer and direction
    n_highway: int = 0
    n_layers: int = 1
    activation: str = "relu"
    max_characters_per_token: int = 50
    cell_clip: float = 0.0  # 0 disables it
    proj_clip: float = 0.0  # 0 disables it
    use_skip_connections: bool = False  # from the second layer on
    dropout: float = 0.1
    all_clip_norm_val: float = 10.0
    n_epochs: int = 10
    n_train_tokens: int = 0  # kept for other programs; here the tokens are counted
    batch_size: int = 128
    n_tokens_vocab: int = 0  # 0: the size of the vocabulary file
    unroll_steps: int = 20
    n_negative_samples_batch: int = 8192

    @property
    def n_filters(self) -> int:
        """Number of outputs of the character CNN."""
        return sum(number for _, number in self.filters)

    @property
    def widest_filter(self) -> int:
        """Characters that the widest convolution sees at once."""
        return max(width for width, _ in self.filters)

    @property
    def network_arguments(self) -> dict:
        """The arguments of BiLanguageModel but for its seed."""
        values = {name: getattr(self, name) for name in _OF_NETWORK}
        return {"characters": CHARACTERS, **values}

    def state_shapes(self, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of the state h and c of both directions: (2, L, rows, P) and (2, L, rows, H)."""
        shape = 2, self.n_layers, rows
        return (*shape, self.projection_dim), (*shape, self.lstm_dim)


def preset_path(name: str) -> Path:
    """Return the options.json of that name in PRESET_FOLDER."""
    return PRESET_FOLDER / f"{name}.json"


def preset_names() -> list[str]:
    """Return the names of the files in PRESET_FOLDER."""
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.json"))


def load_options(path) -> ModelOptions:
    """Read and check an options.json; `path` may be one of `preset_names`.

    Raises UserError naming the file, the key, and for an unknown key the nearest one known.
    """
    path = preset_path(path) if str(path) in preset_names() else Path(path)
    content = read_json(path, f"give an options.json or one of {', '.join(preset_names())}")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object with lstm and char_cnn; is it an options.json?")
    return parse_options(content, str(path))


def parse_options(content: dict, source: str = "options") -> ModelOptions:
    """Turn the content of an options.json into ModelOptions; raises UserError as `load_options` does."""
    _known(content, {"char_cnn", "lstm", *_TRAINING, *_FIXED, *_IGNORED}, source)
    _check_fixed(content, _FIXED, source)
    char_cnn, lstm = (_section(content, key, source) for key in ("char_cnn", "lstm"))
    _known(char_cnn, {**_CHAR_CNN, **_FIXED_CHAR_CNN}, f"{source}: char_cnn")
    _check_fixed(char_cnn, _FIXED_CHAR_CNN, f"{source}: char_cnn")
    _known(lstm, _LSTM, f"{source}: lstm")
    embedding = _section(char_cnn, "embedding", f"{source}: char_cnn")
    _known(embedding, {"dim"}, f"{source}: char_cnn.embedding")
    values = {"char_dim": _needed(embedding, "dim", f"{source}: char_cnn.embedding")}
    values["filters"] = _filters(_needed(char_cnn, "filters", f"{source}: char_cnn"), source)
    if char_cnn.get("n_characters", CHARACTERS) not in (CHARACTERS, CHARACTERS + 1):
        raise UserError(f"{source}: char_cnn.n_characters must be 261, or 262 as in published models")
    for section, names in ((char_cnn, _CHAR_CNN), (lstm, _LSTM)):
        values.update({names[key]: value for key, value in section.items() if names.get(key)})
    for key in ("dim", "projection_dim"):
        _needed(lstm, key, f"{source}: lstm")
    values.update({key: content[key] for key in _TRAINING if key in content})
    for field in dataclasses.fields(ModelOptions):
        if field.name in values and field.name != "filters":
            values[field.name] = _typed(field, values[field.name], source)
    options = ModelOptions(**values)
    _check(options, source)
    return options


def options_content(options: ModelOptions) -> dict:
    """Return the published form of the options, the inverse of `parse_options`."""
    values = dataclasses.asdict(options)
    char_cnn = {key: values[name] for key, name in _CHAR_CNN.items() if name}
    char_cnn["embedding"] = {"dim": options.char_dim}
    char_cnn["filters"] = [list(pair) for pair in options.filters]
    char_cnn["n_characters"] = CHARACTERS + 1
    lstm = {key: values[name] for key, name in _LSTM.items()}
    return {"lstm": lstm, "char_cnn": char_cnn, "bidirectional": True, **{key: values[key] for key in _TRAINING}}


def save_options(path, options: ModelOptions) -> None:
    """Write an options.json in the published format, atomically."""
    with atomic_write(path) as file:
        json.dump(options_content(options), file, indent=1)
        file.write("\n")


def options_path_of(weights) -> Path:
    """Return where the options of a weight file are: `<name>_options.json` beside it, or else options.json.

    <name> is that of the weight file without its suffix and without _weights, as in published pairs of files.
    """
    weights = Path(weights)
    own = weights.with_name(f"{weights.stem.removesuffix('_weights')}_options.json")
    return own if own.is_file() else weights.with_name("options.json")


def free_options_path(weights, options: ModelOptions) -> Path:
    """Return where the options of a weight file that is about to be written may stand beside it.

    That is options.json, or `<name>_options.json` where options.json belongs to other weights. Raises UserError where
    this has other content too: the options of other weights are never replaced.
    """
    path = options_path_of(weights)
    if path.name == "options.json" and path.is_file() and load_options(path) != options:
        path = path.with_name(f"{Path(weights).stem.removesuffix('_weights')}_options.json")
    elif path.is_file() and load_options(path) != options:
        raise UserError(f"{path}: holds the options of other weights; choose another folder or name for the output")
    return path


def _check_fixed(section: dict, fixed: dict, source: str) -> None:
    for key, value in fixed.items():
        if section.get(key, value) is not value:
            raise UserError(f"{source}: {key} must be {json.dumps(value)}, nothing else is implemented")


def _known(section: dict, known, source: str) -> None:
    for key in section:
        if key not in known:
            match = difflib.get_close_matches(str(key), list(known), n=1)
            raise UserError(f"{source}: unknown key '{key}'" + (f"; did you mean '{match[0]}'?" if match else ""))


def _needed(section: dict, key: str, source: str):
    if key not in section:
        raise UserError(f"{source}: has no '{key}'")
    return section[key]


def _section(content: dict, key: str, source: str) -> dict:
    section = _needed(content, key, source)
    if not isinstance(section, dict):
        raise UserError(f"{source}: {key} must be an object of keys and values, not {json.dumps(section)}")
    return section


def _filters(filters, source: str) -> tuple[tuple[int, int], ...]:
    pairs = filters if isinstance(filters, list) else [None]
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n > 0 for n in pair)):
            raise UserError(f"{source}: char_cnn.filters must be a list of [width, number], such as [[1, 32], [2, 64]]")
    if not pairs:
        raise UserError(f"{source}: char_cnn.filters is empty")
    return tuple(tuple(pair) for pair in pairs)


def _typed(field: dataclasses.Field, value, source: str):
    expected = {"int": int, "float": float, "bool": bool, "str": str}[field.type]
    if expected is float and type(value) is int:
        value = float(value)
    if expected is float and value is None:  # no clipping, in TensorFlow
        value = 0.0
    if type(value) is not expected:
        raise UserError(f"{source}: {_written(field.name)} must be of type {field.type}, not {json.dumps(value)}")
    return value


def _written(name: str) -> str:
    """Return where the published format holds a field."""
    sections = {"char_cnn.": _CHAR_CNN, "lstm.": _LSTM}
    keys = [prefix + key for prefix, names in sections.items() for key, field in names.items() if field == name]
    return keys[0] if keys else {"char_dim": "char_cnn.embedding.dim"}.get(name, name)


def _check(options: ModelOptions, source: str) -> None:
    positive = "char_dim lstm_dim projection_dim n_layers n_epochs batch_size unroll_steps n_negative_samples_batch"
    rules = {name: (lambda value: value > 0, "positive") for name in positive.split()}
    zero_or_more = (lambda value: value >= 0, "0 or more")
    names = "n_highway cell_clip proj_clip all_clip_norm_val n_tokens_vocab n_train_tokens"
    rules.update(dict.fromkeys(names.split(), zero_or_more))
    rules["dropout"] = (lambda value: 0 <= value < 1, "at least 0 and below 1")
    rules["activation"] = (lambda value: value in ACTIVATIONS, " or ".join(ACTIVATIONS))
    least = max(options.widest_filter, 3)
    rules["max_characters_per_token"] = (lambda value: value >= least, f"at least {least}, the widest filter")
    for name, (accepts, allowed) in rules.items():
        if not accepts(getattr(options, name)):
            raise UserError(f"{source}: {_written(name)} is {getattr(options, name)!r} but must be {allowed}")
