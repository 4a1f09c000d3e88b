"""options.json of a biLM, in the format that is published with ELMo weights, as a checked value."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from src.data.token_indexer import CHARACTERS
from src.model_utils.configuration import Range, merge
from src.model_utils.files import read_json, write_json
from src.model_utils.runtime import UserError

PRESET_FOLDER = Path(__file__).resolve().parents[1] / "options"

_FIXED = {  # what bilm-tf and programs that go with it write too; anything else would be another network
    "bidirectional": (True,),
    "sample_softmax": (True,),
    "share_embedding_softmax": (False,),
    "reverse": (False,),
    "char_cnn.projection_after_highway": (True,),
    "char_cnn.n_characters": (CHARACTERS, CHARACTERS + 1),  # 262 in published models
}
_IGNORED = "learning_rate"  # bilm-tf's; here training has its own configuration


def _option(place: str, allowed: str, default=MISSING) -> Any:
    """Return a field that stands at `place` in the file, `section.key`, and has this range."""
    return dataclasses.field(default=default, metadata={"place": place, "range": Range(allowed)})


@dataclass(frozen=True)
class ModelOptions:
    """What describes a biLM; the names are those of the published options.json, flattened.

    A field with a default may be absent from the file: it then means what bilm-tf means by its absence. The fields from
    `dropout` on belong to the training; in the file they are outside of all sections.
    """

    char_dim: int = _option("char_cnn.embedding.dim", "> 0")
    filters: tuple[tuple[int, int], ...] = _option("char_cnn.filters", "any")  # (width, number), narrow ones first
    lstm_dim: int = _option("lstm.dim", "> 0")  # cells H of a layer and direction
    projection_dim: int = _option("lstm.projection_dim", "> 0")  # P: outputs of a layer and direction
    n_highway: int = _option("char_cnn.n_highway", ">= 0", 0)
    n_layers: int = _option("lstm.n_layers", "> 0", 1)
    activation: str = _option("char_cnn.activation", "relu | tanh", "relu")
    max_characters_per_token: int = _option("char_cnn.max_characters_per_token", "any", 50)
    cell_clip: float = _option("lstm.cell_clip", ">= 0", 0.0)  # 0 disables it
    proj_clip: float = _option("lstm.proj_clip", ">= 0", 0.0)  # 0 disables it
    use_skip_connections: bool = _option("lstm.use_skip_connections", "any", False)  # from the second layer on
    dropout: float = _option("dropout", "0 <= x < 1", 0.1)
    all_clip_norm_val: float = _option("all_clip_norm_val", ">= 0", 10.0)
    n_epochs: int = _option("n_epochs", "> 0", 10)
    n_train_tokens: int = _option("n_train_tokens", ">= 0", 0)  # for other programs; here the tokens are counted
    batch_size: int = _option("batch_size", "> 0", 128)
    n_tokens_vocab: int = _option("n_tokens_vocab", ">= 0", 0)  # 0: the size of the vocabulary file
    unroll_steps: int = _option("unroll_steps", "> 0", 20)
    n_negative_samples_batch: int = _option("n_negative_samples_batch", "> 0", 8192)

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
        names = [field.name for field in _PLACES.values() if "." in field.metadata["place"]]
        names.remove("max_characters_per_token")
        return {"characters": CHARACTERS, **{name: getattr(self, name) for name in (*names, "dropout")}}

    def state_shapes(self, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of the state h and c of both directions: (2, L, rows, P) and (2, L, rows, H)."""
        shape = 2, self.n_layers, rows
        return (*shape, self.projection_dim), (*shape, self.lstm_dim)


_PLACES = {field.metadata["place"]: field for field in dataclasses.fields(ModelOptions)}


def preset_names() -> list[str]:
    """Return the names of the files in PRESET_FOLDER."""
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.json"))


def load_options(path: str | Path, words: int = 0) -> ModelOptions:
    """Read and check an options.json; `path` may be one of `preset_names`.

    `words` is the size of the vocabulary that they are for, where there is one. Raises UserError naming the file, the
    key, and for an unknown key the nearest one known.
    """
    path = PRESET_FOLDER / f"{path}.json" if str(path) in preset_names() else Path(path)
    content = read_json(path, f"give an options.json or one of {', '.join(preset_names())}")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object with lstm and char_cnn; is it an options.json?")
    options = parse_options(content, str(path))
    if words and options.n_tokens_vocab not in (0, words):
        raise UserError(
            f"{path}: n_tokens_vocab is {options.n_tokens_vocab}, but the vocabulary of the text has {words} words;"
            " mend it, or leave the key out"
        )
    return options


def parse_options(content: dict, source: str = "options") -> ModelOptions:
    """Turn the content of an options.json into ModelOptions; raises UserError as `load_options` does."""
    written = dict(content)
    for section in ("lstm", "char_cnn", "char_cnn.embedding"):
        inner = written.pop(section, {})
        if not isinstance(inner, dict):
            raise UserError(f"{source}: {section} must be an object of keys and values, not {json.dumps(inner)}")
        written.update({f"{section}.{key}": value for key, value in inner.items()})
    for place, allowed in _FIXED.items():
        if written.pop(place, allowed[0]) not in allowed:
            choice = " or ".join(map(json.dumps, allowed))
            raise UserError(f"{source}: {place} must be {choice}, nothing else is implemented")
    written.pop(_IGNORED, None)
    for place in ("lstm.cell_clip", "lstm.proj_clip"):
        if written.get(place, 0) is None:  # null is no clipping, in TensorFlow
            del written[place]
    filters = written.pop("char_cnn.filters", None)
    values = {place: 0 if field.default is MISSING else field.default for place, field in _PLACES.items()}
    ranges = {place: field.metadata["range"] for place, field in _PLACES.items()}
    merge(values, written, source, ranges)
    for place, value in values.items():
        if value not in ranges[place]:  # the 0 of a key without a default
            raise UserError(f"{source}: has no '{place}'")
    for pair in filters if isinstance(filters, list) and filters else [None]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n > 0 for n in pair)):
            raise UserError(f"{source}: char_cnn.filters must be a list of [width, number], such as [[1, 32], [2, 64]]")
    values["char_cnn.filters"] = tuple(map(tuple, filters))
    options = ModelOptions(**{_PLACES[place].name: value for place, value in values.items()})
    least = max(options.widest_filter, 3)
    if options.max_characters_per_token < least:
        raise UserError(
            f"{source}: char_cnn.max_characters_per_token is {options.max_characters_per_token} but must be at least"
            f" {least}, the widest filter"
        )
    return options


def options_content(options: ModelOptions) -> dict:
    """Return the published form of the options, the inverse of `parse_options`."""
    content: dict = {"lstm": {}, "char_cnn": {"embedding": {}, "n_characters": CHARACTERS + 1}, "bidirectional": True}
    for place, field in _PLACES.items():
        *sections, key = place.split(".")
        functools.reduce(dict.__getitem__, sections, content)[key] = getattr(options, field.name)
    return content


def save_options(path: str | Path, options: ModelOptions) -> None:
    """Write an options.json in the published format, atomically."""
    write_json(path, options_content(options), indent=1)


def options_path_of(weights: str | Path) -> Path:
    """Return where the options of a weight file are: `<name>_options.json` beside it, or else options.json.

    <name> is that of the weight file without its suffix and without _weights, as in published pairs of files.
    """
    own = _own_options_path(weights)
    return own if own.is_file() else own.with_name("options.json")


def free_options_path(weights: str | Path, options: ModelOptions) -> Path:
    """Return where the options of a weight file that is about to be written may stand beside it.

    That is options.json, or `<name>_options.json` where options.json belongs to other weights. Raises UserError where
    this has other content too: the options of other weights are never replaced.
    """
    own = _own_options_path(weights)
    for path in (options_path_of(weights), own):
        if not path.is_file() or load_options(path) == options:
            return path
    raise UserError(f"{own}: holds the options of other weights; choose another folder or name for the output")


def _own_options_path(weights: str | Path) -> Path:
    return Path(weights).with_name(f"{Path(weights).stem.removesuffix('_weights')}_options.json")
