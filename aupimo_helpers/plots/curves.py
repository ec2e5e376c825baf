"""PIMO curves and what surrounds them: the integration range, the line without skill, the threshold axis.

The functions draw on ``ax``, or on a new figure where none is given, and return the axes. ``curves`` are
``PIMOCurves`` of N images (anomalib's ``PIMOResult`` works too), ``fpr_bounds`` the ends of the integration range.
The shared FPR is on a log scale, on which zero has no place: points at zero are left out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError
from aupimo_helpers.plots.images import show_image
from aupimo_helpers.plots.style import NORMAL_COLOR, OKABE_ITO, PERCENT, ZONE_COLOR, colors, superscript, wrap

if TYPE_CHECKING:
    from aupimo_helpers.metrics import PIMOCurves


def _decade(value: float, _position: int | None = None) -> str:
    """Label a power of ten twice: as it is written in code, and as the percentage it is."""
    return f"10{superscript(str(round(np.log10(value))))}\n{100 * value:.6g} %"


def pimo_axes(ax: Axes | None = None, *, fpr_range: tuple[float, float] = (1e-6, 1.0)) -> Axes:
    """Prepare axes for PIMO curves: shared FPR on a log scale, recall in per cent."""
    ax = ax or plt.figure().gca()
    ax.set(xscale="log", xlim=fpr_range, ylim=(-0.02, 1.02))
    ax.set_xlabel("shared FPR: share of pixels above the threshold, mean over the normal images (log scale)")
    ax.set_ylabel("recall in the image (TPR)")
    ax.xaxis.set_major_locator(LogLocator(numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(_decade))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(PERCENT)
    return ax


def add_integration_zone(ax: Axes, fpr_bounds: Sequence[float] = (1e-5, 1e-4)) -> Axes:
    """Mark the range of the shared FPR over which AUPIMO averages the recall."""
    ax.axvspan(*fpr_bounds, color=ZONE_COLOR, alpha=0.15, linewidth=0, label="integration range", zorder=0)
    for bound in fpr_bounds:
        ax.axvline(bound, color=ZONE_COLOR, linestyle="--", linewidth=1, zorder=1)
    return ax


def add_no_skill(ax: Axes) -> Axes:
    """Draw the curve of a model without skill, TPR = FPR: on a log axis it hugs the bottom until the last decade.

    Example:
        >>> add_no_skill(plot_pimo_curve([1e-6, 1.0], [0.1, 1.0])).lines[-1].get_label()
        'no skill (TPR = FPR)'
    """
    fpr = np.geomspace(*ax.get_xlim(), 300)
    ax.plot(fpr, fpr, color=NORMAL_COLOR, linestyle=":", linewidth=1.5, label="no skill (TPR = FPR)", zorder=1.5)
    return ax


def plot_pimo_curve(
    shared_fpr: ArrayLike,
    tpr: ArrayLike,
    *,
    fpr_bounds: Sequence[float] = (1e-5, 1e-4),
    color: str = OKABE_ITO[0],
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one image's PIMO curve, the integration range and the area whose share of the zone is the score.

    ``shared_fpr`` and ``tpr``, the recall in the image, are (K,) at the same thresholds, in 0..1 and any order. Axes
    without a log scale are set up for PIMO curves first.

    Example:
        >>> plot_pimo_curve([1e-6, 1e-5, 1.0], [0.1, 0.4, 1.0], label="an image").get_legend_handles_labels()[1]
        ['integration range', 'an image']
    """
    fpr, recall = _positive(shared_fpr, tpr)
    if ax is None or ax.get_xscale() != "log":
        ax = pimo_axes(ax, fpr_range=(min(float(fpr[0]), fpr_bounds[0]), 1.0))
    if "integration range" not in ax.get_legend_handles_labels()[1]:
        add_integration_zone(ax, fpr_bounds)
    ax.plot(fpr, recall, color=color, linewidth=2, label=label)
    zone = np.geomspace(fpr_bounds[0], fpr_bounds[1], 200)
    ax.fill_between(zone, np.interp(np.log(zone), np.log(fpr), recall), color=color, alpha=0.35, linewidth=0)
    return ax


def plot_pimo_curves(
    curves: "PIMOCurves",
    defects: Sequence[str],
    *,
    fpr_bounds: Sequence[float] = (1e-5, 1e-4),
    ax: Axes | None = None,
) -> Axes:
    """Draw the PIMO curves of all anomalous images, coloured by defect type, and their mean in black.

    ``defects`` are the N defect types; any other number is an ``InputError``. Normal images (NaN) are not drawn.

    Example:
        >>> from types import SimpleNamespace
        >>> tprs = [[0.2, 1.0], [0.6, 1.0], [np.nan, np.nan]]
        >>> made_up = SimpleNamespace(shared_fpr=[1e-6, 1.0], per_image_tprs=tprs)
        >>> plot_pimo_curves(made_up, ["cut", "poke", "good"]).get_legend_handles_labels()[1]
        ['integration range', 'cut', 'poke', 'mean of 2 images']
    """
    tprs = np.asarray(curves.per_image_tprs, dtype=np.float64)
    if len(tprs) != len(defects):
        raise InputError(
            f"There are {len(tprs)} curves and {len(defects)} defect names; there must be one name for each curve."
        )
    fpr, tprs = _positive(curves.shared_fpr, tprs)
    anomalous = ~np.isnan(tprs).any(axis=1)
    ax = add_integration_zone(pimo_axes(ax, fpr_range=(float(fpr[0]), 1.0)), fpr_bounds)
    names = np.asarray(defects)[anomalous].tolist()
    palette = colors(names)
    # One thin, half-transparent line per image: where many run together the colour deepens.
    for tpr, defect in zip(tprs[anomalous], names, strict=True):
        ax.plot(fpr, tpr, color=palette[defect], alpha=0.45, linewidth=0.8)
    for defect, color in palette.items():
        ax.plot([], [], color=color, linewidth=2, label=wrap(defect))
    mean = tprs[anomalous].mean(axis=0)
    ax.plot(fpr, mean, color="black", linewidth=2.5, label=f"mean of {anomalous.sum()} images")
    return ax


def plot_images_with_curves(
    images: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    curves: "PIMOCurves",
    rows: Sequence[int],
    *,
    titles: Sequence[str],
    line_colors: Sequence[str],
    fpr_bounds: Sequence[float] = (1e-5, 1e-4),
) -> Figure:
    """Show a few images with the outlines of their masks, and below each one its PIMO curve with the shaded area.

    Images and masks are as in ``image_grid``, ``rows`` are their rows in ``curves``, ``titles`` the texts above them,
    ``line_colors`` the colours of their curves. Returns the figure.

    Example:
        >>> from types import SimpleNamespace
        >>> made_up = SimpleNamespace(shared_fpr=[1e-6, 1.0], per_image_tprs=[[0.2, 1.0]])
        >>> picture = [np.zeros((8, 8))]
        >>> len(plot_images_with_curves(picture, picture, made_up, [0], titles=["a"], line_colors=["C0"]).axes)
        2
    """
    figure, axes = plt.subplots(2, len(rows), figsize=(2.6 * len(rows), 5.6), squeeze=False)
    drawn = zip(axes.T, rows, images, masks, titles, line_colors, strict=True)
    for (upper, lower), row, image, mask, title, color in drawn:
        show_image(upper, image, mask, title=title)
        plot_pimo_curve(curves.shared_fpr, curves.per_image_tprs[row], fpr_bounds=fpr_bounds, color=color, ax=lower)
        lower.set(xlabel="shared FPR (log scale)", ylabel="", xticks=[1e-5, 1e-3, 1e-1])
    axes[1, 0].set_ylabel("recall in the image (TPR)")
    return figure


def plot_band(x: ArrayLike, quantiles: ArrayLike, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a line in the next colour with a tinted band around it.

    ``quantiles`` are (K, 3) at the K positions ``x``: lower end of the band, line, upper end of the band.

    Example:
        >>> len(plot_band([1, 2], [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]], label="simulated").lines)
        1
    """
    ax = ax or plt.figure().gca()
    low, middle, high = np.asarray(quantiles, dtype=np.float64).T
    (line,) = ax.plot(x, middle, marker="o", label=label)
    ax.fill_between(np.asarray(x), low, high, color=line.get_color(), alpha=0.25, linewidth=0)
    return ax


def add_threshold_axis(ax: Axes, thresholds: ArrayLike, shared_fpr: ArrayLike) -> Axes:
    """Add a second x axis on top that tells the threshold belonging to each decade of the shared FPR.

    ``thresholds`` and ``shared_fpr`` are (K,); decades outside of the latter's range get no tick. A lower threshold
    lets more pixels through, so the thresholds fall from left to right.

    Example:
        >>> ax = plot_pimo_curve([1e-2, 1.0], [0.1, 1.0], fpr_bounds=(1e-2, 1e-1))
        >>> ax = add_threshold_axis(ax, [9.0, 5.0, 1.0], [1e-2, 1e-1, 1.0])
        >>> [label.get_text() for label in ax.child_axes[0].get_xticklabels()]
        ['9', '5', '1']
    """
    fpr, values = _positive(shared_fpr, thresholds)
    decades = 10.0 ** np.arange(np.ceil(np.log10(fpr[0]) - 1e-9), np.floor(np.log10(fpr[-1]) + 1e-9) + 1)
    at_decades = np.interp(np.log(decades), np.log(fpr), values)
    top = ax.secondary_xaxis("top")
    top.set_xticks(decades, [f"{value:.4g}" for value in at_decades])
    top.xaxis.set_minor_locator(NullLocator())
    top.set_xlabel("threshold on the anomaly score (no unit)")
    return ax


def _positive(shared_fpr: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Sort points by FPR and keep those whose FPR has a logarithm; ``values`` is (K,) or (N, K)."""
    fpr = np.asarray(shared_fpr, dtype=np.float64)
    order = np.argsort(fpr, kind="stable")
    order = order[fpr[order] > 0]
    return fpr[order], np.asarray(values, dtype=np.float64)[..., order]
