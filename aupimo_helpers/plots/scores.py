"""Distributions of per-image scores, whole and by group, and scores against what is known of the defects.

The functions draw on ``ax``, or on a new figure where none is given, and return the axes. A score is AUPIMO, in 0..1;
NaN, the value of normal images, is left out. ``table`` is a score table with the columns ``defect`` and ``aupimo``.
Nothing to draw, or a score outside 0..1, is an ``InputError``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from aupimo_helpers.errors import InputError
from aupimo_helpers.plots.style import OKABE_ITO, PERCENT, colors, wrap

_LABEL = "AUPIMO (recall in one image)"


def score_histogram(
    aupimos: ArrayLike, *, color: str = OKABE_ITO[0], legend: bool = True, title: str = "", ax: Axes | None = None
) -> Axes:
    """Count the images per score, in ten bins of equal width from 0 % to 100 %, and mark the mean.

    Example:
        >>> [int(bar.get_height()) for bar in score_histogram([0.05, 0.07, 0.95, np.nan]).patches]
        [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    """
    scores = _scores(aupimos)
    ax = ax or plt.figure().gca()
    ax.hist(scores, bins=np.linspace(0, 1, 11).tolist(), color=color, edgecolor="white", linewidth=0.6)
    ax.axvline(scores.mean(), color="black", linestyle="--", linewidth=1.2, label=f"mean {100 * scores.mean():.0f} %")
    ax.set(xlim=(0, 1), xlabel=_LABEL, ylabel="number of images", title=title)
    ax.xaxis.set_major_formatter(PERCENT)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        ax.legend(loc="best")
    return ax


def scores_by_defect(table: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw one box and one strip of points per defect type, in alphabetical order from the top.

    The box spans the quartiles, its line is the median, the whiskers reach the farthest score within 1.5 box lengths
    (Tukey), the diamond is the mean. Every image is a point as well: a box of five images looks like one of fifty.

    Example:
        >>> table = pd.DataFrame({"defect": ["cut", "cut", "glue", "good"], "aupimo": [0.1, 0.5, 0.9, np.nan]})
        >>> [label.get_text() for label in scores_by_defect(table).get_yticklabels()]
        ['cut (2)', 'glue (1)']
    """
    groups = _by(table, "defect")
    ax = ax or plt.figure().gca()
    diamond = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5}
    box = {"widths": 0.55, "showmeans": True, "meanprops": diamond, "zorder": 3}
    black = dict.fromkeys(groups, "black")
    points = {"s": 16, "alpha": 0.8, "zorder": 2}
    _box_rows(ax, groups, box, black, median_width=1.5, points=points, point_colors=colors(groups), spread=0.18)
    ax.set_yticks(range(len(groups)), [f"{name} ({len(scores)})" for name, scores in groups.items()])
    ax.set(xlabel=_LABEL, ylabel="defect type (images)", title=title)
    return ax


def score_boxes(
    scores: pd.DataFrame,
    by: str,
    *,
    highlight: Sequence[str] = (),
    apart: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw box plots with their points for several models (or data sets), highest mean on top.

    ``scores`` has one row per image and model: columns ``aupimo`` and ``by``. The values of ``by`` in ``highlight``
    are in another colour and, if ``apart``, below a line: they come from other images and must not be ranked.

    Example:
        >>> scores = pd.DataFrame({"model": ["A", "A", "B", "B"], "aupimo": [0.1, 0.2, 0.5, 0.8]})
        >>> [label.get_text() for label in score_boxes(scores, "model").get_yticklabels()]
        ['B', 'A']
    """
    groups = _by(scores, by)
    names = sorted(groups, key=lambda name: (apart and name in highlight, -groups[name].mean()))
    groups = {name: groups[name] for name in names}
    ax = ax or plt.subplots(figsize=(7, 1 + 0.32 * len(names)))[1]
    tints = {name: OKABE_ITO[4] if name in highlight else OKABE_ITO[0] for name in names}
    points = {"s": 6, "alpha": 0.35}
    _box_rows(ax, groups, {"widths": 0.6}, tints, median_width=2, points=points, point_colors=tints, spread=0.2)
    means = [group.mean() for group in groups.values()]
    ax.scatter(means, range(len(names)), s=30, marker="D", color="black", zorder=3, label="mean")
    if apart:
        ax.axhline(len(names) - len(highlight) - 0.5, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="AUPIMO of an image", title=title or f"Per-image scores by {by}: the mean hides the spread")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def scores_against(
    table: pd.DataFrame,
    column: str,
    *,
    xlabel: str = "",
    legend: bool = True,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot each anomalous image's score against a property of its defect, coloured by defect type.

    The property is another ``column``, for instance ``severity`` or ``mask_area``; where it is missing, the image is
    left out. ``xlabel`` names it with its unit.

    Example:
        >>> table = pd.DataFrame({"defect": ["cut", "glue"], "aupimo": [0.1, 0.9], "severity": [0.2, 0.7]})
        >>> len(scores_against(table, "severity", xlabel="severity (0.1 faint, 1 strong)").collections)
        2
    """
    if column not in table.columns:
        raise InputError(
            f"The score table has no column {column!r}, only {', '.join(map(str, table.columns))}: take one of these."
        )
    known = table.dropna(subset=["aupimo", column])
    _scores(known["aupimo"])
    ax = ax or plt.figure().gca()
    for defect, color in colors(known["defect"]).items():
        group = known[known["defect"] == defect]
        ax.scatter(group[column], group["aupimo"], s=22, color=color, alpha=0.8, linewidths=0, label=wrap(defect))
    ax.set(ylim=(-0.03, 1.03), xlabel=xlabel or column, ylabel=_LABEL, title=title)
    ax.yaxis.set_major_formatter(PERCENT)
    if legend:
        ax.legend(title="defect", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def _by(table: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Split the scores by the values of a column."""
    _scores(table["aupimo"])
    return {str(name): group["aupimo"].to_numpy() for name, group in table.dropna(subset="aupimo").groupby(column)}


def _box_rows(
    ax: Axes,
    groups: Mapping[str, np.ndarray],
    box: Mapping[str, Any],
    box_colors: Mapping[str, str],
    *,
    median_width: float,
    points: Mapping[str, Any],
    point_colors: Mapping[str, str],
    spread: float,
) -> None:
    """Draw each group of scores as a box plot with its points, the first on top, in the styles of both."""
    # The jitter keeps equal scores apart; it says nothing, so it is the same in every drawing.
    jitter = np.random.default_rng(0)
    look = {"orientation": "horizontal", "showfliers": False, "manage_ticks": False, **box}
    for row, (name, scores) in enumerate(groups.items()):
        line = {"color": box_colors[name]}
        look |= {"boxprops": line, "whiskerprops": line, "capprops": line}
        ax.boxplot(scores, positions=[row], medianprops=line | {"linewidth": median_width}, **look)
        heights = row + jitter.uniform(-spread, spread, len(scores))
        ax.scatter(scores, heights, color=point_colors[name], linewidth=0, **points)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(groups) - 0.5, -0.5))
    ax.xaxis.set_major_formatter(PERCENT)
    ax.grid(visible=False, axis="y")


def _scores(aupimos: ArrayLike) -> np.ndarray:
    """Leave NaN out and refuse what cannot be drawn."""
    scores = np.asarray(aupimos, dtype=float)
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        raise InputError("There is no score to draw: every value is NaN, as for a test set of normal images only.")
    outside = scores[(scores < 0) | (scores > 1)]
    if outside.size:
        raise InputError(
            f"AUPIMO scores lie between 0 and 1, but one is {outside[0]:g}: give scores as fractions of 1."
        )
    return scores
