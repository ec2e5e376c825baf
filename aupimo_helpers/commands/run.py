"""``aupimo run``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add ``aupimo run`` to the parser."""
