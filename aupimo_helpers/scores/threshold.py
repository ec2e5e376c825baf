"""The threshold to use, from score maps on disk, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics.checks import check_rate
from aupimo_helpers.metrics.exact import Normals, NormalScores, just_above
from aupimo_helpers.scores.maps import score_files


@dataclass(frozen=True)
class Threshold:
    """The lowest raw score whose shared FPR is at most some rate, the FPR that it has, and what it does."""

    score: float
    fpr: float
    marked: np.ndarray  # pixels of each normal image at or above it
    pixels: int  # of all normal images
    step: float  # the FPR of one pixel, of the smallest image
    recalls: np.ndarray  # of each anomalous image
    without_one: tuple[float, ...]  # the thresholds without one normal image


def find_threshold(maps_folder: str | Path, masks_folder: str | Path, fpr: float, **which: Any) -> Threshold:  # noqa: ANN401
    """Find the threshold for score maps and masks on disk; ``which`` are normal, `score_files` is told."""
    fpr = check_rate(fpr, "--fpr")
    # AUPIMO, which is not used, needs two bounds: so near, they ask for no more than the rate itself does.
    upper = min(1.0, fpr * (1 + 1e-9))
    bounds = (min(fpr, upper * (1 - 1e-9)), upper)
    scores = score_files(maps_folder, masks_folder, bounds, **which, keep_highest=True)
    normal = scores.normal
    threshold, reached = _lowest(normal, fpr)
    marked = np.array([(image.scores >= threshold).sum() for image in normal])
    # Those without a marked pixel are alike: without one of them, the threshold is the same.
    telling = [*np.flatnonzero(marked), *np.flatnonzero(marked == 0)[:1]] if len(normal) > 1 else []
    return Threshold(
        threshold,
        reached,
        marked,
        pixels=sum(image.pixels for image in normal),
        step=1 / (len(normal) * min(image.pixels for image in normal)),
        recalls=np.array([(image >= threshold).mean() for image in scores.of_masks if len(image)]),
        without_one=tuple(_lowest([*normal[:i], *normal[i + 1 :]], fpr)[0] for i in telling),
    )


def _lowest(normal: Sequence[NormalScores], fpr: float) -> tuple[float, float]:
    """Find the lowest normal score at which the shared FPR is at most ``fpr``, and that FPR."""
    curve = Normals(normal, len(normal), sum(image.pixels for image in normal)).top(fpr)
    if curve.fpr[-1] < fpr:
        raise InputError("One normal image has nearly all of the highest scores: look at it, and leave it out.")
    place = int((curve.fpr <= fpr).sum()) - 1
    return (float(curve.scores[place]), float(curve.fpr[place])) if place >= 0 else (float(just_above(curve)), 0.0)
