"""``aupimo data``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo data`` to the parser."""
