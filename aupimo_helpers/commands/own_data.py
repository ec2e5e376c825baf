"""``aupimo data import``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``import`` to the sub-commands of ``aupimo data``."""
