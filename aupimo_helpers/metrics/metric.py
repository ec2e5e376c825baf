"""The exact AUPIMO as a metric for anomalib and torchmetrics."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from anomalib.metrics.base import AnomalibMetric
from anomalib.metrics.pimo.dataclasses import AUPIMOResult, PIMOResult
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import checks, exact
from aupimo_helpers.metrics import memory as accumulate
from aupimo_helpers.metrics.exact import SharedFPR
from aupimo_helpers.metrics.memory import Memory

# Scores of normal images (16 MiB in float32) after which those that have become too low are dropped
_SCORES_AT_MOST = 2**22
_POINTS_BELOW, _POINTS_BETWEEN, _POINTS_ABOVE = 50, 300, 100


class _ExactAUPIMO(Metric):
    """The exact AUPIMO as a torchmetrics metric: ``update(anomaly_maps, masks)``, ``compute()``."""

    is_differentiable: bool = False
    higher_is_better: bool | None = True
    full_state_update: bool = False

    scores: list[Tensor]
    floors: list[Tensor]
    records: list[Tensor]

    def __init__(
        self,
        num_thresholds: int | None = None,
        fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
        return_average: bool = True,
        force: bool = False,
        *,
        keep: float | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**kwargs)
        if num_thresholds is not None:
            _explain_num_thresholds(num_thresholds)
        self.fpr_bounds = checks.check_bounds(fpr_bounds)
        self.return_average = return_average
        self.force = force
        self.keep = min(1.0, 100 * self.fpr_bounds[1]) if keep is None else checks.check_rate(keep, "keep")
        if self.keep < self.fpr_bounds[1]:
            msg = f"Expected keep to be at least the upper FPR bound {self.fpr_bounds[1]:g}, but got {keep}."
            raise InputError(msg)
        self._scores_at_most = _SCORES_AT_MOST
        for name in ("scores", "floors", "records"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def __repr__(self) -> str:
        lower, upper = self.fpr_bounds
        return f"{self.__class__.__name__}([{lower:.2g}, {upper:.2g}])"

    @staticmethod
    def normalizing_factor(fpr_bounds: tuple[float, float]) -> float:
        """Give ln(U / L), the largest value that the integral can have.

        Args:
            fpr_bounds: Lower and upper bound of the shared FPR.

        Returns:
            The factor that the integral is divided by.

        Raises:
            InputError: If the bounds are out of order or out of (0, 1].

        Example:
            >>> round(AUPIMO.normalizing_factor((1e-5, 1e-4)), 3)
            2.303
        """
        lower, upper = checks.check_bounds(fpr_bounds)
        return math.log(upper / lower)

    @property
    def memory(self) -> Memory:
        """What is kept of the images so far, on this process (or of all, while synchronised)."""
        # after a synchronisation torchmetrics leaves a tensor where there was a list
        states = [
            [state] if isinstance(state, Tensor) else state for state in (self.scores, self.floors, self.records)
        ]
        if not states[0]:
            return Memory(torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        return Memory(*(torch.cat(state) for state in states))

    @property
    def num_images(self) -> int:
        """Number of images so far."""
        return len(self.memory.floors)

    @property
    def image_classes(self) -> Tensor:
        """Class of each image so far, shape (N,), int32: 0 normal, 1 anomalous."""
        return self.memory.records[::4].to(torch.int32)

    def update(self, anomaly_maps: Tensor, masks: Tensor) -> None:
        """Take what can matter from a batch of images.

        Args:
            anomaly_maps: Scores, shape (N, H, W), floating point. Batches may differ in size.
            masks: 0 / 1 or bool, same shape.

        Raises:
            TypeError: If the maps are not floating point or the masks are.
            InputError: If the shapes differ or are not (N, H, W), a score is NaN or infinite, or a mask is not
                two-valued. The message counts the images from 0 over all updates.
        """
        first = sum(len(floors) for floors in self.floors)
        maps, masks = checks.as_tensor(anomaly_maps, "anomaly maps"), checks.as_tensor(masks, "masks")
        self._append(accumulate.remember(checks.make_stack(maps, masks, first), self.keep))
        if sum(len(scores) for scores in self.scores) > self._scores_at_most:
            self._prune()

    def _append(self, memory: Memory) -> None:
        self.scores.append(memory.scores)
        self.floors.append(memory.floors)
        self.records.append(memory.records)

    def _prune(self) -> None:
        memory = accumulate.prune(self.memory, self.keep / 5)
        self.scores, self.floors, self.records = [], [], []
        self._append(memory)
        self._scores_at_most = max(_SCORES_AT_MOST, 2 * len(memory.scores))

    def _sync_dist(
        self,
        dist_sync_fn: Callable = gather_all_tensors,
        process_group: Any = None,  # noqa: ANN401
    ) -> None:
        # for a process that saw no image, torchmetrics would send a float32 tensor where the others send integers
        if not self.records:
            self.records.append(torch.zeros(0, dtype=torch.int64, device=self.device))
        super()._sync_dist(dist_sync_fn, process_group)

    def compute(self, force: bool | None = None) -> Tensor | tuple[PIMOResult, AUPIMOResult]:
        """Compute the score from what was kept.

        Args:
            force: Overrides the constructor's argument.

        Returns:
            The mean AUPIMO of the anomalous images, a float64 scalar; or, if ``return_average`` is False, the PIMO
            curves and the AUPIMO scores in anomalib's types. The curves have a few hundred points, all exact, from
            FPR 0 (or one pixel) up to where the kept scores are complete, always beyond the upper bound.

        Raises:
            RuntimeError: If ``update`` was not called.
            InputError: If there is no normal or no anomalous image, or (unless forced) fewer than 1 / L normal
                pixels, or no threshold with a shared FPR in (0, U).
            UncertifiedError: (a ``RuntimeError``) If a score that was dropped could have changed the result.
        """
        memory = self.memory
        if not len(memory.floors):
            msg = "No anomaly maps and masks have been added yet: call `update` before `compute`."
            raise RuntimeError(msg)
        force = self.force if force is None else force
        lower, upper = self.fpr_bounds
        table = memory.table
        normal = table[:, 0] == 0
        checks.check_both_classes(int(normal.sum()), int((~normal).sum()))
        if not force:
            checks.check_enough_normal_pixels(int(table[normal, 1].sum()), lower)
        curve = accumulate.certified_curve(memory, upper)
        exact.check_operating_points(curve, 1.0 if force else upper)
        aupimos = accumulate.scores_of_memory(memory, curve, lower, upper)
        device = memory.floors.device
        if self.return_average:
            # fsum rounds once, so the order of the images (which differs between processes) does not show
            average = math.fsum(aupimos[~normal].tolist()) / int((~normal).sum())
            return exact.on_device(np.array(average), device)
        pimo_result = _pimo_result(memory, curve, lower, upper)
        inside = int(((curve.fpr >= lower) & (curve.fpr <= upper)).sum())
        lowest, highest = exact.threshold_bounds(curve, lower, upper)
        return pimo_result, AUPIMOResult(
            fpr_lower_bound=lower,
            fpr_upper_bound=upper,
            num_thresholds=inside if inside >= 2 else None,
            thresh_lower_bound=lowest,
            thresh_upper_bound=highest,
            aupimos=exact.on_device(aupimos, device),
        )


class AUPIMO(AnomalibMetric, _ExactAUPIMO):  # type: ignore[misc]
    """Area under the per-image overlap curve, exact: a drop-in for ``anomalib.metrics.AUPIMO``.

    It keeps, of each normal image, the highest scores only, and of each anomalous image the scores of its mask's
    pixels; ``compute`` makes sure that nothing that was dropped could have changed the result. It works as a test
    metric of anomalib's ``Evaluator``, by hand with ``update(batch)`` and ``compute()``, and across processes
    (Lightning's DDP), where it gives the same score, bit for bit, as on one.

    Untested on CUDA: no GPU was at hand.

    Args:
        num_thresholds: Not needed: there is no grid of thresholds. Accepted so that code written for anomalib's
            class runs; giving it causes a warning that says so.
        fpr_bounds: Bounds L and U of the shared FPR, ``0 < L < U <= 1``.
        return_average: Whether ``compute`` returns the mean over the anomalous images, or the results per image.
        force: Compute also where the result says little: fewer than 1 / L normal pixels, or normal scores so
            saturated that no threshold has a shared FPR in (0, U).
        keep: Share of a normal image's pixels whose scores are kept, in [U, 1]; 100 U by default (1 % at the default
            bounds). Larger if ``compute`` asks for it, or to have the PIMO curves over a longer range; 1.0 keeps all.
        fields: Fields of the batch, ``("anomaly_map", "gt_mask")`` by default.
        prefix: Put before the metric's name in a log.
        strict: Whether a batch that lacks a field is an error.

    Raises:
        TypeError: If ``num_thresholds`` is not an integer or the bounds are not two numbers.
        InputError: (a ``ValueError``) If a value is out of its range.

    Example:
        >>> from anomalib.data import ImageBatch
        >>> maps, masks = torch.rand(9, 128, 128), torch.zeros(9, 128, 128, dtype=torch.bool)
        >>> masks[8, 32:96, 32:96] = True
        >>> maps[8, 32:64] += 2
        >>> metric = AUPIMO()
        >>> metric.update(ImageBatch(image=torch.zeros(9, 3, 128, 128), anomaly_map=maps, gt_mask=masks))
        >>> round(float(metric.compute()), 2)
        0.5
    """

    default_fields: Sequence[str] = ("anomaly_map", "gt_mask")

    def compute(self, force: bool | None = None) -> Tensor | tuple[PIMOResult, AUPIMOResult] | None:  # type: ignore[override]
        """Compute the score: see the class.

        Args:
            force: Overrides the constructor's argument.

        Returns:
            The average, or the PIMO and the AUPIMO results; None if the metric is not strict and saw no image.

        Raises:
            RuntimeError: If ``update`` was not called, or (``UncertifiedError``) the result cannot be certified.
            InputError: If a class of images is missing or there is too little to compute from.
        """
        if self._update_count == 0 and not self.strict:
            return None
        return _ExactAUPIMO.compute(self, force)


def _explain_num_thresholds(num_thresholds: int) -> None:
    if isinstance(num_thresholds, bool) or not isinstance(num_thresholds, int):
        msg = f"Expected num_thresholds to be an integer, but got {num_thresholds!r}."
        raise TypeError(msg)
    if num_thresholds < 2:
        msg = f"Expected num_thresholds to be at least 2, but got {num_thresholds}."
        raise InputError(msg)
    warnings.warn(
        f"num_thresholds={num_thresholds} is not needed: this AUPIMO is exact at every distinct score of the normal "
        "images, so there is no grid of thresholds whose fineness matters.",
        UserWarning,
        stacklevel=3,
    )


def _pimo_result(memory: Memory, curve: SharedFPR, lower: float, upper: float) -> PIMOResult:
    targets = [
        np.geomspace(min(curve.fpr[0], lower), lower, _POINTS_BELOW),
        np.geomspace(lower, upper, _POINTS_BETWEEN),
        np.geomspace(upper, curve.fpr[-1], _POINTS_ABOVE) if curve.fpr[-1] > upper else [],
        # the points next to the bounds, so that the nearest one to a bound is that of the full curve
        curve.fpr[[max(0, curve.position(bound) - 1) for bound in (lower, upper)]],
        [lower, upper],
    ]
    points = exact.points_near(curve, np.concatenate(targets))
    scores, fpr = points.scores, points.fpr
    if fpr[0] > lower:
        scores, fpr = np.append(exact.just_above(curve), scores), np.append(0.0, fpr)
    ascending = scores[::-1].copy()
    device = memory.floors.device
    return PIMOResult(
        thresholds=exact.on_device(ascending.astype(np.float64), device),
        shared_fpr=exact.on_device(fpr[::-1], device),
        per_image_tprs=exact.on_device(accumulate.recalls_of_memory(memory, ascending), device),
    )
