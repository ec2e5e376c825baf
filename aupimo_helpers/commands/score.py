"""``aupimo score``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo score`` to the parser."""
