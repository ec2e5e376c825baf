"""PIMO curves for plotting, and the threshold and the recalls at one false positive rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics.checks import Images, Stack

if TYPE_CHECKING:
    from torch import Tensor

# Above this many normal pixels, pimo_curves takes the thresholds of high FPRs from a sample instead of a sort.
_SORTED_AT_MOST = 2**22
_SAMPLES = 2**19


@dataclass(frozen=True)
class PIMOCurves:
    """PIMO curves at chosen thresholds; every point is exact.

    The order is that of anomalib's ``PIMOResult`` (whose fields have the same names): thresholds ascend, so the
    shared FPR and the TPRs descend.

    Attributes:
        thresholds: Scores of normal pixels, strictly ascending, shape (K,), float64.
        shared_fpr: Shared FPR at each threshold, descending, shape (K,), float64.
        per_image_tprs: TPR of each image at each threshold, shape (N, K), float64; NaN rows for normal images.
    """

    thresholds: "Tensor"
    shared_fpr: "Tensor"
    per_image_tprs: "Tensor"


def recalls(
    mask_pixels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray, kept: np.ndarray | None = None
) -> np.ndarray:
    """Compute the TPR of each image at each threshold, (n, K); the scores are as for ``exact.mean_lengths``."""
    counts = mask_pixels if kept is None else kept
    of_images = np.split(scores, np.cumsum(counts)[:-1])
    lower = np.stack([np.sort(of_mask).searchsorted(thresholds) for of_mask in of_images])
    return (counts[:, None] - lower) / mask_pixels[:, None]


def _recalls_at(stacks: Sequence[Stack], thresholds: np.ndarray) -> np.ndarray:
    tprs = np.full((len(exact.image_counts(stacks)), len(thresholds)), np.nan)
    for positions, counts, of_masks in exact.mask_scores(stacks):
        tprs[positions] = recalls(counts, of_masks, thresholds)
    return tprs


def pimo_curves(
    anomaly_maps: Images,
    masks: Images,
    fpr_range: tuple[float, float] = (1e-6, 1.0),
    num_points: int = 300,
) -> PIMOCurves:
    """Compute compact PIMO curves for plotting: few points, each of them exact.

    Args:
        anomaly_maps: As for ``aupimo_scores``.
        masks: As for ``aupimo_scores``.
        fpr_range: Range of shared FPR, ``0 < lower < upper <= 1``. Where it starts below the shared FPR of a single
            normal pixel, the curve starts at that pixel.
        num_points: Points wanted, at least 2, evenly spaced in ln F. There are fewer where fewer distinct shared FPRs
            exist.

    Returns:
        The curves. Each threshold is a score of a normal pixel; above 4 million normal pixels, a sample of them
        decides which ones, but FPR and TPRs at the chosen ones are counted on all pixels.

    Raises:
        TypeError: As ``aupimo_scores``.
        InputError: As ``aupimo_scores`` (but any number of normal pixels will do), or ``num_points`` is below 2.

    Example:
        >>> import torch
        >>> maps, masks = torch.rand(9, 64, 64), torch.zeros(9, 64, 64, dtype=torch.bool)
        >>> masks[8, 16:48, 16:48] = True
        >>> curves = pimo_curves(maps, masks, fpr_range=(1e-3, 1.0), num_points=50)
        >>> curves.per_image_tprs.shape == (9, len(curves.thresholds)), float(curves.shared_fpr[0])
        (True, 1.0)
    """
    lower, upper = checks.check_bounds(fpr_range, "fpr_range")
    num_points = checks.check_integer(num_points, "num_points", 2)
    stacks = checks.make_stacks(anomaly_maps, masks)
    normal = exact.normals(stacks)
    top = normal.top(min(upper, _SORTED_AT_MOST / normal.num_pixels))
    exact.check_operating_points(top, 1.0)
    targets = np.geomspace(lower, upper, num_points)
    targets[-1] = upper
    curve = normal.points(top, targets, _SAMPLES)
    ascending = curve.scores[::-1].copy()
    return PIMOCurves(
        thresholds=exact.to_tensor(ascending.astype(np.float64), anomaly_maps),
        shared_fpr=exact.to_tensor(curve.fpr[::-1], anomaly_maps),
        per_image_tprs=exact.to_tensor(_recalls_at(stacks, ascending), anomaly_maps),
    )


def threshold_at_fpr(anomaly_maps: Images, masks: Images, fpr: float) -> float:
    """Find the anomaly threshold at which the shared FPR reaches a value.

    Args:
        anomaly_maps: As for ``aupimo_scores``.
        masks: As for ``aupimo_scores``.
        fpr: Shared FPR, in (0, 1].

    Returns:
        The highest score t of a normal pixel for which "score >= t" has a shared FPR of at least ``fpr``. Any
        higher threshold has a lower shared FPR than ``fpr``.

    Raises:
        TypeError: As ``aupimo_scores``.
        InputError: As ``aupimo_scores``, for the normal images, or ``fpr`` is out of (0, 1].

    Example:
        >>> import torch
        >>> maps = torch.arange(20.0).reshape(2, 2, 5)
        >>> masks = torch.zeros(2, 2, 5, dtype=torch.bool)
        >>> masks[1, 0, 0] = True
        >>> threshold_at_fpr(maps, masks, 0.2)
        8.0
    """
    fpr = checks.check_rate(fpr, "fpr")
    return float(exact.normals(checks.make_stacks(anomaly_maps, masks)).top(fpr).scores[-1])


def recall_at_fpr(anomaly_maps: Images, masks: Images, fpr: float) -> "Tensor":
    """Compute each image's recall at the threshold where the shared FPR reaches a value.

    Args:
        anomaly_maps: As for ``aupimo_scores``.
        masks: As for ``aupimo_scores``.
        fpr: Shared FPR, in (0, 1].

    Returns:
        Share of each image's mask pixels with score >= ``threshold_at_fpr(anomaly_maps, masks, fpr)``, shape (N,),
        float64; NaN for normal images.

    Raises:
        TypeError: As ``aupimo_scores``.
        InputError: As ``aupimo_scores``, or ``fpr`` is out of (0, 1].

    Example:
        >>> import torch
        >>> maps = torch.arange(20.0).reshape(2, 2, 5)
        >>> masks = torch.zeros(2, 2, 5, dtype=torch.bool)
        >>> masks[1, 0, 0] = True
        >>> recall_at_fpr(maps, masks, 0.2)
        tensor([nan, 1.], dtype=torch.float64)
    """
    fpr = checks.check_rate(fpr, "fpr")
    stacks = checks.make_stacks(anomaly_maps, masks)
    threshold = exact.normals(stacks).top(fpr).scores[-1:]
    return exact.to_tensor(_recalls_at(stacks, threshold)[:, 0], anomaly_maps)
