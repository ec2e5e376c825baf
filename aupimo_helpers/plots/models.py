"""Plots that compare models: image by image, over data sets, and beside published scores.

The functions draw on ``ax``, or on new axes of a fitting size where none is given, and return the axes. ``scores``,
``pairs`` and ``result`` are as from ``pair_scores``, ``compare_pairs`` and ``compare_many`` of
:mod:`aupimo_helpers.stats`; ``means`` are mean AUPIMOs in 0..1, data sets (rows) x models (columns).
"""

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from aupimo_helpers.plots.scores import score_boxes
from aupimo_helpers.plots.style import NORMAL_COLOR, OKABE_ITO, PERCENT, colors, wrap

if TYPE_CHECKING:
    from aupimo_helpers.stats import ManyComparison, PairComparison

# A difference of fractions of 1 in percentage points: 0.25 is written +25.
POINTS = FuncFormatter(lambda value, _: f"{round(100 * value, 6):+g}" if round(100 * value, 6) else "0")

_POSTHOC_TITLES = {"nemenyi": "Nemenyi", "wilcoxon": "Wilcoxon with Holm"}


def paired_scatter(
    scores: pd.DataFrame, a: str, b: str, *, defects: pd.Series | None = None, ax: Axes | None = None
) -> Axes:
    """Draw one point per image: the score of model ``b`` against that of model ``a``, coloured by defect type.

    Example:
        >>> paired_scatter(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.5]}), "A", "B").get_xlabel()
        'AUPIMO of A'
    """
    ax = ax or plt.subplots(figsize=(6.5, 4.5))[1]
    ax.axline((0, 0), slope=1, color=NORMAL_COLOR, linewidth=1, linestyle="--", zorder=1)
    groups = pd.Series("image", index=scores.index) if defects is None else defects.reindex(scores.index)
    for number, (defect, color) in enumerate(colors(groups).items()):
        group = scores[groups == defect]
        marker = "osD^vP"[number // len(OKABE_ITO) % 6]  # colours repeat from the eighth type on
        ax.scatter(group[a], group[b], s=28, color=color, marker=marker, alpha=0.75, linewidth=0, label=wrap(defect))
    if defects is not None:
        ax.legend(title="defect", loc="upper left", bbox_to_anchor=(1, 1))
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    ax.set(xlabel=f"AUPIMO of {a}", ylabel=f"AUPIMO of {b}")
    ax.set_title(f"Each image scored twice: above the line\n{b} finds more of the defect")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(PERCENT)
    return ax


def sorted_differences(
    scores: pd.DataFrame, a: str, b: str, *, comparison: "PairComparison | None" = None, ax: Axes | None = None
) -> Axes:
    """Draw the difference of two models' scores, ``a - b``, image by image, sorted, as bars.

    A ``comparison``, as from ``compare_pair``, adds the mean difference with its confidence interval.

    Example:
        >>> ax = sorted_differences(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.5]}), "A", "B")
        >>> [round(float(bar.get_height()), 1) for bar in ax.patches]
        [0.4, -0.1]
    """
    ax = ax or plt.subplots()[1]
    difference = (scores[a] - scores[b]).sort_values(ascending=False).to_numpy()
    palette = colors([a, b])
    bar_colors = [palette[a] if value > 0 else palette[b] for value in difference]
    width = 0.9 if len(difference) <= 150 else 1.0  # gaps of less than a pixel come out as stripes
    ax.bar(np.arange(1, len(difference) + 1), difference, width=width, color=bar_colors)
    ax.axhline(0, color="black", linewidth=0.8)
    if comparison is not None:
        label = f"mean and its {100 * comparison.confidence:.0f} % confidence interval"
        ax.axhline(comparison.mean_difference, color="black", linewidth=1.2, linestyle="--", label=label)
        ax.axhspan(comparison.ci_low, comparison.ci_high, color="black", alpha=0.15, linewidth=0)
        ax.legend(loc="upper right")
    ax.set(xlabel="image, sorted by difference", ylabel="difference in AUPIMO\n(percentage points)")
    ax.set_title(f"Up: {a} finds more of the defect\nDown: {b} finds more")
    if not difference.any():
        ax.text(0.5, 0.6, "no difference in any image", ha="center", transform=ax.transAxes)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(POINTS)
    ax.grid(visible=False, axis="x")
    return ax


def difference_intervals(pairs: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the mean difference of every pair of models with its confidence interval.

    Example:
        >>> pair = {"a": "A", "b": "B", "mean_difference": 0.1, "ci_low": 0.05, "ci_high": 0.2, "confidence": 0.95}
        >>> difference_intervals(pd.DataFrame([pair])).get_yticklabels()[0].get_text()
        'A - B'
    """
    ax = ax or plt.subplots(figsize=(7, 1.2 + 0.45 * len(pairs)))[1]
    rows = np.arange(len(pairs))
    ends = pairs[["ci_low", "ci_high"]].to_numpy()
    # An error bar cannot lie beside its point, which a percentile interval may.
    ax.errorbar(ends.mean(axis=1), rows, xerr=np.ptp(ends, axis=1) / 2, fmt="none", color=OKABE_ITO[0], capsize=4)
    ax.plot(pairs["mean_difference"], rows, "o", color=OKABE_ITO[0])
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(rows, [f"{a} - {b}" for a, b in zip(pairs["a"], pairs["b"], strict=True)])
    ax.set_ylim(len(pairs) - 0.5, -0.5)
    ax.set_xlabel("mean difference in AUPIMO (percentage points)")
    level = f"{100 * pairs['confidence'].iloc[0]:.0f} %"
    ax.set_title(f"How much better, and how sure?\nMean and {level} confidence interval")
    ax.xaxis.set_major_formatter(POINTS)
    return ax


def critical_difference(
    result: "ManyComparison", *, alpha: float = 0.05, unit: str = "images", ax: Axes | None = None
) -> Axes:
    """Draw a critical-difference diagram: mean ranks, with a bar over models without a significant difference.

    ``alpha`` is the significance level, in (0, 1); ``unit`` says in the title what was ranked. With Nemenyi's test a
    ruler shows the critical difference, from which on two mean ranks differ significantly. After J. Demšar:
    Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006), section 3.2.2.

    Example:
        >>> from aupimo_helpers.stats import compare_many
        >>> scores = pd.DataFrame(np.random.default_rng(0).random((9, 3)), columns=list("ABC"))
        >>> critical_difference(compare_many(scores)).get_xlabel()
        'mean rank (1 is best)'
    """
    import scikit_posthocs  # takes a second, and no other plot needs it

    num_models = len(result.mean_ranks)
    ax = ax or plt.subplots(figsize=(8, 1.5 + 0.28 * num_models))[1]
    drawn = scikit_posthocs.critical_difference_diagram(
        result.mean_ranks,
        result.p_values,
        alpha=alpha,
        ax=ax,
        label_fmt_left="{label} ({rank:.2f})",
        label_fmt_right="({rank:.2f}) {label}",
        marker_props={"s": 20},
        elbow_props={"linewidth": 1},
        crossbar_props={"color": OKABE_ITO[4], "linewidth": 4},
        color_palette=["black"] * num_models,
        text_h_margin=0.02,
    )
    for (bar,) in drawn["crossbars"]:
        bar.set_xdata(sorted(bar.get_xdata()))  # it ran through a set of names, in an order that processes differ in
    ax.set_xlabel("mean rank (1 is best)")
    ax.xaxis.set_label_position("top")
    title = f"Mean ranks over {len(result.ranks)} {unit}. Orange: no significant difference\n"
    title += f"({_POSTHOC_TITLES[result.posthoc]}, {100 * alpha:g} % level"
    if result.posthoc == "nemenyi":
        critical = _critical_difference(num_models, len(result.ranks), alpha)
        title += f"; ruler: critical difference {critical:.2f}"
        left, bottom = result.mean_ranks.min(), ax.get_ylim()[0] - 0.4
        ax.plot([left, left + critical], [bottom, bottom], color="black", linewidth=2, marker="|", markersize=9)
        ax.set_ylim(bottom=bottom - 0.3)
    ax.set_title(title + ")")
    ax.spines["top"].set_visible(True)
    ax.grid(visible=False)
    return ax


def _critical_difference(num_models: int, num_rows: int, alpha: float) -> float:
    """Nemenyi's critical difference of two mean ranks (J. Demšar, JMLR 7, 2006, section 3.2.2)."""
    import scipy.stats

    quantile = scipy.stats.studentized_range.ppf(1 - alpha, num_models, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(num_models * (num_models + 1) / (6 * num_rows)))


def score_matrix(means: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a table of mean scores as a heat map with the numbers in it, best models left, easiest data sets on top.

    Example:
        >>> ax = score_matrix(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.95]}, index=["x", "y"]))
        >>> [label.get_text() for label in ax.get_xticklabels()], [label.get_text() for label in ax.get_yticklabels()]
        (['B', 'A'], ['y', 'x'])
    """
    ordered = means.loc[
        means.mean(axis="columns").sort_values(ascending=False).index, means.mean().sort_values(ascending=False).index
    ]
    ax = ax or plt.subplots(figsize=(2.6 + 0.5 * ordered.shape[1], 1.6 + 0.25 * len(ordered)))[1]
    image = ax.imshow(ordered, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for row, column in np.ndindex(ordered.shape):
        value = ordered.iloc[row, column]
        color = "black" if value > 0.55 else "white"
        ax.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(ordered.shape[1]), ordered.columns, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(ordered)), ordered.index)
    ax.set(xlabel="model, best mean on the left", ylabel="data set, easiest on top")
    ax.set_title("Mean AUPIMO in % over the anomalous images")
    ax.grid(visible=False)
    ax.figure.colorbar(image, ax=ax, format=PERCENT, fraction=0.03, pad=0.02, label="mean AUPIMO")
    return ax


def dataset_ranges(
    means: pd.DataFrame, *, own: float | None = None, own_label: str = "own run", ax: Axes | None = None
) -> Axes:
    """Draw for every data set the mean scores of all models as points on one line, easiest data set on top.

    ``own`` is a mean score to set beside them as a vertical line, ``own_label`` says what the line is.

    Example:
        >>> ax = dataset_ranges(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.95]}, index=["x", "y"]), own=0.6)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['y', 'x']
    """
    ordered = means.loc[means.mean(axis="columns").sort_values(ascending=False).index]
    ax = ax or plt.subplots(figsize=(7, 1.2 + 0.22 * len(ordered)))[1]
    rows = np.arange(len(ordered))
    ax.hlines(rows, ordered.min(axis="columns"), ordered.max(axis="columns"), color=OKABE_ITO[0], alpha=0.4)
    for column, name in enumerate(ordered):
        label = "" if column else "one published model"
        ax.scatter(ordered[name], rows, s=14, color=OKABE_ITO[0], alpha=0.7, linewidth=0, label=label)
    ax.scatter(ordered.median(axis="columns"), rows, s=40, marker="|", color="black", zorder=3, label="their median")
    if own is not None:
        ax.axvline(own, color=OKABE_ITO[4], linewidth=1.5, label=own_label)
    ax.set_yticks(rows, ordered.index, fontsize=9)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(ordered) - 0.5, -0.5), xlabel="mean AUPIMO of a model")
    ax.set_title(f"{ordered.shape[1]} models on {len(ordered)} data sets: each dot is a mean over images")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    ax.grid(visible=False, axis="y")
    return ax


def comparison_figure(
    scores: pd.DataFrame, pairs: pd.DataFrame, many: "ManyComparison | None" = None, *, defects: pd.Series
) -> Figure:
    """Draw a comparison on one page: two models image by image, more (with ``many``) by distributions and ranks."""
    if many is None:
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(1, 1.2))
        pair: Any = next(pairs.itertuples())
        paired_scatter(scores, pair.b, pair.a, defects=defects, ax=left)
        sorted_differences(scores, pair.a, pair.b, comparison=pair, ax=right)
        return figure
    num_models = scores.shape[1]
    heights = [1 + 0.32 * num_models, 1.2 + 0.45 * (num_models - 1), 1.2 + 0.28 * num_models]
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9, sum(heights)), height_ratios=heights)
    score_boxes(scores.melt(var_name="model", value_name="aupimo"), "model", ax=top)
    difference_intervals(pairs[pairs["a"] == pairs["a"].iloc[0]], ax=middle)
    critical_difference(many, ax=bottom)
    return figure
