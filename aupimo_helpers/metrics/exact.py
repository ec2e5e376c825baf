r"""AUPIMO by its definition, without a grid of thresholds.

Definition (Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low
Tolerance", BMVC 2024, https://arxiv.org/abs/2401.01984):

- FPR of a normal image at the threshold t: the share of its pixels with score >= t.
- Shared FPR, F(t): the mean of that over the normal images.
- TPR of the anomalous image i, R_i(t): the share of its mask's pixels with score >= t.
- AUPIMO_i = 1 / ln(U / L) times the integral of R_i over ln F, from L to U.

**What is a curve between two thresholds.** F and R_i are step functions of t. Let s_1 > s_2 > ... be the distinct
scores of the normal images. Only at these does F change, from F(> s_k) = F_{k-1} to F(>= s_k) = F_k, with F_0 = 0. In
between, the curve rises vertically, which adds no area. At s_k it moves from (F_{k-1}, R_i(> s_k)) to
(F_k, R_i(>= s_k)) in a straight line over ln F; the line is level unless mask pixels tie with s_k. Where a line
crosses L or U it is cut there. The first line starts at ln 0, minus infinity: a straight line over an infinite
distance has reached its end value at every finite point, so R_i(>= s_1) counts on all of (0, F_1].

**Why this is fast.** Seen from a mask pixel with score a, the integral is a sum over pixels: each adds the length, on
the ln F axis from L to U, over which it is found, and that depends only on where a falls among the s_k. So one needs
the normal scores down to the one where F reaches U (at the default bounds one normal pixel in 10,000), a table of
lengths for them, and one look-up per mask pixel. The counts are integers, so the result depends neither on the order
nor on the batching of the images.

The passes over the maps run on the tensors' device, what they select is finished on the CPU. On CUDA this is
untested: no GPU was at hand.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import checks
from aupimo_helpers.metrics.checks import Images, Stack

# Pixels that are looked at in one go: small enough to stay in a processor's cache and in little memory, large enough
# to hide Python's overhead.
_PIXELS_AT_ONCE = 2**19
_SAMPLES = 2**15
_HALVES = (torch.float16, torch.bfloat16)
# Above this many normal pixels, pimo_curves takes the thresholds of high FPRs from a sample instead of a sort.
_SORTED_AT_MOST = 2**22


def no_skill_score(fpr_bounds: tuple[float, float] = (1e-5, 1e-4)) -> float:
    """Give the AUPIMO of a model without skill, whose TPR is its FPR at every threshold.

    Args:
        fpr_bounds: Lower and upper bound of the shared FPR, in (0, 1].

    Returns:
        (U - L) / ln(U / L), the mean of F over ln F from L to U.

    Raises:
        TypeError: If the bounds are not two numbers.
        InputError: If the bounds are out of order or out of (0, 1].

    Example:
        >>> f"{no_skill_score((1e-5, 1e-4)):.3e}"
        '3.909e-05'
    """
    lower, upper = checks.check_bounds(fpr_bounds)
    return (upper - lower) / math.log(upper / lower)


# ------------------------------------------------------------------------------------------- the shared FPR


@dataclass(frozen=True)
class SharedFPR:
    """The shared FPR at the highest distinct scores of the normal images, down to some score.

    Attributes:
        scores: Distinct normal scores, highest first, shape (K,), float32 or float64.
        fpr: Shared FPR at each (share of pixels with score >= it, mean over images), ascending, shape (K,), float64.
    """

    scores: np.ndarray
    fpr: np.ndarray

    def position(self, fpr: float) -> int:
        """Find the first (highest) score whose shared FPR is at least ``fpr``; K if there is none."""
        return int(np.searchsorted(self.fpr, fpr, side="left"))

    def down_to(self, fpr: float) -> "SharedFPR":
        """Cut after the first score whose shared FPR is at least ``fpr``."""
        end = self.position(fpr) + 1
        return SharedFPR(self.scores[:end], self.fpr[:end])


@dataclass(frozen=True)
class NormalScores:
    """Scores of normal images of one size.

    Attributes:
        pixels: Pixels of one image: each score weighs 1 / pixels.
        scores: Shape (n,), in any order, with repetitions.
        counts: How often each occurs, shape (n,), int64; None for once each.
    """

    pixels: int
    scores: np.ndarray
    counts: np.ndarray | None = None


def last_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Find the position of the last of each group of equal values in a sorted array, maybe empty."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])


def shared_fpr(parts: Sequence[NormalScores], num_normal: int) -> SharedFPR:
    """Compute the shared FPR at each distinct score.

    Args:
        parts: All normal scores from some score upwards.
        num_normal: Number of normal images, those without a score in ``parts`` included.

    Returns:
        The shared FPR. It is computed from integer counts per image size, sizes in ascending order, and so does not
        depend on the order of the images or the parts.

    Example:
        >>> curve = shared_fpr([NormalScores(4, np.array([3.0, 1.0, 3.0])), NormalScores(2, np.array([2.0]))], 2)
        >>> curve.scores.tolist(), curve.fpr.tolist()
        ([3.0, 2.0, 1.0], [0.25, 0.5, 0.625])
    """
    sizes = sorted({part.pixels for part in parts})
    everything = np.concatenate([part.scores for part in parts])
    if len(sizes) == 1 and all(part.counts is None for part in parts):
        ordered = np.sort(everything)[::-1]
        last = last_of_ties(ordered)
        # one division: correctly rounded, so that a bound that is met exactly compares as equal
        return SharedFPR(ordered[last], (last + 1) / (num_normal * sizes[0]))
    distinct = np.unique(everything)
    total = np.zeros(len(distinct))
    for size in sizes:
        histogram = np.zeros(len(distinct), dtype=np.int64)
        for part in parts:
            if part.pixels == size:
                cells = np.searchsorted(distinct, part.scores)
                # as weights the counts pass through float64, which holds integers up to 2 ** 53 exactly
                histogram += np.bincount(cells, part.counts, minlength=len(distinct)).astype(np.int64)
        cumulated = np.cumsum(histogram[::-1])
        total = cumulated / (num_normal * size) if len(sizes) == 1 else total + cumulated / size
    return SharedFPR(distinct[::-1], total if len(sizes) == 1 else total / num_normal)


# ------------------------------------------------------------------------------------------- reading images


def as_numpy(values: Tensor) -> np.ndarray:
    """Give scores as a float32 or float64 array; 16-bit floats become float32, which changes no comparison."""
    values = values.float() if values.dtype in _HALVES else values
    return values.cpu().numpy()


def pick(maps: Tensor, chosen: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Select few scores from images.

    Args:
        maps: Scores, shape (n, ...).
        chosen: Which ones to select, same shape, bool.

    Returns:
        The selected scores, image after image, float32 or float64, in an array of their own; and how many are each
        image's, shape (n,).

    Example:
        >>> maps = torch.arange(6.0).reshape(2, 3)
        >>> pick(maps, maps > 1)
        (array([2., 3., 4., 5.], dtype=float32), array([1, 3]))
    """
    if maps.device.type != "cpu":
        return as_numpy(maps[chosen]), chosen.flatten(1).sum(dim=1).cpu().numpy()
    # one look at eight pixels at a time tells which of them to look at one by one: twice as fast as ``maps[chosen]``
    pixels = math.prod(maps.shape[1:])
    together = math.gcd(8, pixels)
    rows = chosen.numpy().reshape(-1, together)
    touched = np.flatnonzero(rows.view(f"u{together}") != 0)
    rows = rows.take(touched, axis=0)
    borders = touched.searchsorted(np.arange(len(maps) + 1) * (pixels // together)).tolist()
    counts = [np.count_nonzero(rows[start:end]) for start, end in itertools.pairwise(borders)]
    return maps.numpy().reshape(-1, together).take(touched, axis=0)[rows], np.array(counts)


def at_least(values: Tensor, threshold: float) -> Tensor:
    """Compare with a threshold, without making the values wider (a copy) or rounding the threshold."""
    dtype = np.float64 if values.dtype == torch.float64 else np.float32
    nearest = dtype(threshold)
    if nearest < threshold:  # rounded down: the values >= threshold are those >= the next number
        nearest = np.nextafter(nearest, dtype(np.inf))
    if values.device.type == "cpu":
        return torch.from_numpy(values.numpy() >= nearest)
    return values >= float(nearest)


def normal_pieces(stack: Stack) -> Iterator[tuple[int, Tensor]]:
    """Go through the normal images, a few at a time.

    Args:
        stack: Images of one size.

    Yields:
        Position of the first of them in the whole set, and their scores, shape (n, H, W), float32 or float64.
    """
    changes = np.flatnonzero(stack.is_anomalous[1:] != stack.is_anomalous[:-1]) + 1
    step = max(1, _PIXELS_AT_ONCE // stack.image_pixels)
    borders = [0, *changes.tolist(), len(stack.is_anomalous)]
    for run_start, run_end in itertools.pairwise(borders):
        if run_start == run_end or stack.is_anomalous[run_start]:
            continue
        for start in range(run_start, run_end, step):
            maps = stack.maps[start : min(start + step, run_end)]
            yield stack.first + start, maps.float() if maps.dtype in _HALVES else maps


def mask_scores(stacks: Iterable[Stack]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Go through the anomalous images, a few at a time.

    Args:
        stacks: The images.

    Yields:
        Positions of these images in the whole set, shape (n,); the number of pixels of each one's mask, shape (n,);
        and the scores of those pixels, image after image, float32 or float64, in an array of their own.
    """
    for stack in stacks:
        step = max(1, 2 * _PIXELS_AT_ONCE // stack.image_pixels)  # of the masks, which have a quarter of the bytes
        anomalous = np.flatnonzero(stack.is_anomalous)
        while len(anomalous):
            start, images = anomalous[0], anomalous[anomalous < anomalous[0] + step]
            rows = slice(int(start), int(images[-1]) + 1)  # normal images in between have nothing to select
            maps = stack.maps[rows].float() if stack.maps.dtype in _HALVES else stack.maps[rows]
            scores, counts = pick(maps, stack.masks[rows])
            yield stack.first + images, counts[images - start], scores
            anomalous = anomalous[len(images) :]


def split(counts: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Give each image its own scores: views of what ``mask_scores`` yields for several."""
    return np.split(scores, np.cumsum(counts)[:-1])


def _num_images(stacks: Sequence[Stack]) -> int:
    return sum(len(stack.is_anomalous) for stack in stacks)


def _count_images(stacks: Sequence[Stack]) -> tuple[int, int]:
    num_anomalous = sum(int(stack.is_anomalous.sum()) for stack in stacks)
    return _num_images(stacks) - num_anomalous, num_anomalous


def _num_normal_pixels(stacks: Sequence[Stack]) -> int:
    return sum(stack.image_pixels * int((~stack.is_anomalous).sum()) for stack in stacks)


def _sample_normal_scores(stacks: Sequence[Stack], num_normal: int, samples: int) -> np.ndarray:
    """Take every so-manieth score of each normal image, equally many per image; highest first."""
    sample = []
    for stack in stacks:
        normal = np.flatnonzero(~stack.is_anomalous)
        if not len(normal):
            continue
        # an odd step does not fall on the same columns in each row
        step = max(1, stack.image_pixels * num_normal // samples) | 1
        if len(normal) == normal[-1] - normal[0] + 1:
            sample.append(stack.maps[normal[0] : normal[-1] + 1].flatten(1)[:, ::step].flatten())
        else:
            sample.extend(stack.maps[index].flatten()[::step] for index in normal.tolist())
    return np.sort(np.concatenate([as_numpy(scores) for scores in sample]))[::-1]


def _normal_scores_from(stacks: Sequence[Stack], threshold: float) -> list[NormalScores]:
    """Collect all normal scores >= threshold."""
    parts = []
    for stack in stacks:
        for _, maps in normal_pieces(stack):
            scores, _ = pick(maps, at_least(maps, threshold))
            counts = None
            if len(scores) > _SAMPLES:  # many ties, perhaps: a saturated model gives millions of equal scores
                scores, counts = np.unique(scores, return_counts=True)
            parts.append(NormalScores(stack.image_pixels, scores, counts))
    return parts


def top_normal_scores(stacks: Sequence[Stack], fpr: float) -> SharedFPR:
    """Compute the shared FPR at the highest normal scores, down to where it reaches ``fpr``.

    A sample of the scores tells which threshold is probably low enough. The scores from there on are collected; if
    their shared FPR does not reach ``fpr``, the threshold was not low enough and a lower one is tried.

    Args:
        stacks: The images, at least one of them normal.
        fpr: The shared FPR to reach, in (0, 1].

    Returns:
        The shared FPR, exact; its last value is the first one >= ``fpr``.
    """
    num_normal, _ = _count_images(stacks)
    # each of the samples is a cache miss, so fewer of them where a threshold that is too low costs little
    samples = min(_SAMPLES, _num_normal_pixels(stacks) // 512 + 1)
    sample = _sample_normal_scores(stacks, num_normal, samples)
    expected = fpr * len(sample)
    rank = int(expected + 5 * math.sqrt(expected) + 8)
    while True:
        threshold = float(sample[rank]) if rank < len(sample) else -math.inf
        curve = shared_fpr(_normal_scores_from(stacks, threshold), num_normal)
        if len(curve.fpr) and curve.fpr[-1] >= fpr:
            return curve.down_to(fpr)
        rank *= 4


# ------------------------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class Lengths:
    """What a mask pixel adds to its image's AUPIMO, by where its score falls among the normal scores.

    That is the length on the ln F axis between L and U over which the pixel is found, as a share of ln(U / L): 1
    above all normal scores, 0 below the one at which F reaches U.

    Attributes:
        scores: The normal scores down to there, ascending, shape (K,).
        added: The lengths, shape (2 K - 1,), float64: at 2 k that for a pixel that ties with score k, at 2 k + 1 that
            for a pixel between the scores k and k + 1.
    """

    scores: np.ndarray
    added: np.ndarray


def lengths(curve: SharedFPR, lower: float, upper: float) -> Lengths:
    """Tabulate what a mask pixel adds to its image's AUPIMO.

    Args:
        curve: The shared FPR, down to where it reaches ``upper``.
        lower: Lower bound L.
        upper: Upper bound U.

    Returns:
        The table.

    Example:
        >>> table = lengths(SharedFPR(np.array([3.0, 2.0, 1.0]), np.array([0.1, 0.2, 0.4])), 0.1, 0.4)
        >>> table.added.round(6).tolist()
        [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    log_lower, log_upper = math.log(lower), math.log(upper)
    ends = np.log(curve.fpr)
    starts = np.concatenate([[-np.inf], ends[:-1]])
    clipped_starts, clipped_ends = np.clip(starts, log_lower, log_upper), np.clip(ends, log_lower, log_upper)
    # a pixel that ties with s_k is found at no point of the line's start, at all of its end, and linearly in between
    with np.errstate(invalid="ignore"):
        found = (clipped_starts + clipped_ends - 2 * starts) / (2 * (ends - starts))
    found[0] = 1.0  # the line that comes from minus infinity
    below = (log_upper - clipped_ends) / (log_upper - log_lower)
    tied = found * (clipped_ends - clipped_starts) / (log_upper - log_lower) + below
    added = np.stack([tied, below], axis=1).ravel()[-2::-1]
    return Lengths(curve.scores[::-1].copy(), added.copy())


def mean_lengths(counts: np.ndarray, scores: np.ndarray, table: Lengths) -> np.ndarray:
    """Look up each mask pixel's length and average them per image: the AUPIMOs.

    Args:
        counts: Number of pixels of each image's mask, at least 1, shape (n,).
        scores: Scores of those pixels, image after image.
        table: What ``lengths`` made of the shared FPR.

    Returns:
        AUPIMO of each image, from 0 to 1, shape (n,), float64.

    Example:
        >>> table = Lengths(np.array([2.0, 3.0]), np.array([0.25, 0.5, 0.75]))
        >>> mean_lengths(np.array([1, 4]), np.array([3.0, 0.0, 2.0, 2.5, 9.0]), table).tolist()
        [0.75, 0.4375]
    """
    ends = np.cumsum(counts)
    above = scores > table.scores[-1]
    # few pixels are neither above all normal scores (length 1) nor below those that matter (length 0)
    between = np.flatnonzero(~above & (scores >= table.scores[0]))
    values = scores[between]
    for start, end in itertools.pairwise([0, *between.searchsorted(ends).tolist()]):
        values[start:end].sort()  # makes the search, most of the work here, several times faster
    rank = table.scores.searchsorted(values)
    place = 2 * rank - (table.scores[rank] != values)
    # integer counts times lengths: the same bits whatever the order of the pixels and of the images
    image = ends.searchsorted(between, side="right")
    last = last_of_ties(image * len(table.added) + place)
    lengths_of_ties = np.diff(last, prepend=-1) * table.added[place[last]]
    sums = np.bincount(image[last], lengths_of_ties, minlength=len(counts))
    sums += np.add.reduceat(above, ends - counts, dtype=np.int64)
    return np.minimum(1.0, sums / counts)  # rounding


def check_operating_points(curve: SharedFPR, upper: float) -> None:
    """Refuse normal scores so saturated that no threshold has a shared FPR between 0 and the upper bound.

    Args:
        curve: The shared FPR from the highest score on.
        upper: Upper bound U.

    Raises:
        InputError: If all normal scores are equal, or the highest is shared by too many pixels.
    """
    highest, share = float(curve.scores[0]), float(curve.fpr[0])
    if share >= 1:
        msg = f"All normal scores are equal ({highest:g}), so no threshold separates any of the normal pixels."
        raise InputError(msg)
    if share >= upper:
        msg = (
            f"The highest normal score, {highest:g}, is that of {share:.3%} of the normal pixels, so no threshold "
            f"has a shared FPR between 0 and the upper bound {upper:g}; the scores are clipped or too coarse: use "
            "the raw, unclipped scores."
        )
        raise InputError(msg)


def just_above(curve: SharedFPR) -> np.floating:
    """Give a number just above the highest normal score: a threshold of shared FPR 0."""
    return np.nextafter(curve.scores[0], curve.scores.dtype.type(np.inf))


def threshold_bounds(curve: SharedFPR, lower: float, upper: float) -> tuple[float, float]:
    """Find the thresholds between which AUPIMO integrates.

    Args:
        curve: The shared FPR, down to where it reaches ``upper``.
        lower: Lower bound L.
        upper: Upper bound U.

    Returns:
        The thresholds where the shared FPR reaches U and L: the lower threshold first, as in the published score
        files. Should one group of ties cross both bounds, the second is the next higher score.

    Example:
        >>> threshold_bounds(SharedFPR(np.array([5.0, 4.0, 3.0, 2.0]), np.array([0.1, 0.2, 0.5, 1.0])), 0.2, 0.4)
        (3.0, 4.0)
    """
    low, high = curve.position(upper), curve.position(lower)
    if high < low:
        return float(curve.scores[low]), float(curve.scores[high])
    return float(curve.scores[low]), float(curve.scores[low - 1] if low else just_above(curve))


def aupimo_scores(
    anomaly_maps: Images,
    masks: Images,
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
    *,
    force: bool = False,
) -> Tensor:
    """Compute the exact AUPIMO of each image.

    Args:
        anomaly_maps: Anomaly scores, higher is more anomalous: a tensor or array (N, H, W), or a sequence of (H, W)
            of different sizes; float16, bfloat16, float32 or float64, on any device.
        masks: Ground truth in the same form: bool or integers 0 and 1. An image whose mask is all 0 is normal.
        fpr_bounds: Bounds L and U of the shared FPR, ``0 < L < U <= 1``.
        force: Compute also where the result says little: fewer than 1 / L normal pixels, or normal scores so
            saturated that no threshold has a shared FPR in (0, U).

    Returns:
        AUPIMO per image, shape (N,), float64, on the maps' device: in [0, 1], NaN for normal images. The mean over
        the anomalous images is ``scores.nanmean()``.

    Raises:
        TypeError: If maps are not floating point, masks are, or bounds are not two numbers.
        InputError: (a ``ValueError``) If shapes differ, a score is NaN or infinite, a mask is not two-valued, a class
            of images is missing, all normal scores are equal, there are too few normal pixels, or bounds are wrong.

    Example:
        Eight normal images, and one whose defect scores higher in its upper half only:

        >>> maps, masks = torch.rand(9, 128, 128), torch.zeros(9, 128, 128, dtype=torch.bool)
        >>> masks[8, 32:96, 32:96] = True
        >>> maps[8, 32:64] += 2
        >>> aupimo_scores(maps, masks)[-2:].round(decimals=2).tolist()
        [nan, 0.5]
    """
    lower, upper = checks.check_bounds(fpr_bounds)
    stacks = checks.make_stacks(anomaly_maps, masks)
    checks.check_both_classes(*_count_images(stacks))
    if not force:
        checks.check_enough_normal_pixels(_num_normal_pixels(stacks), lower)
    curve = top_normal_scores(stacks, upper)
    check_operating_points(curve, 1.0 if force else upper)
    table = lengths(curve, lower, upper)
    scores = np.full(_num_images(stacks), np.nan)
    for positions, counts, of_masks in mask_scores(stacks):
        scores[positions] = mean_lengths(counts, of_masks, table)
    return on_device(scores, stacks[0].maps.device)


def on_device(values: np.ndarray, device: torch.device) -> Tensor:
    """Put float64 values on a device, or leave them on the CPU if the device has no float64 (Apple's MPS)."""
    tensor = torch.from_numpy(values.copy())
    return tensor if device.type == "mps" else tensor.to(device)


# ------------------------------------------------------------------------------------------- curves


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

    thresholds: Tensor
    shared_fpr: Tensor
    per_image_tprs: Tensor


def recalls(counts: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Compute the TPR of each image at each threshold.

    Args:
        counts: Number of pixels of each image's mask, at least 1, shape (n,).
        scores: Scores of those pixels, image after image.
        thresholds: Shape (K,).

    Returns:
        Share of each image's scores that are >= the threshold, shape (n, K), float64.

    Example:
        >>> recalls(np.array([1, 2]), np.array([3.0, 0.0, 2.0]), np.array([1.0, 2.5])).tolist()
        [[1.0, 1.0], [0.5, 0.0]]
    """
    lower = np.stack([np.sort(of_mask).searchsorted(thresholds) for of_mask in split(counts, scores)])
    return (counts[:, None] - lower) / counts[:, None]


def _recalls_at(stacks: Sequence[Stack], thresholds: np.ndarray) -> Tensor:
    tprs = np.full((_num_images(stacks), len(thresholds)), np.nan)
    for positions, counts, of_masks in mask_scores(stacks):
        tprs[positions] = recalls(counts, of_masks, thresholds)
    return on_device(tprs, stacks[0].maps.device)


def _shared_fpr_at(stacks: Sequence[Stack], ascending: np.ndarray, num_normal: int) -> np.ndarray:
    """Count the normal pixels at and above each threshold: the shared FPR where a sort of all would be too much."""
    counts: dict[int, np.ndarray] = {}
    for stack in stacks:
        for _, maps in normal_pieces(stack):
            scores = np.sort(as_numpy(maps), axis=None)
            reached = len(scores) - np.searchsorted(scores, ascending)
            counts[stack.image_pixels] = counts.get(stack.image_pixels, 0) + reached
    if len(counts) == 1:
        ((pixels, count),) = counts.items()
        return count / (num_normal * pixels)
    return sum((counts[pixels] / pixels for pixels in sorted(counts)), np.zeros(len(ascending))) / num_normal


def points_near(curve: SharedFPR, targets: np.ndarray) -> SharedFPR:
    """Choose the points of a curve at which it reaches the targets (shared FPRs), each point once."""
    positions = np.unique(np.searchsorted(curve.fpr, targets).clip(max=len(curve.fpr) - 1))
    return SharedFPR(curve.scores[positions], curve.fpr[positions])


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
        >>> maps, masks = torch.rand(9, 64, 64), torch.zeros(9, 64, 64, dtype=torch.bool)
        >>> masks[8, 16:48, 16:48] = True
        >>> curves = pimo_curves(maps, masks, fpr_range=(1e-3, 1.0), num_points=50)
        >>> curves.per_image_tprs.shape == (9, len(curves.thresholds)), float(curves.shared_fpr[0])
        (True, 1.0)
    """
    lower, upper = checks.check_bounds(fpr_range, "fpr_range")
    if isinstance(num_points, bool) or not isinstance(num_points, int):
        msg = f"Expected num_points to be an integer, but got {num_points!r}."
        raise TypeError(msg)
    if num_points < 2:
        msg = f"Expected num_points to be at least 2, but got {num_points}."
        raise InputError(msg)
    stacks = checks.make_stacks(anomaly_maps, masks)
    num_normal, num_anomalous = _count_images(stacks)
    checks.check_both_classes(num_normal, num_anomalous)
    sortable = min(1.0, _SORTED_AT_MOST / _num_normal_pixels(stacks))
    top = top_normal_scores(stacks, min(upper, sortable))
    check_operating_points(top, 1.0)
    targets = np.geomspace(lower, upper, num_points)
    targets[-1] = upper
    curve = points_near(top, targets[targets <= top.fpr[-1]])
    if upper > sortable:
        sample = _sample_normal_scores(stacks, num_normal, 16 * _SAMPLES)
        ranks = np.ceil(targets[targets > top.fpr[-1]] * len(sample)).astype(int).clip(1, len(sample)) - 1
        ascending = np.unique(sample[ranks])
        ascending = ascending[ascending < top.scores[-1]]
        fpr = _shared_fpr_at(stacks, ascending, num_normal)
        curve = SharedFPR(np.append(curve.scores, ascending[::-1]), np.append(curve.fpr, fpr[::-1]))
    ascending = curve.scores[::-1].copy()
    device = stacks[0].maps.device
    return PIMOCurves(
        thresholds=on_device(ascending.astype(np.float64), device),
        shared_fpr=on_device(curve.fpr[::-1], device),
        per_image_tprs=_recalls_at(stacks, ascending),
    )


# ------------------------------------------------------------------------------------------- one operating point


def _score_at_fpr(stacks: Sequence[Stack], fpr: float) -> np.ndarray:
    checks.check_both_classes(*_count_images(stacks))
    return top_normal_scores(stacks, fpr).scores[-1:]


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
        >>> maps = torch.arange(20.0).reshape(2, 2, 5)
        >>> masks = torch.zeros(2, 2, 5, dtype=torch.bool)
        >>> masks[1, 0, 0] = True
        >>> threshold_at_fpr(maps, masks, 0.2)
        8.0
    """
    fpr = checks.check_rate(fpr, "fpr")
    return float(_score_at_fpr(checks.make_stacks(anomaly_maps, masks), fpr)[0])


def recall_at_fpr(anomaly_maps: Images, masks: Images, fpr: float) -> Tensor:
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
        >>> maps = torch.arange(20.0).reshape(2, 2, 5)
        >>> masks = torch.zeros(2, 2, 5, dtype=torch.bool)
        >>> masks[1, 0, 0] = True
        >>> recall_at_fpr(maps, masks, 0.2)
        tensor([nan, 1.], dtype=torch.float64)
    """
    fpr = checks.check_rate(fpr, "fpr")
    stacks = checks.make_stacks(anomaly_maps, masks)
    return _recalls_at(stacks, _score_at_fpr(stacks, fpr))[:, 0]
