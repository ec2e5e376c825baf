"""Options that several sub-commands take."""

from argparse import ArgumentParser, ArgumentTypeError, _MutuallyExclusiveGroup


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


def add_maps(parser: ArgumentParser, instead_of: _MutuallyExclusiveGroup | None = None) -> None:
    """Add ``--maps``, required unless it is one of several, ``--masks``, and what says which images are normal."""
    text = "score maps, higher is more anomalous: .npy, .npz, .tif(f) (float or 16 bit) or .png (16 bit)"
    required = instead_of is None
    (instead_of or parser).add_argument("--maps", required=required, metavar="DIR", help=text)
    parser.add_argument("--masks", required=required, metavar="DIR", help="masks: images, black is normal")
    text = "what a map without a mask is: an error (default), or a normal image"
    parser.add_argument("--missing-mask", choices=("error", "normal"), default="error", help=text)
    text = "a folder of maps, all of which are normal although it is not called good; repeat it for others"
    parser.add_argument("--normal-folder", action="append", default=[], metavar="NAME", help=text)
