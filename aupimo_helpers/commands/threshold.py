"""``aupimo threshold``: the threshold to use, from score maps on disk or from a file of scores."""

import argparse
from pathlib import Path

from aupimo_helpers.commands.options import add_maps, which_are_normal
from aupimo_helpers.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo threshold`` to the parser."""
    parser = subparsers.add_parser(
        "threshold",
        help="find the threshold at which normal images have at most a given false positive rate",
        description="Find the lowest raw score to mark pixels at so that the shared FPR of the normal images is at "
        "most --fpr, and what that does to all images. Or print the thresholds that a file of scores holds.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    add_maps(parser, source)
    text = "instead of maps: a file of scores, as `aupimo score` writes it; its thresholds are printed"
    source.add_argument("--scores", metavar="FILE.json", type=Path, help=text)
    text = "highest shared FPR (default: 1e-4); the normal images must have 1 / FPR pixels or more"
    parser.add_argument("--fpr", type=float, help=text)
    parser.set_defaults(handler=_threshold)


def _threshold(options: argparse.Namespace) -> int:
    if options.scores is None:
        return _from_maps(options)
    if options.masks or options.fpr is not None:
        raise InputError("A file of scores holds two thresholds: leave out --masks and --fpr, or give --maps.")
    from aupimo_helpers.scores import load_scores

    known = load_scores(options.scores).attrs
    for fpr, threshold in zip(known["fpr_bounds"], known["threshold_bounds"][::-1], strict=True):
        print(f"Threshold where the shared FPR reaches {fpr:g}: {threshold!r}")
    print("There the shared FPR is this or just above it; --maps finds the lowest threshold that stays within it.")
    return 0


def _from_maps(options: argparse.Namespace) -> int:
    if not options.masks:
        raise InputError("--maps needs --masks: say where the masks of the defects are.")
    from aupimo_helpers.scores.threshold import find_threshold

    fpr = 1e-4 if options.fpr is None else options.fpr
    found = find_threshold(options.maps, options.masks, fpr, **which_are_normal(options))
    marked, others = found.marked, found.without_one
    print(f"Threshold: mark pixels with a raw score >= {found.score!r}")
    print(f"Shared FPR: {found.fpr:.4g}, at most {fpr:g} ({marked.sum()} of {found.pixels} normal pixels)")
    print(f"Normal images with a marked pixel: {(marked > 0).sum()} of {len(marked)}")
    print(f"Mean recall: {100 * found.recalls.mean():.1f} % of the defect (anomalous images: {len(found.recalls)})")
    print(f"How sure: one normal pixel is an FPR of {found.step:.2g};", end=" ")
    print(f"without one normal image, the threshold is {min(others)!r} to {max(others)!r}" if others else "one image")
    return 0
