"""What must be remembered of images that have passed, to compute AUPIMO once all have.

Of a normal image only its highest scores can matter, because only thresholds with a small shared FPR count: a share
``keep`` of its pixels is kept, and how far down the kept scores are complete, the image's floor. At and above the
highest floor of all images nothing is missing, so the shared FPR is exact there. If it reaches the upper FPR bound
within that range, the result is certified: no score that was dropped could change it. Of an anomalous image, the
scores of its mask's pixels are kept.

With N normal images no image can hold more than N * U of its pixels above the threshold of the upper bound U, so the
result is always certified for ``N <= keep / U`` (100 images by default), and beyond that unless a single normal image
has more than ``keep`` of its pixels there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics.checks import Stack, UncertifiedError
from aupimo_helpers.metrics.exact import NormalScores, SharedFPR

_SAMPLES = 2**13


@dataclass(frozen=True)
class Memory:
    """What is kept of some images: three tensors that are joined with others' by concatenation.

    Attributes:
        scores: Kept scores, image after image, shape (n,), of the maps' dtype.
        floors: Per image the score down to which the kept scores are complete, shape (N,), of the maps' dtype; minus
            infinity if nothing was dropped.
        records: Four numbers per image, shape (4 N,), int64: whether it is anomalous (1) or normal (0); the number of
            pixels of a normal image or of an anomalous image's mask; how many of ``scores`` are the image's; how many
            pixels of a normal image tie with its floor (these are not in ``scores``).
    """

    scores: Tensor
    floors: Tensor
    records: Tensor

    @property
    def table(self) -> np.ndarray:
        """The records, shape (N, 4)."""
        return self.records.cpu().numpy().reshape(-1, 4)

    @property
    def nbytes(self) -> int:
        """Bytes of the three tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.scores, self.floors, self.records))


def join(memories: Sequence[Memory]) -> Memory:
    """Join what is kept of several batches or processes.

    Args:
        memories: At least one.

    Returns:
        The memory of all images, in order.

    Example:
        >>> empty = Memory(torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        >>> join([empty, empty]).nbytes
        0
    """
    return Memory(
        torch.cat([memory.scores for memory in memories]),
        torch.cat([memory.floors for memory in memories]),
        torch.cat([memory.records for memory in memories]),
    )


def keep_highest(scores: Tensor, keep: float) -> tuple[np.ndarray, float, int]:
    """Keep the highest scores of an image.

    Args:
        scores: Scores of all pixels, shape (pixels,), float32 or float64.
        keep: Share of the pixels to keep, in (0, 1].

    Returns:
        The kept scores in no particular order; the floor, itself not among them; and how many pixels tie with it. If
        ``keep`` covers all pixels: all scores, minus infinity, and 0.

    Example:
        >>> kept, floor, ties = keep_highest(torch.tensor([5.0, 1.0, 4.0, 4.0, 2.0]), 0.4)
        >>> kept.tolist(), floor, ties
        ([5.0], 4.0, 2)
    """
    number = math.ceil(keep * len(scores))
    if number >= len(scores):
        return exact.as_numpy(scores).copy(), -math.inf, 0
    # a sample tells which threshold is probably low enough: cheaper than ordering the whole image
    sample = np.sort(exact.as_numpy(scores[:: max(1, len(scores) // _SAMPLES) | 1]))[::-1]
    rank = int(keep * len(sample) + 4 * math.sqrt(keep * len(sample)) + 8)
    while True:
        threshold = float(sample[rank]) if rank < len(sample) else -math.inf
        candidates, _ = exact.pick(scores[None], exact.at_least(scores, threshold)[None])
        if len(candidates) >= number:
            floor = np.partition(candidates, len(candidates) - number)[len(candidates) - number]
            return candidates[candidates > floor], float(floor), int((candidates == floor).sum())
        rank *= 4


def remember(stack: Stack, keep: float) -> Memory:
    """Take from images what must be kept.

    Args:
        stack: Images of one size.
        keep: Share of a normal image's pixels to keep, in (0, 1].

    Returns:
        What is kept; a few per cent of the images' bytes.

    Raises:
        InputError: If a score is NaN or infinite.

    Example:
        >>> stack = checks.make_stack(torch.rand(2, 10, 10), torch.zeros(2, 10, 10, dtype=torch.bool))
        >>> remember(stack, 0.1).table.tolist()
        [[0, 100, 9, 1], [0, 100, 9, 1]]
    """
    number = len(stack.is_anomalous)
    scores: list[np.ndarray] = [np.zeros(0)] * number
    floors = np.full(number, -math.inf)
    records = np.zeros((number, 4), dtype=np.int64)
    for positions, counts, of_masks in exact.mask_scores([stack]):
        for index, kept in zip((positions - stack.first).tolist(), exact.split(counts, of_masks), strict=True):
            scores[index], records[index] = kept, (1, len(kept), len(kept), 0)
    for position, images in exact.normal_pieces(stack):
        for index, image in enumerate(images, start=position - stack.first):
            scores[index], floors[index], ties = keep_highest(image.flatten(), keep)
            records[index] = 0, stack.image_pixels, len(scores[index]), ties
    return Memory(
        torch.from_numpy(np.concatenate(scores) if scores else np.zeros(0)).to(stack.maps),
        torch.from_numpy(floors).to(stack.maps),
        torch.from_numpy(records.reshape(-1)).to(stack.maps.device),
    )


def normal_curve(memory: Memory) -> SharedFPR:
    """Compute the shared FPR as far down as the kept scores are complete.

    Args:
        memory: What is kept of all images, at least one of them normal.

    Returns:
        The shared FPR, exact, at each distinct normal score from the highest floor upwards.
    """
    table, floors, scores = memory.table, exact.as_numpy(memory.floors), exact.as_numpy(memory.scores)
    normal = table[:, 0] == 0
    complete_to = floors[normal].max()
    of_normal = np.repeat(normal, table[:, 2])
    pixels = np.repeat(table[:, 1], table[:, 2])[of_normal]
    scores = scores[of_normal]
    pixels, scores = pixels[scores >= complete_to], scores[scores >= complete_to]
    tied = normal & (table[:, 3] > 0) & (floors >= complete_to)
    parts = []
    for size in np.unique(table[normal, 1]).tolist():
        parts.append(NormalScores(size, scores[pixels == size]))
        here = tied & (table[:, 1] == size)
        if here.any():
            parts.append(NormalScores(size, floors[here], table[here, 3]))
    return exact.shared_fpr(parts, int(normal.sum()))


def certified_curve(memory: Memory, upper: float) -> SharedFPR:
    """Compute the shared FPR and make sure that it is known down to the upper bound.

    Args:
        memory: What is kept of all images, at least one of them normal.
        upper: Upper bound of the shared FPR.

    Returns:
        The shared FPR, exact; its last value is at least ``upper``.

    Raises:
        UncertifiedError: If a score that was dropped could have changed the shared FPR at or below ``upper``.
    """
    curve = normal_curve(memory)
    if curve.fpr[-1] < upper:
        table, floors = memory.table, exact.as_numpy(memory.floors)
        worst = int(np.argmax(np.where(table[:, 0] == 0, floors, -np.inf)))
        share = (table[worst, 2] + table[worst, 3]) / table[worst, 1]
        msg = (
            f"The kept scores of the normal images are complete only to a shared FPR of {curve.fpr[-1]:.3g}, below "
            f"the upper bound {upper:g}: the {share:.2%} of pixels that were kept of {checks.image_name(worst)} all "
            f"score at least {floors[worst]:g}; create the metric with a larger `keep` (keep=1.0 drops nothing)."
        )
        raise UncertifiedError(msg)
    return curve


def prune(memory: Memory, fpr: float) -> Memory:
    """Drop normal scores below the one at which the shared FPR reaches ``fpr``, so far.

    Args:
        memory: What is kept of the images so far.
        fpr: Shared FPR down to which scores stay.

    Returns:
        A smaller memory with higher floors; the same one if nothing can be dropped.
    """
    table, scores, floors = memory.table, exact.as_numpy(memory.scores), exact.as_numpy(memory.floors)
    if not (table[:, 0] == 0).any():
        return memory
    curve = normal_curve(memory).down_to(fpr)
    floor = curve.scores[-1]
    image = np.repeat(np.arange(len(table)), table[:, 2])
    normal = table[:, 0] == 0
    stays = ~normal[image] | (scores >= floor)
    raised = normal & (floors < floor)
    table = table.copy()
    table[:, 2] = np.bincount(image[stays], minlength=len(table))
    table[raised, 3] = 0
    device, dtype = memory.scores.device, memory.scores.dtype
    return Memory(
        torch.from_numpy(scores[stays]).to(device, dtype),
        torch.from_numpy(np.where(raised, floor, floors)).to(device, dtype),
        torch.from_numpy(table.flatten()).to(device),
    )


def scores_of_memory(memory: Memory, curve: SharedFPR, lower: float, upper: float) -> np.ndarray:
    """Compute AUPIMO per image from what is kept.

    Args:
        memory: What is kept of all images.
        curve: The shared FPR, known down to ``upper``.
        lower: Lower bound L.
        upper: Upper bound U.

    Returns:
        Shape (N,), float64; NaN for normal images.
    """
    curve = curve.down_to(upper)
    table = exact.lengths(curve, lower, upper)
    aupimos = np.full(len(memory.floors), np.nan)
    anomalous, counts, scores = _mask_scores(memory)
    aupimos[anomalous] = exact.mean_lengths(counts, scores, table)
    return aupimos


def recalls_of_memory(memory: Memory, thresholds: np.ndarray) -> np.ndarray:
    """Compute the TPR of each image at each threshold from what is kept.

    Args:
        memory: What is kept of all images.
        thresholds: Shape (K,).

    Returns:
        Shape (N, K), float64; NaN rows for normal images.
    """
    tprs = np.full((len(memory.floors), len(thresholds)), np.nan)
    anomalous, counts, scores = _mask_scores(memory)
    tprs[anomalous] = exact.recalls(counts, scores, thresholds)
    return tprs


def _mask_scores(memory: Memory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give which images are anomalous (shape (N,)), the pixels of each one's mask, and the scores of these."""
    table = memory.table
    anomalous = table[:, 0] == 1
    return anomalous, table[anomalous, 2], exact.as_numpy(memory.scores)[np.repeat(anomalous, table[:, 2])]
