"""Open a page in the browser that tries the trained models: sentiment, entities, translation, speech, words in context.

Everything stays on this machine: the page is served on the loopback interface and asks no other host for anything.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from models import TITLES, model_of, tabs_of
from server import Demo, Server


class UserError(Exception):
    """One line that says what is wrong and how to mend it."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; `checkpoints` become pairs of a model and a path."""
    parser = argparse.ArgumentParser(prog="demo.sh", description=__doc__)
    text = (
        "a checkpoint, as MODEL=FILE where its name does not begin with the model's; a model without one takes"
        " MODEL/outputs, outputs or the quick start's, or offers to train the tiny preset"
    )
    parser.add_argument("checkpoints", nargs="*", metavar="CHECKPOINT", help=text)
    text = "sentences in which elmo looks for contexts, one a line (default: the quick start's, else a few)"
    parser.add_argument("--text", type=Path, metavar="FILE", help=text)
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: one that is free)")
    parser.add_argument("--no_browser", action="store_true", help="only print the address")
    args = parser.parse_args(argv)
    args.checkpoints = [checkpoint(each) for each in args.checkpoints]
    if args.text and not args.text.is_file():
        raise UserError(f"{args.text}: no such file")
    args.text = args.text and args.text.resolve()
    return args


def checkpoint(argument: str) -> tuple[str, Path]:
    """Return the model and the path that an argument names."""
    model, equals, path = argument.partition("=")
    if model not in TITLES or not equals:
        model, path = model_of(Path(argument)), argument
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    if model is None:
        raise UserError(f"{path}: of which model? Write MODEL={path}, where MODEL is {', '.join(TITLES)}")
    return model, Path(path).resolve()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C or a signal; returns the exit code."""
    try:
        args = parse_arguments(argv)
        demo = Demo(tabs_of(args.checkpoints), args.text)
        try:
            server = Server(demo, args.port)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--port {args.port}: {getattr(error, 'strerror', None) or error}; choose another"
            ) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        print(f"the page: {server.address}    Ctrl-C ends it", flush=True)
        # Without a display the browser would be one of the terminal, which runs no scripts
        displays = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if displays and not args.no_browser:
            webbrowser.open(server.address)
        server.serve_forever()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # until all processes have ended
        demo.close()
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
