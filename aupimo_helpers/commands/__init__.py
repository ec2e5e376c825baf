"""The command ``aupimo``: each sub-command lives in a module of ``aupimo_helpers.commands``."""

import argparse
import sys
from collections.abc import Sequence

from aupimo_helpers import __version__
from aupimo_helpers.commands import compare, data, refresh, run, score
from aupimo_helpers.errors import AupimoError


def build_parser() -> argparse.ArgumentParser:
    """Make the parser; each sub-command sets ``handler``: a function of the arguments that gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="aupimo",
        description="Learn and use AUPIMO, the per-image recall metric for anomaly localisation.",
    )
    parser.add_argument("--version", action="version", version=f"aupimo {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (run, data, score, compare, refresh):
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default that of the process) and give the exit code.

    0 if all went well, 1 if the user has something to mend (one sentence on stderr says what), 130 after Ctrl-C.
    Wrong usage exits with 2, as argparse does.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.handler(options))
    except AupimoError as error:
        print(f"aupimo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("aupimo: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
