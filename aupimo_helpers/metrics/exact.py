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

Everything is computed on the CPU, with NumPy. Tensors on another device are copied, and the results go back to it.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import checks
from aupimo_helpers.metrics.checks import Images, Stack, wide

if TYPE_CHECKING:
    from torch import Tensor

_SAMPLES = 2**14
_MASK_SCORES_AT_ONCE = 2**17  # what is computed from them stays in a processor's cache, too


@dataclass(frozen=True)
class SharedFPR:
    """The shared FPR at the highest distinct scores of the normal images, highest first, down to some score."""

    scores: np.ndarray  # (K,), float32 or float64
    fpr: np.ndarray  # (K,), float64: share of pixels with score >= it, mean over images

    def position(self, fpr: float) -> int:
        """Find the first (highest) score whose shared FPR is at least ``fpr``; K if there is none."""
        return int(np.searchsorted(self.fpr, fpr, side="left"))

    def down_to(self, fpr: float) -> "SharedFPR":
        """Cut after the first score whose shared FPR is at least ``fpr``."""
        end = self.position(fpr) + 1
        return SharedFPR(self.scores[:end], self.fpr[:end])


@dataclass(frozen=True)
class NormalScores:
    """Scores of normal images of one size, in any order."""

    pixels: int  # of one image: each score weighs 1 / pixels
    scores: np.ndarray  # (n,), maybe a view of the maps
    counts: np.ndarray | None = None  # how often each occurs, int64; None for once each
    unchecked: tuple[int, str | None] | None = None  # of maps nobody has read: where they begin, for `check_finite`

    def pieces(self) -> Iterator["NormalScores"]:
        """Go through the scores, as float32 or float64, as many as are looked at in one go; checked."""
        for start in range(0, max(1, len(self.scores)), checks.PIXELS_AT_ONCE):
            here = slice(start, start + checks.PIXELS_AT_ONCE)
            scores = wide(self.scores[here])
            if self.unchecked:
                begin, name = self.unchecked
                checks.check_finite(scores, self.pixels, begin + start, name)
            yield NormalScores(self.pixels, scores, None if self.counts is None else self.counts[here])

    def copy(self) -> "NormalScores":
        """Put scores into an array of their own."""
        scores = np.empty_like(self.scores)
        start = 0
        for piece in self.pieces():
            scores[start : start + len(piece.scores)] = piece.scores
            start += len(piece.scores)
        return NormalScores(self.pixels, scores)


def select(parts: Iterable[NormalScores], threshold: float) -> list[NormalScores]:
    """Select the scores >= the threshold of each part: float32 or float64, in arrays of their own."""
    selected = []
    for part in parts:
        scores, counts = [], []
        for piece in part.pieces():
            chosen = _at_least(piece.scores, threshold)
            scores.append(_pick(piece.scores, chosen))
            counts += [] if piece.counts is None else [piece.counts[chosen]]
        selected.append(NormalScores(part.pixels, np.concatenate(scores), np.concatenate(counts) if counts else None))
    return selected


def _at_least(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Compare with a threshold, without making the scores wider (a copy) or rounding the threshold."""
    with np.errstate(over="ignore"):
        nearest = scores.dtype.type(threshold)
    if float(nearest) < threshold:  # rounded down: the scores >= threshold are those >= the next number
        nearest = np.nextafter(nearest, scores.dtype.type(np.inf))
    return np.asarray(scores >= nearest)


def _pick(scores: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Select scores; if few are chosen, eight are looked at in one go before they are looked at one by one."""
    whole = len(scores) // 8 * 8
    touched, near = checks.marked(chosen[:whole])
    if 16 * len(touched) > len(scores):
        return scores.compress(chosen)
    picked = checks.take_groups(scores[:whole], touched).compress(near)
    return picked if whole == len(scores) else np.append(picked, scores[whole:][chosen[whole:]])


def last_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Find the position of the last of each group of equal values in a sorted array, maybe empty."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])


def tally(parts: Sequence[NormalScores]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Count for each size of image, ascending, the distinct scores: these, ascending, and how often each occurs."""
    tallies = {}
    for size in sorted({part.pixels for part in parts}):
        here = [part for part in parts if part.pixels == size]
        scores = np.concatenate([part.scores for part in here])
        if all(part.counts is None for part in here):
            scores.sort()
            last = last_of_ties(scores)
            tallies[size] = scores[last], np.diff(last, prepend=-1)
            continue
        counts = [np.ones(len(part.scores)) if part.counts is None else part.counts for part in here]
        distinct, places = np.unique(scores, return_inverse=True)
        # as weights the counts pass through float64, which holds integers up to 2 ** 53 exactly
        total = np.bincount(places.ravel(), np.concatenate(counts), minlength=len(distinct))
        tallies[size] = distinct, total.astype(np.int64)
    return tallies


def shared_fpr(parts: Sequence[NormalScores], num_normal: int) -> SharedFPR:
    """Compute the shared FPR at each distinct score, from integer counts: neither order nor parts change a bit."""
    tallies = tally(parts)
    if len(tallies) == 1:
        ((pixels, (scores, counts)),) = tallies.items()
        # one division: correctly rounded, so that a bound that is met exactly compares as equal
        return SharedFPR(scores[::-1], np.cumsum(counts[::-1]) / (num_normal * pixels))
    distinct = np.unique(np.concatenate([scores for scores, _ in tallies.values()]))
    total = np.zeros(len(distinct))
    for pixels, (scores, counts) in tallies.items():
        reached = np.append(np.cumsum(counts[::-1])[::-1], 0)
        total += reached[np.searchsorted(scores, distinct)] / pixels
    return SharedFPR(distinct[::-1], total[::-1] / num_normal)


def sample(parts: Sequence[NormalScores], size: int) -> np.ndarray:
    """Take about ``size`` of the scores, evenly spaced, highest first."""
    # an odd step does not fall on the same columns of the images in each row
    step = max(1, sum(len(part.scores) for part in parts) // size) | 1
    return np.sort(np.concatenate([wide(part.scores[::step]) for part in parts]))[::-1]


@dataclass(frozen=True)
class Normals:
    """The normal images of a set, all of their scores from some score upwards."""

    parts: Sequence[NormalScores]
    num_images: int
    num_pixels: int  # those without a score in the parts included

    @property
    def num_scores(self) -> int:
        """Number of scores in the parts."""
        return sum(len(part.scores) for part in self.parts)

    def top(self, fpr: float) -> SharedFPR:
        """Compute the shared FPR down to where it reaches ``fpr``, or as far down as there are scores.

        A sample of the scores tells which threshold is probably low enough. The scores from there on are collected;
        if their shared FPR does not reach ``fpr``, the threshold was not low enough and a lower one is tried.
        """
        # each of the samples is a cache miss, so fewer of them where a threshold that is too low costs little
        few = sample(self.parts, min(_SAMPLES, self.num_scores // 512 + 1))
        expected = fpr * len(few) * self.num_pixels / self.num_scores
        rank = int(expected + 5 * math.sqrt(expected) + 8)
        while True:
            threshold = float(few[rank]) if rank < len(few) else -math.inf
            curve = shared_fpr(select(self.parts, threshold), self.num_images)
            if threshold == -math.inf or (len(curve.fpr) and curve.fpr[-1] >= fpr):
                return curve.down_to(fpr)
            rank *= 4

    def fpr_at(self, ascending: np.ndarray) -> np.ndarray:
        """Count the pixels at and above each threshold: the shared FPR where a sort of all would be too much."""
        reached = {part.pixels: np.zeros(len(ascending), dtype=np.int64) for part in self.parts}
        for piece in itertools.chain.from_iterable(part.pieces() for part in self.parts):
            scores, counts = piece.scores, piece.counts
            for place, threshold in enumerate(ascending.tolist()):
                chosen = _at_least(scores, threshold)
                number = np.count_nonzero(chosen)
                reached[piece.pixels][place] += number if counts is None else counts[chosen].sum()
                if 2 * number < len(scores):  # the higher thresholds need not look at the others again
                    scores, counts = scores.compress(chosen), None if counts is None else counts[chosen]
        if len(reached) == 1:
            ((pixels, count),) = reached.items()
            return count / (self.num_images * pixels)
        return sum((reached[size] / size for size in sorted(reached)), np.zeros(len(ascending))) / self.num_images

    def points(self, top: SharedFPR, targets: np.ndarray, samples: int) -> SharedFPR:
        """Choose the points at which the curve reaches the targets (ascending): below ``top`` from a sample."""
        places = np.unique(np.searchsorted(top.fpr, targets[targets <= top.fpr[-1]]))
        curve, lower = SharedFPR(top.scores[places], top.fpr[places]), targets[targets > top.fpr[-1]]
        if not len(lower):
            return curve
        few = sample(self.parts, samples)
        ranks = np.ceil(lower * len(few) * self.num_pixels / self.num_scores).astype(int)
        scores = few[ranks[ranks <= len(few)] - 1]
        if len(scores) < len(ranks) or lower[-1] == 1:
            scores = np.append(scores, min(wide(part.scores).min() for part in self.parts if len(part.scores)))
        ascending = np.unique(scores)
        ascending = ascending[ascending < top.scores[-1]]
        fpr = self.fpr_at(ascending)
        return SharedFPR(np.append(curve.scores, ascending[::-1]), np.append(curve.fpr, fpr[::-1]))


def normal_parts(stack: Stack) -> Iterator[NormalScores]:
    """Go through the runs of normal images: views of the maps."""
    for start, end, normal in checks.runs(stack.mask_pixels.tolist()):
        if normal:
            scores = stack.maps[start:end].reshape(-1)
            yield NormalScores(stack.pixels, scores, unchecked=((stack.first + start) * stack.pixels, stack.name))


def in_groups(counts: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Go through images of so many mask scores, as many as are looked at in one go: which images, which scores."""
    ends = np.cumsum(counts)
    cuts = (np.flatnonzero(np.diff(ends // _MASK_SCORES_AT_ONCE)) + 1).tolist()
    borders = np.append(0, ends)
    for start, end in itertools.pairwise([0, *cuts, len(counts)]):
        yield slice(start, end), slice(borders[start], borders[end])


def mask_scores(stacks: Iterable[Stack]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Go through the anomalous images, a few at a time: positions, numbers of mask pixels, all of their scores."""
    for stack in stacks:
        anomalous = np.flatnonzero(stack.mask_pixels)
        counts = stack.mask_pixels[anomalous]
        for images, scores in in_groups(counts) if len(anomalous) else ():
            yield stack.first + anomalous[images], counts[images], stack.mask_scores[scores]


def image_counts(stacks: Sequence[Stack]) -> np.ndarray:
    """Count the pixels of each image's mask over all stacks: 0 for normal images."""
    return np.concatenate([stack.mask_pixels for stack in stacks])


def normals(stacks: Sequence[Stack]) -> Normals:
    """Collect the normal images of a set that has both kinds."""
    counts = image_counts(stacks)
    num_normal = int((counts == 0).sum())
    checks.check_both_classes(num_normal, len(counts) - num_normal)
    parts = [part for stack in stacks for part in normal_parts(stack)]
    return Normals(parts, num_normal, sum(len(part.scores) for part in parts))


def to_tensor(values: np.ndarray, like: Images) -> "Tensor":
    """Put float64 values on the maps' device, or on the CPU if the device has no float64 (Apple's MPS)."""
    import torch

    device = torch.device(getattr(like[0] if isinstance(like, list | tuple) else like, "device", "cpu"))
    tensor = torch.from_numpy(values.copy())
    return tensor if device.type == "mps" else tensor.to(device)


@dataclass(frozen=True)
class Lengths:
    """What a mask pixel adds to its image's AUPIMO, by where its score falls among the normal scores.

    That is the length on the ln F axis between L and U over which the pixel is found, as a share of ln(U / L): 1
    above the normal score at which F reaches L, 0 below the one at which it reaches U.
    """

    scores: np.ndarray  # the normal scores from one to the other, ascending, (K,)
    added: (
        np.ndarray
    )  # (2 K - 1,): at 2 k for a pixel that ties with score k, at 2 k + 1 between the scores k and k + 1


def lengths(curve: SharedFPR, lower: float, upper: float) -> Lengths:
    """Tabulate what a mask pixel adds; the curve goes down to where it reaches ``upper``."""
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
    first = curve.position(lower)
    added = np.stack([tied[first:], below[first:]], axis=1).ravel()[-2::-1]
    return Lengths(curve.scores[first:][::-1].copy(), added.copy())


def mean_lengths(
    mask_pixels: np.ndarray, scores: np.ndarray, table: Lengths, kept: np.ndarray | None = None
) -> np.ndarray:
    """Look up each mask pixel's length and average them per image: the AUPIMOs.

    ``scores`` are those of the masks' pixels, image after image; ``kept`` says how many are each image's, if some
    were left out because they are below all of the table's: they add nothing.
    """
    counts = mask_pixels if kept is None else kept
    ends = np.cumsum(counts)
    above = scores > table.scores[-1]
    # few pixels are neither above the table's scores (length 1) nor below them (length 0)
    between = np.flatnonzero(~above & (scores >= table.scores[0]))
    values = scores[between]
    borders = [0, *between.searchsorted(ends).tolist()]
    for start, end in itertools.pairwise(borders):
        values[start:end].sort()  # makes the search, most of the work here, several times faster
    rank = table.scores.searchsorted(values)
    place = 2 * rank - (table.scores[rank] != values)
    # integer counts times lengths: the same bits whatever the order of the pixels and of the images
    image = np.repeat(np.arange(len(counts)), np.diff(borders))
    last = last_of_ties(image * len(table.added) + place)
    lengths_of_ties = np.diff(last, prepend=-1) * table.added[place[last]]
    sums = np.bincount(image[last], lengths_of_ties, minlength=len(counts))
    sums += count_true(above, counts)
    return np.minimum(1.0, sums / mask_pixels)  # rounding


def count_true(flags: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Count the True ones of each image, whose flags stand one after the other."""
    borders = itertools.pairwise([0, *np.cumsum(counts).tolist()])
    return np.array([np.count_nonzero(flags[start:end]) for start, end in borders], dtype=np.int64)


def check_operating_points(curve: SharedFPR, upper: float) -> None:
    """Refuse normal scores so saturated that no threshold has a shared FPR between 0 and the upper bound."""
    highest, share = float(curve.scores[0]), float(curve.fpr[0])
    if share >= 1:
        raise InputError(
            f"All normal scores are equal ({highest:g}), so no threshold separates any of the normal pixels."
        )
    if share >= upper:
        raise InputError(
            f"The highest normal score, {highest:g}, is that of {100 * share:.3f} % of the normal pixels, so no "
            f"threshold has a shared FPR between 0 and the upper bound {upper:g}; the scores are clipped or too "
            "coarse: use the raw, unclipped scores."
        )


def just_above(curve: SharedFPR) -> np.floating:
    """Give a number just above the highest normal score: a threshold of shared FPR 0."""
    with np.errstate(over="ignore"):  # above the largest number of the dtype there is infinity
        return np.nextafter(curve.scores[0], curve.scores.dtype.type(np.inf))


def threshold_bounds(curve: SharedFPR, lower: float, upper: float) -> tuple[float, float]:
    """Find the thresholds where the shared FPR reaches U and L: the lower threshold first, as in published files.

    Should one group of ties cross both bounds, the second is the next higher score.
    """
    low, high = curve.position(upper), curve.position(lower)
    if high < low:
        return float(curve.scores[low]), float(curve.scores[high])
    return float(curve.scores[low]), float(curve.scores[low - 1] if low else just_above(curve))


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


def aupimo_scores(
    anomaly_maps: Images,
    masks: Images,
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
    *,
    force: bool = False,
) -> "Tensor":
    """Compute the exact AUPIMO of each image.

    Args:
        anomaly_maps: Anomaly scores, higher is more anomalous: a tensor or array (N, H, W) or (N, 1, H, W), or a
            sequence of (H, W) of different sizes; float16, bfloat16, float32 or float64, on any device.
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

        >>> import torch
        >>> maps, masks = torch.rand(9, 128, 128), torch.zeros(9, 128, 128, dtype=torch.bool)
        >>> masks[8, 32:96, 32:96] = True
        >>> maps[8, 32:64] += 2
        >>> aupimo_scores(maps, masks)[-2:].round(decimals=2).tolist()
        [nan, 0.5]
    """
    lower, upper = checks.check_bounds(fpr_bounds)
    stacks = checks.make_stacks(anomaly_maps, masks)
    normal = normals(stacks)
    if not force:
        checks.check_enough_normal_pixels(normal.num_pixels, lower)
    curve = normal.top(upper)
    check_operating_points(curve, 1.0 if force else upper)
    table = lengths(curve, lower, upper)
    scores = np.full(len(image_counts(stacks)), np.nan)
    for positions, counts, of_masks in mask_scores(stacks):
        scores[positions] = mean_lengths(counts, of_masks, table)
    return to_tensor(scores, anomaly_maps)
