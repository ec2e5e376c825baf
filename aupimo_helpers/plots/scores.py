"""Distributions of per-image scores, whole and by defect type, and scores against what is known of the defects."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError
from aupimo_helpers.plots.style import NORMAL_COLOR, OKABE_ITO, PERCENT, colors

SCORE_LABEL = "AUPIMO (recall in one image)"


def score_histogram(
    aupimos: ArrayLike,
    *,
    bins: int = 10,
    color: str = OKABE_ITO[0],
    legend: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Count the images per score, in bins of equal width from 0 % to 100 %, and mark the mean.

    Args:
        aupimos: (N,) scores in 0..1. NaN, the value of normal images, is left out.
        bins: Number of bins.
        color: The bars' colour.
        legend: Whether to tell the mean in a legend.
        title: Text above the plot.
        ax: Axes to draw in; ``None`` makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: If no score is left, or one lies outside 0..1.

    Example:
        >>> ax = score_histogram([0.05, 0.07, 0.95, np.nan])
        >>> [int(bar.get_height()) for bar in ax.patches]
        [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        >>> plt.close()
    """
    scores = _scores(aupimos)
    ax = _axes(ax)
    ax.hist(scores, bins=np.linspace(0, 1, bins + 1).tolist(), color=color, edgecolor="white", linewidth=0.6)
    ax.axvline(scores.mean(), color="black", linestyle="--", linewidth=1.2, label=f"mean {scores.mean():.0%}")
    ax.set(xlim=(0, 1), xlabel=SCORE_LABEL, ylabel="number of images")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        ax.legend(loc="best")
    if title is not None:
        ax.set_title(title)
    return ax


def scores_by_defect(
    table: pd.DataFrame, *, palette: Mapping[str, str] | None = None, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw one box and one strip of points per defect type.

    The box spans the quartiles, its line is the median, the whiskers reach the farthest score within 1.5 box lengths
    (Tukey), the diamond is the mean. Every image is a point as well: a box of five images looks like one of fifty.

    Args:
        table: Score table with the columns ``defect`` and ``aupimo``; rows without a score (normal images) are
            left out.
        palette: Colour by defect type; ``None`` takes the course's.
        title: Text above the plot.
        ax: Axes to draw in; ``None`` makes a figure.

    Returns:
        The axes, one row per defect type, in alphabetical order from the top.

    Raises:
        InputError: If no score is left, or one lies outside 0..1.

    Example:
        >>> table = pd.DataFrame({"defect": ["cut", "cut", "glue", "good"], "aupimo": [0.1, 0.5, 0.9, np.nan]})
        >>> ax = scores_by_defect(table)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['cut (2)', 'glue (1)']
        >>> plt.close()
    """
    _scores(table["aupimo"])
    by_defect = {
        str(name): group["aupimo"].to_numpy() for name, group in table.dropna(subset="aupimo").groupby("defect")
    }
    palette = colors(by_defect) if palette is None else palette
    ax = _axes(ax)
    ax.boxplot(
        list(by_defect.values()),
        orientation="horizontal",
        widths=0.55,
        showfliers=False,
        showmeans=True,
        medianprops={"color": "black", "linewidth": 1.5},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5},
        zorder=3,
    )
    # The jitter keeps equal scores apart; it says nothing, so it is the same in every drawing.
    jitter = np.random.default_rng(0)
    for row, (name, scores) in enumerate(by_defect.items(), start=1):
        heights = row + jitter.uniform(-0.18, 0.18, len(scores))
        ax.scatter(scores, heights, s=16, color=palette[name], alpha=0.8, linewidths=0, zorder=2)
    ax.set_yticks(range(1, len(by_defect) + 1), [f"{name} ({len(scores)})" for name, scores in by_defect.items()])
    ax.set(xlim=(-0.02, 1.02), xlabel=SCORE_LABEL, ylabel="defect type (images)")
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PERCENT)
    ax.grid(visible=False, axis="y")
    if title is not None:
        ax.set_title(title)
    return ax


def scores_against(
    table: pd.DataFrame,
    column: str,
    *,
    xlabel: str | None = None,
    palette: Mapping[str, str] | None = None,
    legend: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot each anomalous image's score against a property of its defect, coloured by defect type.

    Args:
        table: Score table with the columns ``defect``, ``aupimo`` and ``column``; rows where either value is
            missing are left out.
        column: The property, for instance ``severity`` or ``mask_area``.
        xlabel: The property with its unit; ``None`` takes the column's name.
        palette: Colour by defect type; ``None`` takes the course's.
        legend: Whether to name the colours.
        title: Text above the plot.
        ax: Axes to draw in; ``None`` makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: If the table has no such column, no row has both values, or a score lies outside 0..1.

    Example:
        >>> table = pd.DataFrame({"defect": ["cut", "glue"], "aupimo": [0.1, 0.9], "severity": [0.2, 0.7]})
        >>> ax = scores_against(table, "severity", xlabel="severity (0.1 faint, 1 strong)")
        >>> len(ax.collections)
        2
        >>> plt.close()
    """
    if column not in table.columns:
        msg = (
            f"The score table has no column {column!r}, only {', '.join(map(str, table.columns))}: take one of these."
        )
        raise InputError(msg)
    known = table.dropna(subset=["aupimo", column])
    _scores(known["aupimo"])
    palette = colors(known["defect"]) if palette is None else palette
    ax = _axes(ax)
    for name, group in known.groupby("defect"):
        color = palette.get(str(name), NORMAL_COLOR)
        ax.scatter(group[column], group["aupimo"], s=22, color=color, alpha=0.8, linewidths=0, label=str(name))
    ax.set(ylim=(-0.03, 1.03), xlabel=xlabel or column, ylabel=SCORE_LABEL)
    ax.yaxis.set_major_formatter(PERCENT)
    if legend:
        ax.legend(title="defect", loc="center left", bbox_to_anchor=(1.0, 0.5))
    if title is not None:
        ax.set_title(title)
    return ax


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots()[1] if ax is None else ax


def _scores(aupimos: ArrayLike) -> np.ndarray:
    scores = np.asarray(aupimos, dtype=float)
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        msg = "There is no score to draw: every value is NaN, as for a test set of normal images only."
        raise InputError(msg)
    outside = scores[(scores < 0) | (scores > 1)]
    if outside.size:
        msg = f"AUPIMO scores lie between 0 and 1, but one is {outside[0]:g}: give scores as fractions of 1."
        raise InputError(msg)
    return scores
