"""The command line of the programs that need no configuration file."""

from __future__ import annotations

import argparse

from src.model_utils.configuration import Parser
from src.model_utils.runtime import DEVICE_TARGETS


class ProgramParser(Parser):
    """The parser of train.py, which explains wrong options, without --config_path."""

    def __init__(self, description: str):
        argparse.ArgumentParser.__init__(self, description=description, allow_abbrev=False)

    def add_device_options(self) -> None:
        """Add --device_target and --device_id."""
        self.add_argument("--device_target", choices=DEVICE_TARGETS, help="default: the best that is present")
        self.add_argument("--device_id", type=int, default=0, help="number of the GPU or NPU (default: 0)")
