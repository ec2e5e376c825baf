"""``aupimo threshold``: the threshold to use, from score maps on disk or from a file of scores."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aupimo_helpers.commands.options import add_maps
from aupimo_helpers.errors import InputError

if TYPE_CHECKING:
    from aupimo_helpers.metrics.exact import NormalScores


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
    text = "highest shared FPR (default: 1e-4); the normal images must have 10 / FPR pixels or more"
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
        print(f"Threshold at a shared FPR of {fpr:g}: {threshold!r}")
    return 0


def _from_maps(options: argparse.Namespace) -> int:
    if not options.masks:
        raise InputError("--maps needs --masks: say where the masks of the defects are.")
    import numpy as np

    from aupimo_helpers.metrics.checks import check_rate
    from aupimo_helpers.score_files import highest, score_files

    fpr = check_rate(1e-4 if options.fpr is None else options.fpr, "--fpr")
    missing = options.missing_mask == "normal"
    folders = {"missing_mask_is_normal": missing, "normal_folders": options.normal_folder}
    scores = score_files(options.maps, options.masks, (fpr / 10, fpr), **folders)
    normal, of_masks = highest(scores)
    threshold, reached = lowest_threshold(normal, fpr)
    marked = np.array([(image.scores >= threshold).sum() for image in normal])
    recalls = [(image >= threshold).mean() for image in of_masks if len(image)]
    # Those without a marked pixel are alike: without one of them, the threshold is the same.
    telling = [*np.flatnonzero(marked), *np.flatnonzero(marked == 0)[:1]] if len(normal) > 1 else []
    others = [lowest_threshold([*normal[:i], *normal[i + 1 :]], fpr)[0] for i in telling]
    pixels = sum(image.pixels for image in normal)
    print(f"Threshold: mark pixels with a raw score >= {threshold!r}")
    print(f"Shared FPR: {reached:.4g}, at most {fpr:g} ({marked.sum()} of {pixels} normal pixels)")
    print(f"Normal images with a marked pixel: {np.count_nonzero(marked)} of {len(marked)}")
    print(f"Mean recall: {100 * np.mean(recalls):.1f} % of the defect ({len(recalls)} anomalous images)")
    print(f"How sure: one normal pixel is an FPR of {1 / pixels:.2g};", end=" ")
    print(f"without one normal image, the threshold is {min(others)!r} to {max(others)!r}" if others else "one image")
    return 0


def lowest_threshold(normal: Sequence["NormalScores"], fpr: float) -> tuple[float, float]:
    """Find the lowest normal score at which the shared FPR is at most ``fpr``, and that FPR."""
    from aupimo_helpers.metrics.exact import Normals, just_above

    curve = Normals(normal, len(normal), sum(image.pixels for image in normal)).top(fpr)
    if curve.fpr[-1] < fpr:
        raise InputError("One normal image has nearly all of the highest scores: look at it, and leave it out.")
    place = int((curve.fpr <= fpr).sum()) - 1
    return (float(curve.scores[place]), float(curve.fpr[place])) if place >= 0 else (float(just_above(curve)), 0.0)
