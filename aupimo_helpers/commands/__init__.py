"""The command ``aupimo``: each sub-command lives in a module of ``aupimo_helpers.commands``."""

import argparse
import errno
import io
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aupimo_helpers.commands import compare, data, explore, refresh, run, score, slides, student, threshold
from aupimo_helpers.errors import AupimoError, AupimoWarning, brief
from aupimo_helpers.files import why


class _Parser(argparse.ArgumentParser):
    """A parser that knows ``--debug``; those of sub-commands are made of the same class."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        text = "show where in the code an error arose"
        self.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=text)


def build_parser() -> argparse.ArgumentParser:
    """Make the parser; each sub-command sets ``handler``: a function of the arguments that gives the exit code."""
    parser = _Parser(
        prog="aupimo", description="Learn and use AUPIMO, the per-image recall metric for anomaly localisation."
    )
    parser.add_argument("--version", action="version", version=f"aupimo {version('aupimo-helpers')}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (run, data, explore, score, threshold, compare, student, slides, refresh):
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give 0, 1 if there is something to mend, 130 after Ctrl-C. Wrong usage exits with 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be in the terminal's encoding
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    if any(not argument or re.fullmatch("--[a-z-]+=", argument) for argument in arguments):
        parser.error("an argument is empty: leave it out or give it a value (is a variable of your shell not set?)")
    options = parser.parse_args(arguments)
    show = warnings.formatwarning
    warnings.formatwarning = lambda message, category, *others: (
        f"aupimo: {message}\n" if category is AupimoWarning else show(message, category, *others)
    )
    try:
        return int(options.handler(options))
    except KeyboardInterrupt:
        print("aupimo: stopped", file=sys.stderr)
        return 130
    except Exception as error:  # the last resort: whatever it is, it ends in a sentence
        if getattr(options, "debug", False):
            traceback.print_exc()
        text = str(error) if isinstance(error, AupimoError) else _unforeseen(error)
        # Names are data: one of 100,000 letters is not shown whole, and control characters do not reach the terminal.
        lines = [line if len(line) <= 2000 else f"{line[:1500]} ... {line[-400:]}" for line in text.split("\n")]
        shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in "\n".join(lines))
        print(f"aupimo: {shown}", file=sys.stderr)
        return 1


def _unforeseen(error: Exception) -> str:
    """Say in a sentence what no part of the package foresaw: the file at hand, the error, and what to do."""
    file = getattr(error, "filename", None) or _file_at_hand(error)
    if isinstance(error, RuntimeError) and "Symlink loop" in str(error):  # so pathlib says it
        error = OSError(errno.ELOOP, "")
    if isinstance(error, OSError) and (reason := why(error)) is not None:
        return f"Cannot use {file or 'a file'}: {reason}"
    where = f"{file} cannot be used" if file else "This did not work"
    if isinstance(error, MemoryError):
        return f"{where}: the memory is used up. Close other programs, or take smaller images."
    return f"{where}: {type(error).__name__}, {brief(error)}. Mend that, or report it with what --debug shows."


def _file_at_hand(error: Exception) -> Path | None:
    """Find the file that was worked on: the innermost one that a variable of this package held."""
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).startswith("aupimo_helpers."):
            paths = [value for value in frame.f_locals.values() if isinstance(value, Path)]
            found = next((path for path in reversed(paths) if path.name), found)
    return found
