"""Options that several sub-commands take."""

from argparse import ArgumentParser, ArgumentTypeError


def seed(text: str) -> int:
    """Read a seed that every generator of random numbers takes."""
    if not (text.isdecimal() and len(text) < 11 and int(text) < 2**32):
        raise ArgumentTypeError(f"{text[:40]!r} is no seed: give a whole number from 0 to {2**32 - 1}")
    return int(text)


def rate(text: str) -> float:
    """Read a bound of the FPR; nobody has the pixels to measure one below 1e-15."""
    number = float(text)
    if 0 < number < 1e-15:
        raise ArgumentTypeError(f"{text[:40]!r} is too small to be measured: give at least 1e-15")
    return number


def add_fpr_bounds(parser: ArgumentParser) -> None:
    """Add ``--fpr-bounds`` to a sub-command."""
    text = "bounds of the shared FPR, AUPIMO's integral lies between them (default: 1e-5 1e-4)"
    names = ("LOWER", "UPPER")
    parser.add_argument("--fpr-bounds", nargs=2, type=rate, default=(1e-5, 1e-4), metavar=names, help=text)
