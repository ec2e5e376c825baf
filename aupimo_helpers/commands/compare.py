"""``aupimo compare``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo compare`` to the parser."""
