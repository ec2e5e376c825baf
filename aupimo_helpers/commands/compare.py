"""``aupimo compare``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add ``aupimo compare`` to the parser."""
