"""options.json of a biLM, in the format that is published with ELMo weights, as a checked value."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.data.token_indexer import CHARACTERS
from src.model_utils.configuration import Range
from src.model_utils.files import read_json, write_json
from src.model_utils.runtime import UserError

PRESET_FOLDER = Path(__file__).resolve().parents[1] / "options"

# Where the published format holds what describes the network; what belongs to the training is outside of all sections.
_SECTIONS = {
    "char_dim": "char_cnn.embedding.dim",
    "filters": "char_cnn.filters",
    "n_highway": "char_cnn.n_highway",
    "activation": "char_cnn.activation",
    "max_characters_per_token": "char_cnn.max_characters_per_token",
    "lstm_dim": "lstm.dim",
    "projection_dim": "lstm.projection_dim",
    "n_layers": "lstm.n_layers",
    "cell_clip": "lstm.cell_clip",
    "proj_clip": "lstm.proj_clip",
    "use_skip_connections": "lstm.use_skip_connections",
}
_FIXED = {  # what bilm-tf and programs that go with it write too; anything else would be another network
    "bidirectional": (True,),
    "sample_softmax": (True,),
    "share_embedding_softmax": (False,),
    "reverse": (False,),
    "char_cnn.projection_after_highway": (True,),
    "char_cnn.n_characters": (CHARACTERS, CHARACTERS + 1),  # 262 in published models
}
_IGNORED = ("learning_rate",)  # bilm-tf's; here training has its own configuration
_POSITIVE = "char_dim lstm_dim projection_dim n_layers n_epochs batch_size unroll_steps n_negative_samples_batch"
_ZERO_OR_MORE = "n_highway cell_clip proj_clip all_clip_norm_val n_tokens_vocab n_train_tokens"
_RANGES = {
    **dict.fromkeys(_POSITIVE.split(), Range("> 0")),
    **dict.fromkeys(_ZERO_OR_MORE.split(), Range(">= 0")),
    "dropout": Range("0 <= x < 1"),
    "activation": Range("relu | tanh"),
}


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
        names = [name for name in _SECTIONS if name != "max_characters_per_token"]
        return {"characters": CHARACTERS, **{name: getattr(self, name) for name in (*names, "dropout")}}

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


def load_options(path: str | Path) -> ModelOptions:
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
    written = dict(_flattened(content, source))
    places = {field.name: _SECTIONS.get(field.name, field.name) for field in dataclasses.fields(ModelOptions)}
    known = [*places.values(), *_FIXED, *_IGNORED]
    for place, value in written.items():
        if place not in known:
            match = difflib.get_close_matches(place, known, n=1)
            raise UserError(f"{source}: unknown key '{place}'" + (f"; did you mean '{match[0]}'?" if match else ""))
        if place in _FIXED and value not in _FIXED[place]:
            allowed = " or ".join(map(json.dumps, _FIXED[place]))
            raise UserError(f"{source}: {place} must be {allowed}, nothing else is implemented")
    values = {}
    for field in dataclasses.fields(ModelOptions):
        place = places[field.name]
        if place in written:
            values[field.name] = _checked(field, written[place], f"{source}: {place}")
        elif field.default is dataclasses.MISSING:
            raise UserError(f"{source}: has no '{place}'")
    options = ModelOptions(**values)
    least = max(options.widest_filter, 3)
    if options.max_characters_per_token < least:
        raise UserError(
            f"{source}: {places['max_characters_per_token']} is {options.max_characters_per_token} but must be at least"
            f" {least}, the widest filter"
        )
    return options


def options_content(options: ModelOptions) -> dict:
    """Return the published form of the options, the inverse of `parse_options`."""
    content: dict = {"lstm": {}, "char_cnn": {"embedding": {}, "n_characters": CHARACTERS + 1}, "bidirectional": True}
    for name, value in dataclasses.asdict(options).items():
        *sections, key = _SECTIONS.get(name, name).split(".")
        place = content
        for section in sections:
            place = place[section]
        place[key] = value
    return content


def save_options(path: str | Path, options: ModelOptions) -> None:
    """Write an options.json in the published format, atomically."""
    write_json(path, options_content(options), indent=1)


def options_path_of(weights: str | Path) -> Path:
    """Return where the options of a weight file are: `<name>_options.json` beside it, or else options.json.

    <name> is that of the weight file without its suffix and without _weights, as in published pairs of files.
    """
    weights = Path(weights)
    own = weights.with_name(f"{weights.stem.removesuffix('_weights')}_options.json")
    return own if own.is_file() else weights.with_name("options.json")


def free_options_path(weights: str | Path, options: ModelOptions) -> Path:
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


def _flattened(content: dict, source: str, section: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of an options.json by their places, such as lstm.dim."""
    for key, value in content.items():
        place = f"{section}{key}"
        if place not in ("lstm", "char_cnn", "char_cnn.embedding"):
            yield place, value
        elif isinstance(value, dict):
            yield from _flattened(value, source, f"{place}.")
        else:
            raise UserError(f"{source}: {place} must be an object of keys and values, not {json.dumps(value)}")


def _checked(field: dataclasses.Field, value, place: str):
    """Return the value of a field in its own type; UserError where its type or range is wrong."""
    if field.name == "filters":
        for pair in value if isinstance(value, list) and value else [None]:
            if not (isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n > 0 for n in pair)):
                raise UserError(f"{place} must be a list of [width, number], such as [[1, 32], [2, 64]]")
        return tuple(map(tuple, value))
    expected = {"int": int, "float": float, "bool": bool, "str": str}[field.type]
    if expected is float and (type(value) is int or value is None):  # null, no clipping, in TensorFlow
        value = float(value or 0)
    if type(value) is not expected:
        raise UserError(f"{place} must be of type {field.type}, not {json.dumps(value)}")
    if field.name in _RANGES and value not in _RANGES[field.name]:
        raise UserError(f"{place} is {value!r} but must be {_RANGES[field.name]}")
    return value
