"""``aupimo data``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add ``aupimo data`` to the parser."""
