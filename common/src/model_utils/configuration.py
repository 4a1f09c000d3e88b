"""Configuration: `src/config.py` < preset < `--config_path some.yaml` < command line, checked key by key.

The comment behind a key in `src/config.py` is its help text, so the two cannot drift apart.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re

from easydict import EasyDict

from src.model_utils.files import read_yaml
from src.model_utils.runtime import DEVICE_TARGETS, UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that knows the common options and names the nearest option to a mistyped one.

    `config_file` and `device` say whether the program has use for these options; `prog` is for `python -m`.
    """

    def __init__(self, description: str, config_file: bool = True, device: bool = True, prog: str | None = None):
        super().__init__(prog, description=description, allow_abbrev=False)
        if config_file:
            self.add_argument("--config_path", metavar="FILE", help="YAML file with configuration keys")
        if device:
            self.add_argument("--device_target", choices=DEVICE_TARGETS, help="default: the best that is present")
            self.add_argument("--device_id", type=int, default=0, help="number of the GPU or NPU (default: 0)")

    def error(self, message):
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            message += _nearest(unknown[1], known)
        raise UserError(f"{self.prog}: {message} (see --help)")

    def add_config_options(self, config_module, defaults: dict) -> None:
        """Add an option for every key of `defaults`, whose help is the comment behind the key in `config_module`."""
        comments = dict(re.findall(r"^\s*(\w+)=.*?#\s*(.+?)\s*$", inspect.getsource(config_module), re.MULTILINE))
        group = self.add_argument_group("configuration (defaults and comments: src/config.py)")
        for key, value in defaults.items():
            help_text = f"{comments.get(key, '')} (default: {_shown(value)})".replace("%", "%%").strip()
            group.add_argument(f"--{key}", metavar=type(value).__name__.upper(), default=None, help=help_text)


def boolean(text: str) -> bool:
    """The argparse type of options that take true or false."""
    if str(text).lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, not '{text}'")
    return str(text).lower() == "true"


def resolve(
    defaults: dict, args: argparse.Namespace, preset: dict | None = None, preset_source: str = "preset"
) -> EasyDict:
    """Merge the sources of configuration in order of precedence.

    Raises UserError naming key, source and nearest valid key for an unknown key, and the types for a wrong one.
    """
    config = EasyDict(defaults)
    _merge(config, preset or {}, preset_source)
    if args.config_path:
        _merge(config, read_yaml(args.config_path), args.config_path)
    given = {key: value for key, value in vars(args).items() if key in defaults and value is not None}
    _merge(config, given, "the command line")
    return config


def require(config: dict, **rules) -> None:
    """Check values: each rule is `key=(predicate, "what it must be")`; UserError names the first that fails."""
    for key, (accepts, wanted) in rules.items():
        if not accepts(config[key]):
            raise UserError(
                f"{key} is {_shown(config[key])} but must be {wanted}; set it by --{key} or in the YAML file"
            )


def _merge(config: dict, values: dict, source: str) -> None:
    for key, value in values.items():
        if key not in config:
            raise UserError(f"{source}: unknown key '{key}'{_nearest(str(key), list(config))}")
        config[key] = _convert(key, value, type(config[key]), source)


def _convert(key: str, value, wanted: type, source: str):
    text = str(value)
    try:
        if wanted is bool:
            if isinstance(value, bool):
                return value
            return boolean(text)
        if wanted in (int, float) and not isinstance(value, bool):
            number = wanted(text)
            if number == number and abs(number) != float("inf"):
                return number
        if wanted is str and isinstance(value, str):
            return value
    except (ValueError, argparse.ArgumentTypeError):
        pass
    raise UserError(f"{source}: {key} must be of type {wanted.__name__}, not {_shown(value)}")


def _nearest(word: str, known: list[str]) -> str:
    match = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


def _shown(value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
