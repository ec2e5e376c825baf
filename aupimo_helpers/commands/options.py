"""Options that several sub-commands take."""

from argparse import ArgumentParser, ArgumentTypeError


def seed(text: str) -> int:
    """Read a seed that every generator of random numbers takes."""
    if not (text.isdecimal() and len(text) < 11 and int(text) < 2**32):
        raise ArgumentTypeError(f"{text[:40]!r} is no seed: give a whole number from 0 to {2**32 - 1}")
    return int(text)


def add_fpr_bounds(parser: ArgumentParser) -> None:
    """Add ``--fpr-bounds`` to a sub-command."""
    text = "bounds of the shared FPR, AUPIMO's integral lies between them (default: 1e-5 1e-4)"
    names = ("LOWER", "UPPER")
    parser.add_argument("--fpr-bounds", nargs=2, type=float, default=(1e-5, 1e-4), metavar=names, help=text)
