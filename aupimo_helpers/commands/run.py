"""``aupimo run``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo run`` to the parser."""
