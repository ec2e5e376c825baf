"""How much the normal images matter: every image's AUPIMO when normal images are left out or drawn again.

All scores of a test set share the thresholds that its normal images set, so an interval over the anomalous images
alone says nothing of them. Leaving out or repeating a normal image only changes the weights in the mean that makes
the shared FPR; the order of the scores stays. So the highest normal scores are sorted once, each pixel of a mask is
put between two of them once, and what is left for each set of weights is a matrix product.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import checks
from aupimo_helpers.metrics.exact import Normals, NormalScores, normal_parts

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# How far beyond the upper bound the sorted normal scores reach at first, and each time that is too little.
_DEEPER = 4.0
_VALUES_AT_ONCE = 2**22  # of a matrix: scores by sets of weights


def reweighted_scores(
    anomaly_maps: checks.Images,
    masks: checks.Images,
    weights: ArrayLike,
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
) -> np.ndarray:
    """Compute every image's AUPIMO for other weights of the normal images in the shared FPR.

    Args:
        anomaly_maps: As for ``aupimo_scores``, (N, H, W) or a sequence of (H, W).
        masks: True where anomalous, in the same shapes.
        weights: (B, M) for M normal images in their order, not negative, no row all zero: how often each normal image
            counts. ``1 - numpy.eye(M)`` leaves out one at a time; rows of a multinomial draw are a bootstrap.
        fpr_bounds: L and U.

    Returns:
        (B, N), float64; NaN for normal images. A row of equal weights gives what ``aupimo_scores`` gives.

    Raises:
        InputError: If maps and masks are not what ``aupimo_scores`` takes, or the weights do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> maps, masks = rng.random((3, 400, 400)), np.zeros((3, 400, 400), dtype=bool)
        >>> masks[2, :9, :9], maps[2, :9, :9] = True, 0.99997
        >>> reweighted_scores(maps, masks, 1 - np.eye(2)).round(2).tolist()  # without the first, without the second
        [[nan, nan, 0.43], [nan, nan, 0.36]]

    References:
        B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), sections 6 and 11.
    """
    normal: list[NormalScores] = []
    of_masks: list[np.ndarray] = []
    for stack in checks.make_stacks(anomaly_maps, masks):
        for part in normal_parts(stack):
            images = part.copy().scores.reshape(-1, stack.pixels)
            normal += [NormalScores(stack.pixels, scores) for scores in images]
        of_masks += np.split(stack.mask_scores, np.cumsum(stack.mask_pixels)[:-1])
    return reweight(normal, of_masks, [len(scores) for scores in of_masks], weights, fpr_bounds)


def reweight(
    normal: Sequence[NormalScores],
    of_masks: Sequence[np.ndarray],
    mask_pixels: Sequence[int],
    weights: ArrayLike,
    fpr_bounds: tuple[float, float],
) -> np.ndarray:
    """Do the same from the highest scores of each normal image and of each image's mask: those above some score."""
    lower, upper = checks.check_bounds(fpr_bounds)
    rows = np.asarray(weights, dtype=np.float64)
    if rows.shape == (1, 1) and rows[0, 0] == 0 and len(normal) == 1:
        raise InputError("The only normal image cannot be left out, since none would set the thresholds: add some.")
    if rows.ndim != 2 or rows.shape[1] != len(normal) or (rows < 0).any() or not rows.any(axis=1).all():
        raise InputError(
            f"Expected weights of shape (B, {len(normal)}), one column per normal image, not negative and no row all "
            f"zero, but their shape is {rows.shape}."
        )
    shares = rows / rows.sum(axis=1, keepdims=True) / np.array([image.pixels for image in normal])
    everything = Normals(normal, len(normal), sum(image.pixels for image in normal))
    fpr = min(1.0, _DEEPER * upper)
    while True:
        floor = everything.top(fpr).scores[-1]
        distinct, counts = _highest([image.scores for image in normal], floor)
        # The rarest row decides how deep is deep enough.
        if fpr == 1 or (shares @ np.asarray(counts.sum(axis=0)).ravel()).min() >= upper:
            break
        fpr = min(1.0, fpr * _DEEPER)
    between, tied = _places(of_masks, mask_pixels, distinct)
    # What share is reached matters only where a mask's pixel lies: the normal scores up to there are taken together.
    ties = np.unique(tied.indices)
    used = np.unique(np.concatenate([between.indices, ties, ties + 1]))
    between, tied = between[:, used], tied[:, ties]
    counts = _together(counts, used)
    before, after = used.searchsorted(ties), used.searchsorted(ties + 1)
    anomalous = np.asarray(mask_pixels) > 0
    result = np.full((len(rows), len(of_masks)), np.nan)
    step = max(1, _VALUES_AT_ONCE // max(1, len(used)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        reached = np.cumsum(counts @ shares[part].T, axis=0)
        values = between @ _from(reached, lower, upper) + tied @ _ramp(reached[before], reached[after], lower, upper)
        result[part, anomalous] = values[anomalous].T
    return result


def _highest(normal: list[np.ndarray], floor: float) -> tuple[np.ndarray, "csr_array"]:
    """Distinct normal scores down to the floor, ascending; pixels per score, highest first, and image, (K, M)."""
    from scipy.sparse import coo_array  # which takes longer to import than all else here

    kept = [scores[scores >= floor] for scores in normal]
    distinct, place = np.unique(np.concatenate(kept), return_inverse=True)
    image = np.repeat(np.arange(len(kept)), [len(scores) for scores in kept])
    place = len(distinct) - 1 - place
    counts = coo_array((np.ones(len(image)), (place, image)), shape=(len(distinct), len(normal)))
    return distinct, counts.tocsr()


def _together(counts: "csr_array", used: np.ndarray) -> "csr_array":
    """Sum the rows between two places, so that a row is what is added from one to the next; drop those below."""
    from scipy.sparse import coo_array

    each = counts.tocoo()
    row = used.searchsorted(each.row, side="right")
    return coo_array((each.data, (row, each.col)), shape=(len(used) + 1, counts.shape[1])).tocsr()[:-1]


def _places(
    mask_scores: Sequence[np.ndarray], mask_pixels: Sequence[int], distinct: np.ndarray
) -> tuple["csr_array", "csr_array"]:
    """Shares of a mask's pixels below exactly k normal scores, (N, K + 1), and tied with the k-th, (N, K)."""
    from scipy.sparse import coo_array

    size = len(distinct)
    sizes = [len(scores) for scores in mask_scores]
    image = np.repeat(np.arange(len(sizes)), sizes)
    share = np.repeat([1 / max(1, pixels) for pixels in mask_pixels], sizes)
    scores = np.concatenate(mask_scores)
    above = size - np.searchsorted(distinct, scores, side="right")
    not_below = size - np.searchsorted(distinct, scores, side="left")
    is_tied, is_free = not_below > above, (not_below == above) & (above < size)
    shape = len(mask_scores), size
    free = coo_array((share[is_free], (image[is_free], above[is_free])), shape=(shape[0], size + 1))
    tied = coo_array((share[is_tied], (image[is_tied], above[is_tied])), shape=shape)
    return free.tocsr(), tied.tocsr()


def _from(reached: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """The share of the integration range that lies above an FPR."""
    return np.log(upper / np.clip(reached, lower, upper)) / np.log(upper / lower)


def _ramp(begin: np.ndarray, end: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """The same for pixels that tie with a normal score: their recall rises in a straight line over ln FPR."""
    value = _from(begin, lower, upper)  # also where a line begins at ln 0 and holds its end value
    rises = (begin > 0) & (end > begin)
    a, b, low, high = np.log(begin[rises]), np.log(end[rises]), np.log(lower), np.log(upper)
    left, right = np.clip(a, low, high), np.clip(b, low, high)
    area = ((right - a) ** 2 - (left - a) ** 2) / (2 * (b - a)) + (high - right)
    value[rises] = area / (high - low)
    return value
