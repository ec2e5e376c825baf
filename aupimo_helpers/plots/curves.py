"""PIMO curves and what surrounds them: the integration zone, the threshold axis, FPR levels drawn on images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from aupimo_helpers.errors import InputError
from aupimo_helpers.plots.images import show_image
from aupimo_helpers.plots.style import NORMAL_COLOR, OKABE_ITO, PERCENT, ZONE_COLOR, colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from aupimo_helpers.metrics import PIMOCurves

# Light colours with a dark halo: visible on bright and on dark images, on grey ones and on a heat map.
_LEVEL_COLORS = ("#FFFFFF", OKABE_ITO[6], OKABE_ITO[5], OKABE_ITO[3])
_HALO = withStroke(linewidth=2.6, foreground="black")


def _decade(value: float, _position: int | None = None) -> str:
    """Label a power of ten twice: as it is written in code, and as the percentage it is."""
    return f"$10^{{{round(np.log10(value))}}}$\n{100 * value:.6g}%"


def pimo_axes(ax: "Axes | None" = None, *, fpr_range: tuple[float, float] = (1e-6, 1.0)) -> "Axes":
    """Prepare axes for PIMO curves: shared FPR on a log scale, recall in per cent.

    Args:
        ax: Where to draw; a new figure by default.
        fpr_range: Limits of the FPR axis, both in (0, 1].

    Returns:
        The axes. Each decade of the x axis is labelled as a power of ten and as a percentage.

    Example:
        >>> ax = pimo_axes()
        >>> ax.get_xscale()
        'log'
    """
    ax = ax or plt.figure().gca()
    ax.set(xscale="log", xlim=fpr_range, ylim=(-0.02, 1.02))
    ax.set_xlabel("shared FPR: share of pixels above the threshold, mean over the normal images (log scale)")
    ax.set_ylabel("recall in the image (TPR)")
    ax.xaxis.set_major_locator(LogLocator(numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(_decade))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(PERCENT)
    return ax


def add_integration_zone(ax: "Axes", fpr_bounds: Sequence[float] = (1e-5, 1e-4)) -> "Axes":
    """Mark the range of the shared FPR over which AUPIMO averages the recall.

    Args:
        ax: Axes whose x axis is the shared FPR.
        fpr_bounds: Lower and upper bound L < U, both in (0, 1].

    Returns:
        The axes, with a tinted band and a dashed line at each bound; the legend names it "integration zone".

    Example:
        >>> ax = add_integration_zone(pimo_axes())
        >>> [text for text in ax.get_legend_handles_labels()[1]]
        ['integration zone']
    """
    lower, upper = fpr_bounds
    ax.axvspan(lower, upper, color=ZONE_COLOR, alpha=0.15, linewidth=0, label="integration zone", zorder=0)
    for bound in (lower, upper):
        ax.axvline(bound, color=ZONE_COLOR, linestyle="--", linewidth=1, zorder=1)
    return ax


def add_no_skill(ax: "Axes") -> "Axes":
    """Draw the curve of a model without skill: its recall is as high as its FPR.

    Args:
        ax: Axes made by :func:`pimo_axes`.

    Returns:
        The axes. On a log axis the line TPR = FPR hugs the bottom until the last decade.

    Example:
        >>> ax = add_no_skill(pimo_axes())
        >>> ax.lines[0].get_label()
        'no skill (TPR = FPR)'
    """
    fpr = np.geomspace(*ax.get_xlim(), 300)
    ax.plot(fpr, fpr, color=NORMAL_COLOR, linestyle=":", linewidth=1.5, label="no skill (TPR = FPR)", zorder=1.5)
    return ax


def plot_pimo_curve(
    shared_fpr: "ArrayLike",
    tpr: "ArrayLike",
    *,
    fpr_bounds: Sequence[float] = (1e-5, 1e-4),
    color: str = OKABE_ITO[0],
    label: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw one image's PIMO curve, the integration zone and the area whose share of the zone is the score.

    Args:
        shared_fpr: (K,) shared FPR, as in ``PIMOCurves.shared_fpr``, in any order. Zeros (no place on a log axis) are
            left out.
        tpr: (K,) recall of the image at the same thresholds, in [0, 1].
        fpr_bounds: Lower and upper bound of the integration zone.
        color: Colour of curve and area.
        label: Legend entry of the curve.
        ax: Where to draw; a new figure by default. Axes without a log scale are set up by :func:`pimo_axes`.

    Returns:
        The axes.

    Example:
        >>> ax = plot_pimo_curve([1e-6, 1e-5, 1e-4, 1.0], [0.1, 0.4, 0.6, 1.0], label="an image")
        >>> ax.get_legend_handles_labels()[1]
        ['integration zone', 'an image']
    """
    fpr, recall = _positive(shared_fpr, tpr)
    if ax is None or ax.get_xscale() != "log":
        ax = pimo_axes(ax, fpr_range=(min(float(fpr[0]), fpr_bounds[0]), 1.0))
    if "integration zone" not in ax.get_legend_handles_labels()[1]:
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
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the PIMO curves of all anomalous images, coloured by defect type, and their mean in black.

    Args:
        curves: Curves of N images (anomalib's ``PIMOResult`` has the same fields and works too); the rows of normal
            images are NaN and are not drawn.
        defects: (N,) defect type of each image, ``good`` for the normal ones.
        fpr_bounds: Lower and upper bound of the integration zone.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes, with one legend entry per defect type, one for the mean and one for the integration zone.

    Raises:
        InputError: If there are not as many defect names as curves.

    Example:
        >>> from types import SimpleNamespace
        >>> tprs = [[0.2, 1.0], [0.6, 1.0], [np.nan, np.nan]]
        >>> made_up = SimpleNamespace(shared_fpr=[1e-6, 1.0], per_image_tprs=tprs)
        >>> ax = plot_pimo_curves(made_up, ["cut", "poke", "good"])
        >>> ax.get_legend_handles_labels()[1]
        ['integration zone', 'cut', 'poke', 'mean of 2 images']
    """
    tprs = np.asarray(curves.per_image_tprs, dtype=np.float64)
    if len(tprs) != len(defects):
        msg = f"There are {len(tprs)} curves and {len(defects)} defect names; there must be one name for each curve."
        raise InputError(msg)
    fpr, tprs = _positive(curves.shared_fpr, tprs)
    anomalous = ~np.isnan(tprs).any(axis=1)
    ax = add_integration_zone(pimo_axes(ax, fpr_range=(float(fpr[0]), 1.0)), fpr_bounds)
    palette = colors(np.asarray(defects)[anomalous].tolist())
    # One thin, half-transparent line per image: where many run together the colour deepens.
    for tpr, defect in zip(tprs[anomalous], np.asarray(defects)[anomalous].tolist(), strict=True):
        ax.plot(fpr, tpr, color=palette[defect], alpha=0.45, linewidth=0.8)
    for defect, color in palette.items():
        ax.plot([], [], color=color, linewidth=2, label=defect)
    mean = tprs[anomalous].mean(axis=0)
    ax.plot(fpr, mean, color="black", linewidth=2.5, label=f"mean of {anomalous.sum()} images")
    return ax


def plot_images_with_curves(
    images: Sequence["ArrayLike"],
    masks: Sequence["ArrayLike"],
    curves: "PIMOCurves",
    rows: Sequence[int],
    *,
    titles: Sequence[str],
    line_colors: Sequence[str],
    fpr_bounds: Sequence[float] = (1e-5, 1e-4),
    width: float = 2.6,
) -> "Figure":
    """Show a few images with the outlines of their masks, and below each one its PIMO curve with the shaded area.

    Args:
        images: n images, each (H, W, 3) or (H, W), uint8 in 0..255 or float in 0..1.
        masks: n masks (H, W), not zero inside the defect.
        curves: Curves of all N images.
        rows: The n images' rows in ``curves``.
        titles: n texts above the images.
        line_colors: n colours of the curves.
        fpr_bounds: Lower and upper bound of the integration zone.
        width: Width of one image in inches.

    Returns:
        The figure, with two rows and n columns of axes.

    Example:
        >>> from types import SimpleNamespace
        >>> made_up = SimpleNamespace(shared_fpr=[1e-6, 1.0], per_image_tprs=[[0.2, 1.0], [0.6, 1.0]])
        >>> pictures = [np.zeros((8, 8))] * 2
        >>> figure = plot_images_with_curves(
        ...     pictures, pictures, made_up, [0, 1], titles=["worst", "best"], line_colors=["C0", "C1"]
        ... )
        >>> len(figure.axes)
        4
    """
    figure, axes = plt.subplots(2, len(rows), figsize=(width * len(rows), 2 * width + 0.4), squeeze=False)
    drawn = zip(axes.T, rows, images, masks, titles, line_colors, strict=True)
    for (upper, lower), row, image, mask, title, color in drawn:
        show_image(upper, image, mask, title=title)
        plot_pimo_curve(curves.shared_fpr, curves.per_image_tprs[row], fpr_bounds=fpr_bounds, color=color, ax=lower)
        lower.set(xlabel="shared FPR (log scale)", ylabel="", xticks=[1e-5, 1e-3, 1e-1])
    axes[1, 0].set_ylabel("recall in the image (TPR)")
    return figure


def plot_band(
    x: "ArrayLike", quantiles: "ArrayLike", *, label: str | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw a line with a tinted band around it.

    Args:
        x: (K,) positions.
        quantiles: (K, 3) lower end of the band, line, upper end of the band.
        label: Legend entry of the line.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes. Each call takes the next colour.

    Example:
        >>> ax = plot_band([1, 2], [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]], label="simulated")
        >>> len(ax.lines), len(ax.collections)
        (1, 1)
    """
    ax = ax or plt.figure().gca()
    low, middle, high = np.asarray(quantiles, dtype=np.float64).T
    (line,) = ax.plot(x, middle, marker="o", label=label)
    ax.fill_between(np.asarray(x), low, high, color=line.get_color(), alpha=0.25, linewidth=0)
    return ax


def add_threshold_axis(ax: "Axes", thresholds: "ArrayLike", shared_fpr: "ArrayLike") -> "Axes":
    """Add a second x axis on top that tells the threshold belonging to each decade of the shared FPR.

    The two say the same in two units: a lower threshold lets more pixels through, so the thresholds fall from left
    to right.

    Args:
        ax: Axes made by :func:`pimo_axes`.
        thresholds: (K,) thresholds on the anomaly score.
        shared_fpr: (K,) shared FPR at these thresholds.

    Returns:
        ``ax`` itself. Decades outside the range of ``shared_fpr`` get no tick.

    Example:
        >>> ax = add_threshold_axis(pimo_axes(fpr_range=(1e-2, 1)), [9.0, 5.0, 1.0], [1e-2, 1e-1, 1.0])
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


def plot_fpr_contours(
    anomaly_map: "ArrayLike",
    thresholds: Mapping[str, float],
    *,
    ax: "Axes",
    level_colors: Sequence[str] = _LEVEL_COLORS,
) -> "Axes":
    """Draw the outline of what lies above each threshold, over an image that is already on the axes.

    Args:
        anomaly_map: (H, W) anomaly scores.
        thresholds: Threshold by name, for instance ``{"FPR 1e-4": 12.3}``, from the laxest to the strictest.
        ax: Axes on which the image was drawn with ``imshow``, in the map's pixel coordinates.
        level_colors: One colour for each threshold.

    Returns:
        The axes. A threshold that no pixel of this map reaches draws nothing.

    Raises:
        InputError: If there are more thresholds than colours.

    Example:
        >>> ax = plot_fpr_contours(np.eye(8), {"half": 0.5, "out of reach": 2.0}, ax=plt.figure().gca())
        >>> len(ax.collections)
        1
    """
    if len(thresholds) > len(level_colors):
        msg = f"There are {len(thresholds)} thresholds and {len(level_colors)} colours: give one colour for each."
        raise InputError(msg)
    scores = np.asarray(anomaly_map, dtype=np.float64)
    for color, threshold in zip(level_colors[: len(thresholds)], thresholds.values(), strict=True):
        if scores.min() < threshold <= scores.max():  # matplotlib warns about a contour that does not exist
            lines = ax.contour(scores, levels=[threshold], colors=[color], linewidths=1.2)
            lines.set_path_effects([_HALO])
    return ax


def fpr_contour_handles(names: Sequence[str], level_colors: Sequence[str] = _LEVEL_COLORS) -> list[Line2D]:
    """Make the legend entries for the lines of :func:`plot_fpr_contours`.

    Args:
        names: Names of the thresholds, in the order in which they were drawn.
        level_colors: The colours they were drawn in.

    Returns:
        One line per name, for ``figure.legend(handles=...)``.

    Example:
        >>> [handle.get_label() for handle in fpr_contour_handles(["FPR 1e-2", "FPR 1e-3"])]
        ['FPR 1e-2', 'FPR 1e-3']
    """
    return [
        Line2D([], [], color=color, linewidth=1.5, label=name, path_effects=[_HALO])
        for name, color in zip(names, level_colors[: len(names)], strict=True)
    ]


def _positive(shared_fpr: "ArrayLike", values: "ArrayLike") -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Sort points by FPR and keep those whose FPR has a logarithm; ``values`` is (K,) or (N, K)."""
    fpr = np.asarray(shared_fpr, dtype=np.float64)
    order = np.argsort(fpr, kind="stable")
    order = order[fpr[order] > 0]
    return fpr[order], np.asarray(values, dtype=np.float64)[..., order]
