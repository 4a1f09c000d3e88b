"""Configuration: `src/config.py` < preset < `--config_path some.yaml` < command line, checked key by key.

The comment behind a key in `src/config.py` is its help text, and the key is checked against the range in brackets at
the end of that comment, so that these cannot drift apart:

    learning_rate=0.002,  # peak rate [> 0]
    dropout=0.5,  # on the pooled features [0 <= x < 1]
    pooling="mean",  # over time [mean | max]
    label_bonus=0.0,  # added for each label [any]
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import operator
import re
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn

from easydict import EasyDict

from src.model_utils.aliases import REFUSED, own_name
from src.model_utils.files import read_yaml
from src.model_utils.runtime import DEVICE_TARGETS, UserError

_COMPARISONS = {
    ">": (operator.gt, "above"),
    ">=": (operator.ge, "at least"),
    "<": (operator.lt, "below"),
    "<=": (operator.le, "at most"),
}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that knows the common options and names the nearest option to a mistyped one.

    Options may be written with hyphens or underscores and under the names in ALIASES. The parsed arguments hold, beside
    the values, `typed`, which maps the name of each option to the word that was typed for it, and `argv`, the command
    line with the program's own names. `config_file`, `device` and `native` say whether the program has use for these
    options; `prog` is for `python -m`.
    """

    def __init__(
        self,
        description: str,
        config_file: bool = True,
        device: bool = True,
        native: bool = True,
        prog: str | None = None,
    ):
        super().__init__(prog, description=description, allow_abbrev=False)
        self._typed: dict[str, str] = {}
        if config_file:
            self.add_argument("--config_path", metavar="FILE", help="YAML file with configuration keys")
        if device:
            self.add_argument("--device_target", choices=DEVICE_TARGETS, help="default: the best that is present")
            self.add_argument("--device_id", type=int, default=0, help="number of the GPU or NPU (default: 0)")
        if device and native:
            self.add_argument(
                "--native",
                type=boolean,
                default=True,
                metavar="BOOL",
                help="false: MindSpore's kernels on a CPU, in place of the project's own (default: true)",
            )

    def parse_args(self, args: Sequence[str] | None = None, namespace=None) -> argparse.Namespace:
        """Parse a command line, by default the program's own; UserError for what makes no sense."""
        words, self._typed = [], {}
        given = list(sys.argv[1:] if args is None else args)
        options_end = given.index("--") if "--" in given else len(given)
        for word in given[:options_end]:
            typed, equals, value = word.partition("=")
            words.append(self._own_option(typed) + equals + value if typed.startswith("--") else word)
        words += given[options_end:]
        parsed = super().parse_args(words, namespace)
        parsed.typed, parsed.argv = self._typed, words
        return parsed

    def _own_option(self, typed: str) -> str:
        own = "--" + own_name(typed[2:], [option[2:] for option in self._option_string_actions])
        if own in self._option_string_actions:
            self._typed[self._option_string_actions[own].dest] = typed
        elif typed[2:].replace("-", "_") in REFUSED:
            raise UserError(f"{self.prog}: {typed} has no meaning here: {REFUSED[typed[2:].replace('-', '_')]}")
        return own

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"--(\w+)", lambda option: self._typed.get(option[1], option[0]), message)
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            message += _nearest(unknown[1].replace("-", "_").replace("__", "--", 1), list(self._option_string_actions))
        raise UserError(f"{self.prog}: {message} (see --help)")

    def add_config_options(self, config_module, defaults: dict, default: str | None = None) -> None:
        """Add an option for every key of `defaults`, whose help is the comment behind the key in `config_module`.

        `default` says in the help what holds without the option, in place of the values of `defaults`.
        """
        comments = _comments(config_module)
        group = self.add_argument_group("configuration (defaults and comments: src/config.py)")
        for key, value in defaults.items():
            text = f"{comments.get(key, '')} (default: {default or _shown(value)})".replace("%", "%%").strip()
            group.add_argument(f"--{key}", metavar=type(value).__name__.upper(), default=None, help=text)
        self.set_defaults(config_keys=tuple(defaults))

    def add_checkpoint_options(self, config_module, defaults: dict, settings: Collection[str]) -> None:
        """Add --ckpt_path, and an option for each of the keys that may differ from the training's."""
        self.add_argument("--ckpt_path", metavar="FILE", required=True, help="a checkpoint that train.py wrote")
        self.add_config_options(config_module, {key: defaults[key] for key in settings}, "as in training")


def boolean(text: str) -> bool:
    """The argparse type of options that take true or false."""
    if str(text).lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, not '{text}'")
    return str(text).lower() == "true"


def at_least(least: int) -> Callable[[str], int]:
    """Return the argparse type of options that take a whole number from `least` on."""

    def whole_number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more, not {text}")
        return int(text)

    whole_number.__name__ = "int"  # as argparse says it of any other text
    return whole_number


class Range:
    """What the brackets behind a key allow: `> 0`, `0 <= x < 1`, `one | another`, or `any`."""

    def __init__(self, text: str):
        self.choices = [choice.strip() for choice in text.split("|")] if "|" in text else []
        self.bounds: list[tuple[str, float]] = []
        words = text.split()
        if "x" in words:
            low, at_least, _, at_most, high = words
            self.bounds = [(at_least.replace("<", ">"), low), (at_most, high)]
        elif not self.choices and words != ["any"]:
            comparison, bound = words
            self.bounds = [(comparison, bound)]
        self.limits = [(_COMPARISONS[comparison][0], float(bound)) for comparison, bound in self.bounds]

    def __contains__(self, value) -> bool:
        if self.choices:
            return str(value) in self.choices
        return all(holds(value, bound) for holds, bound in self.limits)

    def __str__(self) -> str:
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        return " and ".join(f"{_COMPARISONS[comparison][1]} {bound}" for comparison, bound in self.bounds)


def allowed_ranges(config_module) -> dict[str, Range]:
    """Return the range of every key whose comment ends in brackets; UserError where it cannot be understood."""
    ranges = {}
    for key, comment in _comments(config_module).items():
        found = re.search(r"\[([^\[\]]+)\]$", comment)
        try:
            if found:
                ranges[key] = Range(found[1])
        except (KeyError, ValueError):
            raise UserError(
                f"src/config.py: {key}: {found[0]} is no range; write it as [0 <= x < 1] or [a | b]"
            ) from None
    return ranges


def resolve(
    defaults: dict, args: argparse.Namespace, config_module, preset: dict | None = None, preset_source: str = "preset"
) -> EasyDict:
    """Merge the sources of configuration in order of precedence.

    Raises UserError naming source, key and nearest valid key for an unknown key, the type for a value of another one,
    and the range for a value outside it.
    """
    ranges = allowed_ranges(config_module)
    config = EasyDict(defaults)
    merge(config, defaults, "src/config.py", ranges)
    merge(config, preset or {}, preset_source, ranges)
    if args.config_path:
        merge(config, read_yaml(args.config_path), args.config_path, ranges)
    given = {key: getattr(args, key) for key in args.config_keys if key in defaults}
    given = {args.typed.get(key, f"--{key}"): value for key, value in given.items() if value is not None}
    merge(config, given, "the command line", ranges)
    return config


def load_config(folder, config_module, defaults: dict) -> EasyDict:
    """Return the configuration that a training wrote into its folder.

    A key that an older training did not know has the value that it meant then, from `added_later` of `config_module`.
    Raises UserError where the file is missing or belongs to another model.
    """
    path = Path(folder) / "config.yaml"
    saved = {own_name(str(word), defaults): value for word, value in read_yaml(path).items()}
    saved = {**{key: value for key, value in config_module.added_later.items() if key in defaults}, **saved}
    absent = [key for key in defaults if key not in saved]
    if absent:
        raise UserError(f"{path}: has no '{absent[0]}'; it was written for another model or version")
    config = EasyDict(defaults)
    merge(config, {key: saved.pop(key) for key in defaults}, str(path), allowed_ranges(config_module))
    return EasyDict({**config, **saved})


def apply_settings(config: EasyDict, args: argparse.Namespace, config_module, settings: Collection[str]) -> EasyDict:
    """Return a checkpoint's configuration with the settings that the command line or --config_path changes.

    Raises UserError for any other change: it would describe another model than the checkpoint's.
    """
    resolved = resolve(config, args, config_module)
    changed = [key for key in config if key not in settings and resolved[key] != config[key]]
    if changed:
        raise UserError(
            f"{args.config_path}: {changed[0]} is {resolved[changed[0]]}, but the checkpoint was trained with"
            f" {config[changed[0]]}; only {', '.join(settings)} can be changed here"
        )
    return resolved


def require(config: dict, **rules) -> None:
    """Check what a range cannot say: each rule is `key=(predicate, "what it must be")`; UserError names the first."""
    for key, (accepts, wanted) in rules.items():
        if not accepts(config[key]):
            raise UserError(
                f"{key} is {_shown(config[key])} but must be {wanted}; set it by --{key} or in the YAML file"
            )


def merge(config: dict, values: dict, source: str, ranges: dict[str, Range]) -> None:
    """Put values into a configuration, each as the type of the value there.

    Raises UserError naming `source`, the key and what it may be for an unknown key, another type, and a value out of
    its range.
    """
    words: dict[str, str] = {}
    for word, value in values.items():
        key = own_name(str(word).removeprefix("--"), config)
        if key not in config:
            raise UserError(f"{source}: unknown key '{word}'{_nearest(str(word), list(config))}")
        if words.setdefault(key, word) != word:
            raise UserError(f"{source}: {words[key]} and {word} are two words for one key; leave one out")
        value = _convert(word, value, type(config[key]), source)
        if key in ranges and value not in ranges[key]:
            raise UserError(f"{source}: {word} is {_shown(value)} but must be {ranges[key]}")
        config[key] = value


def _comments(config_module) -> dict[str, str]:
    found = re.findall(r"^\s*(\w+)=.*?#\s*(.+?)\s*$", inspect.getsource(config_module), re.MULTILINE)
    return dict(reversed(found))  # where a key has several, the first counts


def _convert(word: str, value, wanted: type, source: str):
    text = str(value)
    try:
        if wanted is bool:
            return value if isinstance(value, bool) else boolean(text)
        if wanted in (int, float) and not isinstance(value, bool):
            number = wanted(text)
            if number == number and abs(number) != float("inf"):
                return number
        if wanted is str and isinstance(value, str):
            return value
    except (ValueError, argparse.ArgumentTypeError):
        pass
    raise UserError(f"{source}: {word} must be of type {wanted.__name__}, not {_shown(value)}")


def _nearest(word: str, known: list[str]) -> str:
    match = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


def _shown(value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
