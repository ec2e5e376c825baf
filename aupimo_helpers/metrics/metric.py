"""The exact AUPIMO as a metric for anomalib and torchmetrics."""

import copy
import math
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from anomalib.metrics.base import AnomalibMetric
from anomalib.metrics.pimo.dataclasses import AUPIMOResult, PIMOResult
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from aupimo_helpers.metrics import checks, curves, exact
from aupimo_helpers.metrics.exact import Normals, SharedFPR
from aupimo_helpers.metrics.memory import DTYPES, Memory, default_budget

_POINTS_BELOW, _POINTS_BETWEEN, _POINTS_ABOVE = 50, 300, 100
# So many normal scores are sorted for the curves; the points at higher FPRs are chosen from a sample of the scores.
_SORTED, _SAMPLES = 2**17, 2**15
_FLOATS, _INTEGERS = ("normal", "masks", "floors"), ("counts", "records")
Results = Tensor | tuple[PIMOResult, AUPIMOResult]


class _ExactAUPIMO(Metric):
    """The exact AUPIMO as a torchmetrics metric: ``update(anomaly_maps, masks)``, ``compute()``."""

    is_differentiable: bool = False
    higher_is_better: bool | None = True
    full_state_update: bool = False

    def __init__(
        self,
        num_thresholds: int | None = None,
        fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
        return_average: bool = True,
        force: bool = False,
        *,
        budget: int | None = None,
        keep: float | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**kwargs)
        if num_thresholds is not None:
            checks.check_integer(num_thresholds, "num_thresholds", 2)
            _not_needed(
                f"num_thresholds={num_thresholds}",
                "this AUPIMO is exact at every distinct score of the normal images, so there is no grid of "
                "thresholds whose fineness matters",
            )
        if keep is not None:
            checks.check_rate(keep, "keep")
            _not_needed(
                f"keep={keep}",
                "a budget for the whole set has taken its place, and the next version will not accept it",
            )
        self.fpr_bounds = checks.check_bounds(fpr_bounds)
        self.return_average = return_average
        self.force = force
        upper = self.fpr_bounds[1]
        self.budget = default_budget(upper) if budget is None else checks.check_integer(budget, "budget", 2)
        self._maps_device: torch.device | None = None
        for name in (*_FLOATS, *_INTEGERS):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        # What decides which scores are kept. In a MetricCollection, metrics with equal states share them: this state
        # keeps apart those that have seen nothing yet that they treat unequally.
        fields = zlib.crc32(repr(getattr(self, "fields", None)).encode())
        self.add_state("policy", default=torch.tensor([self.budget, 1 / upper, fields]), dist_reduce_fx="max")

    def __repr__(self) -> str:
        lower, upper = self.fpr_bounds
        return f"{self.__class__.__name__}([{lower:.2g}, {upper:.2g}])"

    @staticmethod
    def normalizing_factor(fpr_bounds: tuple[float, float]) -> float:
        """Give ln(U / L), the largest value that the integral can have."""
        lower, upper = checks.check_bounds(fpr_bounds)
        return math.log(upper / lower)

    @property
    def memory(self) -> Memory:
        """What is kept of the images so far, on this process (or of all, while synchronised)."""
        memory = Memory(self.fpr_bounds[1], self.budget)
        for name in (*_FLOATS, *_INTEGERS):
            state = getattr(self, name)  # after a synchronisation, a tensor where there was a list
            chunks = [state] if isinstance(state, Tensor) else state
            getattr(memory, name).extend(chunk.cpu().numpy() for chunk in chunks)
        return memory

    @property
    def num_images(self) -> int:
        """Number of images so far."""
        return len(self.memory.images)

    @property
    def image_classes(self) -> Tensor:
        """Class of each image so far, shape (N,), int32: 0 normal, 1 anomalous."""
        return self._on_device(self.memory.images[:, 1] > 0).to(torch.int32)

    def _on_device(self, values: np.ndarray) -> Tensor:
        device = self._maps_device or self.device
        tensor = torch.from_numpy(values.copy())
        return tensor if device.type == "mps" else tensor.to(device)  # MPS has no float64

    def update(self, anomaly_maps: Tensor, masks: Tensor) -> None:
        """Take what can matter from a batch of images, (N, H, W) or (N, 1, H, W); batches may differ in size."""
        memory = self.memory
        memory.add(checks.make_stack(anomaly_maps, masks, first=len(memory.images)))
        for name in (*_FLOATS, *_INTEGERS):
            setattr(self, name, [torch.from_numpy(chunk) for chunk in getattr(memory, name)])
        self._maps_device = torch.device(getattr(anomaly_maps, "device", "cpu"))

    def forward(self, *args: Any, **kwargs: Any) -> Results | None:  # noqa: ANN401
        """Take a batch, and give its own score (forced): NaN, or None for results per image, where it has none."""
        self.update(*args, **kwargs)
        batch = copy.copy(self)
        batch._to_sync, batch._update_count = self.dist_sync_on_step, 0
        for name in (*_FLOATS, *_INTEGERS):
            setattr(batch, name, [])
        batch.update(*args, **kwargs)
        normals = batch.memory.normals()
        score: Results | None = torch.tensor(math.nan, dtype=torch.float64) if self.return_average else None
        if 0 < normals.num_images < batch.num_images and normals.top(1e-9).fpr[0] < 1:
            score = batch.compute(force=True)
        self._forward_cache = score  # type: ignore[assignment]
        return score

    def _sync_dist(
        self,
        dist_sync_fn: Callable = gather_all_tensors,
        process_group: Any = None,  # noqa: ANN401
    ) -> None:
        # processes whose maps have different dtypes, or that saw no image, must send tensors of one dtype
        for names, dtype in ((_FLOATS, torch.float64), (_INTEGERS, torch.int64)):
            for name in names:
                empty = torch.zeros(0, dtype=dtype, device=self.device)
                setattr(self, name, [torch.cat([empty, *(chunk.to(empty) for chunk in getattr(self, name))])])
        super()._sync_dist(dist_sync_fn, process_group)

    def compute(self, force: bool | None = None) -> Results:
        """Compute the score from what was kept: see the class."""
        memory = self.memory
        images = memory.images
        if not len(images):
            raise RuntimeError("No anomaly maps and masks have been added yet: call `update` before `compute`.")
        force = self.force if force is None else force
        lower, upper = self.fpr_bounds
        normal = images[:, 1] == 0
        checks.check_both_classes(int(normal.sum()), int((~normal).sum()))
        normals = memory.normals()
        if not force:
            checks.check_enough_normal_pixels(normals.num_pixels, lower)
        sortable = 0.0 if self.return_average else min(1.0, _SORTED / normals.num_pixels)
        top = memory.certified(normals, max(upper, sortable))
        curve = top.down_to(upper)
        exact.check_operating_points(curve, 1.0 if force else upper)
        aupimos = memory.per_image(exact.mean_lengths, exact.lengths(curve, lower, upper))
        if self.return_average:
            # fsum rounds once, so the order of the images (which differs between processes) does not show
            return self._on_device(np.array(math.fsum(aupimos[~normal].tolist()) / int((~normal).sum())))
        inside = int(((curve.fpr >= lower) & (curve.fpr <= upper)).sum())
        lowest, highest = exact.threshold_bounds(curve, lower, upper)
        return self._pimo_result(memory, normals, top), AUPIMOResult(
            fpr_lower_bound=lower,
            fpr_upper_bound=upper,
            num_thresholds=inside if inside >= 2 else None,
            thresh_lower_bound=lowest,
            thresh_upper_bound=highest,
            aupimos=self._on_device(aupimos),
        )

    def _pimo_result(self, memory: Memory, normals: Normals, top: SharedFPR) -> PIMOResult:
        lower, upper = self.fpr_bounds
        targets: list[np.ndarray] = [
            np.geomspace(min(top.fpr[0], lower), lower, _POINTS_BELOW),
            np.geomspace(lower, upper, _POINTS_BETWEEN),
            np.geomspace(upper, 1, _POINTS_ABOVE) if upper < 1 else np.zeros(0),
            # the points next to the bounds, so that the nearest one to a bound is that of the full curve
            top.fpr[[max(0, top.position(bound) - 1) for bound in (lower, upper)]],
            top.fpr if len(top.fpr) <= _POINTS_BETWEEN else np.zeros(0),
        ]
        points = normals.points(top, np.unique(np.concatenate(targets)), _SAMPLES)
        scores, fpr = points.scores[::-1], points.fpr[::-1]
        codes = np.unique(memory.images[:, 3])
        dtype = getattr(torch, DTYPES[codes[0]])
        for code in codes[1:].tolist():
            dtype = torch.promote_types(dtype, getattr(torch, DTYPES[code]))
        thresholds = torch.from_numpy(scores.astype(np.float64)).to(dtype)
        if fpr[-1] > lower:  # a threshold of shared FPR 0
            above = torch.nextafter(thresholds[-1:], torch.tensor(math.inf, dtype=dtype))
            thresholds, fpr = torch.cat([thresholds, above]), np.append(fpr, 0.0)
        ascending = (thresholds if dtype == torch.float64 else thresholds.float()).numpy()
        return PIMOResult(
            thresholds=thresholds.to(self._maps_device or self.device),
            shared_fpr=self._on_device(fpr),
            per_image_tprs=self._on_device(memory.per_image(curves.recalls, ascending)),
        )


def _not_needed(argument: str, why: str) -> None:
    warnings.warn(f"{argument} is not needed: {why}.", UserWarning, stacklevel=3)


class AUPIMO(AnomalibMetric, _ExactAUPIMO):  # type: ignore[misc]
    """Area under the per-image overlap curve, exact: a drop-in for ``anomalib.metrics.AUPIMO``.

    It keeps, of the normal images, all scores until a budget is full and from then on the highest ones, and of each
    anomalous image the scores of its mask's pixels. Nothing that is dropped can change the result for sets of up to
    ``budget / (2 U)`` normal pixels (2e10 at the default bounds), in any order; ``compute`` makes sure for larger
    ones. It works as a test metric of anomalib's ``Evaluator``, by hand with ``update(batch)`` and ``compute()``, and
    across processes (Lightning's DDP), where it gives the same score, bit for bit, as on one.

    ``compute`` gives the mean AUPIMO of the anomalous images, a float64 scalar; or, if ``return_average`` is False,
    the PIMO curves and the AUPIMO scores in anomalib's types. The curves have a few hundred points, all exact, from
    FPR 0 (or one pixel) to FPR 1; of sets with more normal pixels than the budget to where the kept scores end, far
    beyond the upper bound. Called on a batch, the metric takes it and gives the score of this batch alone, whatever
    the number of its pixels; NaN (or None, if ``return_average`` is False) where it lacks a kind of image.

    Args:
        num_thresholds: Not needed: there is no grid of thresholds. Accepted so that code written for anomalib's
            class runs; giving it causes a warning that says so.
        fpr_bounds: Bounds L and U of the shared FPR, ``0 < L < U <= 1``.
        return_average: Whether ``compute`` returns the mean over the anomalous images, or the results per image.
        force: Compute also where the result says little: fewer than 1 / L normal pixels, or normal scores so
            saturated that no threshold has a shared FPR in (0, U).
        budget: How many normal scores to keep, rarely needed: 4 million (16 MiB) by default, more for U > 0.78 %.
            Larger to have the PIMO curves of a large set over a longer range.
        keep: Of former versions; not needed any more, and giving it causes a warning that says so.
        fields: Fields of the batch, ``("anomaly_map", "gt_mask")`` by default.
        prefix: Put before the metric's name in a log.
        strict: Whether a batch that lacks a field is an error; if not, and no batch has all, ``compute`` gives None.

    Raises:
        TypeError: If ``num_thresholds`` or ``budget`` is not an integer or the bounds are not two numbers.
        InputError: (a ``ValueError``) If a value is out of its range; by ``update``, if shapes differ, a score is NaN
            or infinite, or a mask is not two-valued; by ``compute``, if a class of images is missing or (unless
            forced) there are too few normal pixels, or no threshold with a shared FPR in (0, U).
        RuntimeError: By ``compute``, if ``update`` was not called, or (``UncertifiedError``) if a score that was
            dropped could have changed the result.

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

    def compute(self, force: bool | None = None) -> Results | None:  # type: ignore[override]
        """Compute the score: see the class. ``force`` overrides the constructor's argument."""
        if self._update_count == 0 and not self.strict:
            return None
        return _ExactAUPIMO.compute(self, force)
