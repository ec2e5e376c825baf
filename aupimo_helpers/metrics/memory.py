"""What must be remembered of images that have passed, to compute AUPIMO once all have.

All scores of normal images are kept until a budget is full. Then one floor is raised, for all images: what is below
it is dropped, at least half a budget of the highest scores stays, and images that come later are compared with the
floor. The floor is raised again whenever the budget is full again. At and above it nothing is missing, so the shared
FPR is exact there; if it reaches the upper bound U within that range, the result is certified: no score that was
dropped could change it. Of an anomalous image, the scores of its mask's pixels are kept; those below the floor are
dropped now and then, and only counted: they add nothing at any threshold above it.

With N normal images of at most p pixels the shared FPR at the floor is at least (budget / 2) / (N p). So nothing is
ever refused for N p <= budget / (2 U), for any order of the images and any split over processes (of which the highest
floor counts): 2e10 pixels at the default bounds, 320,000 images of 256 x 256. For larger sets the budget grows with
the set, to at least 8 U N p scores; then only a set whose first images score far higher than its later ones can be
refused.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from aupimo_helpers.errors import AupimoError
from aupimo_helpers.metrics import exact
from aupimo_helpers.metrics.checks import Stack
from aupimo_helpers.metrics.exact import Normals, NormalScores, SharedFPR

# Scores: 16 MiB in float32; and, for high bounds, what is enough for this many normal pixels in any order
_BUDGET, _PIXELS_IN_ANY_ORDER = 2**22, 2**28
_SAMPLES = 2**14
_CHUNKS = 32  # where there are twice as many, the newer half is joined
_RUN = -1  # in the column of mask pixels: this row is not an image, but says which normal scores come next
DTYPES = ("float16", "bfloat16", "float32", "float64")


class UncertifiedError(AupimoError, RuntimeError):
    """A score that was not kept could have changed the answer, so there is no answer."""


def default_budget(upper: float) -> int:
    """Give the number of normal scores to keep, at the upper bound of the shared FPR."""
    return max(_BUDGET, math.ceil(2 * upper * _PIXELS_IN_ANY_ORDER))


@dataclass
class Memory:
    """What is kept of some images: lists of arrays that are joined with others' by concatenation.

    A row of ``records`` (4 integers) is an image: its pixels, those of its mask (0: normal), how many of ``masks``
    are its own, which of ``DTYPES`` its map had. Or it is a run of normal scores: pixels of the images, ``_RUN``, how
    many of ``normal`` and how many of ``counts`` (all or none) come next.
    """

    upper: float
    budget: int
    normal: list[np.ndarray] = field(default_factory=list)
    counts: list[np.ndarray] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    records: list[np.ndarray] = field(default_factory=list)
    floors: list[np.ndarray] = field(default_factory=list)

    @property
    def lists(self) -> tuple[list[np.ndarray], ...]:
        """What is kept, in the order of the fields."""
        return self.normal, self.counts, self.masks, self.records, self.floors

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return sum(array.nbytes for arrays in self.lists for array in arrays)

    @property
    def images(self) -> np.ndarray:
        """The images' rows of the records, (N, 4)."""
        table = _joined(self.records, np.int64).reshape(-1, 4)
        return table[table[:, 1] != _RUN]

    @property
    def floor(self) -> float:
        """The score from which on all of the normal scores are there."""
        return float(_joined(self.floors).max(initial=-math.inf))

    def add(self, stack: Stack) -> None:
        """Take what can matter from images, and raise the floor if that is too much."""
        new = list(exact.normal_parts(stack))
        room = self.budget - sum(map(len, self.normal)) - sum(len(part.scores) for part in new)
        rows = np.zeros((len(stack.mask_pixels), 4), dtype=np.int64)
        rows[:, 0], rows[:, 3] = stack.pixels, DTYPES.index(stack.dtype)
        rows[:, 1] = rows[:, 2] = stack.mask_pixels
        self.masks.append(stack.mask_scores)
        self.records.append(rows.ravel())
        self.floors = self.floors or [np.array([-math.inf])]
        floor = self.floor
        if room < 0 and room + self._grown() - self.budget < 0:
            self._raise_floor(new)
        else:
            self._append(exact.select(new, floor) if floor > -math.inf else map(NormalScores.copy, new))
        if len(self.masks) > 2 * _CHUNKS and self.floor > -math.inf:
            self._keep_from(self.floor, self._parts())
        for chunks in self.lists:
            if len(chunks) > 2 * _CHUNKS:
                chunks[_CHUNKS:] = [np.concatenate(chunks[_CHUNKS:])]

    def _grown(self) -> int:
        """The budget for the images so far."""
        images = self.images
        normal = images[images[:, 1] == 0]
        return max(self.budget, math.ceil(8 * self.upper * len(normal) * normal[:, 0].max(initial=0)))

    def _append(self, parts: Iterable[NormalScores]) -> None:
        for part in parts:
            counts = np.zeros(0, dtype=np.int64) if part.counts is None else part.counts
            self.normal.append(part.scores)
            self.counts.append(counts)
            self.records.append(np.array([part.pixels, _RUN, len(part.scores), len(counts)]))

    def _parts(self) -> list[NormalScores]:
        table = _joined(self.records, np.int64).reshape(-1, 4)
        runs = table[table[:, 1] == _RUN]
        if len(set(runs[:, 0].tolist())) <= 1 and not runs[:, 3].any():  # without a copy
            parts = [NormalScores(int(runs[0, 0]), chunk) for chunk in self.normal]
        else:
            scores = np.split(_joined(self.normal), np.cumsum(runs[:, 2])[:-1])
            counts = np.split(_joined(self.counts, np.int64), np.cumsum(runs[:, 3])[:-1])
            parts = [
                NormalScores(pixels, of_run, how_often if len(how_often) == len(of_run) else None)
                for pixels, of_run, how_often in zip(runs[:, 0].tolist(), scores, counts, strict=True)
            ]
        floors = _joined(self.floors)
        if len(floors) and floors.min() < floors.max():  # several processes
            parts = exact.select(parts, self.floor)
        return parts

    def _raise_floor(self, new: Sequence[NormalScores]) -> None:
        """Drop the lowest scores of these and of what was kept: a half to three quarters of the budget stay."""
        parts, budget = [*self._parts(), *new], self._grown()
        few = exact.sample(parts, _SAMPLES)
        rank = int(0.55 * budget * len(few) / sum(len(part.scores) for part in parts))
        while True:
            floor = max(self.floor, float(few[rank]) if rank < len(few) else -math.inf)
            kept = exact.select(parts, floor)
            number = sum(len(part.scores) for part in kept)
            if 2 * number >= budget or floor == self.floor:
                break
            rank = 2 * rank + 8
        if 4 * number > 3 * budget:  # ties, perhaps, or an unlucky sample
            kept = [NormalScores(pixels, *counted) for pixels, counted in exact.tally(kept).items()]
            scores = np.concatenate([part.scores for part in kept])
            if 4 * len(scores) > 3 * budget:
                place = len(scores) - budget // 2
                floor = float(np.partition(scores, place)[place])
                kept = exact.select(kept, floor)
        self._keep_from(floor, kept)

    def _keep_from(self, floor: float, kept: Sequence[NormalScores]) -> None:
        images, scores = self.images, _joined(self.masks)
        stays = scores >= floor
        images[:, 2] = exact.count_true(stays, images[:, 2])
        self.normal, self.counts, self.masks, self.floors = [], [], [scores.compress(stays)], [np.array([floor])]
        self.records = [images.ravel()]
        self._append(kept)

    def normals(self) -> Normals:
        """Give the normal images, with their scores from the floor on."""
        images = self.images
        pixels = images[images[:, 1] == 0, 0]
        return Normals(self._parts(), len(pixels), int(pixels.sum()))

    def certified(self, normals: Normals, fpr: float) -> SharedFPR:
        """Compute the shared FPR down to ``fpr`` or the floor, or say that this is not down to the upper bound."""
        curve = normals.top(fpr)
        if curve.fpr[-1] < self.upper:
            images = self.images
            largest = int(images[images[:, 1] == 0, 0].max())
            raise UncertifiedError(
                f"The kept scores of the normal images are complete only to a shared FPR of {curve.fpr[-1]:.3g}, "
                f"below the upper bound {self.upper:g}: for {normals.num_images} normal images of up to {largest} "
                f"pixels in this order a budget of {self.budget} scores is too small; with "
                f"budget={math.ceil(2 * self.upper * normals.num_images * largest)} any order will do."
            )
        return curve

    def per_image(self, compute: Callable[..., np.ndarray], *arguments: object) -> np.ndarray:
        """Compute something of each image from the scores of its mask; NaN for normal images."""
        images = self.images
        anomalous = images[:, 1] > 0
        mask_pixels, kept, scores = images[anomalous, 1], images[anomalous, 2], _joined(self.masks)
        computed = [
            compute(mask_pixels[some], scores[of_these], *arguments, kept=kept[some])
            for some, of_these in exact.in_groups(kept)
        ]
        everything = np.full((len(images), *computed[0].shape[1:]), np.nan)
        everything[anomalous] = np.concatenate(computed)
        return everything


def _joined(chunks: Sequence[np.ndarray], dtype: type = np.float32) -> np.ndarray:
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks) if chunks else np.zeros(0, dtype)
