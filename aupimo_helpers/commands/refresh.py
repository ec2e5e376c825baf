"""``aupimo refresh``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add ``aupimo refresh`` to the parser."""
