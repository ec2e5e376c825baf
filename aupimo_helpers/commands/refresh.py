"""``aupimo refresh``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo refresh`` to the parser."""
