"""Plots that compare models: image by image, over data sets, and beside published scores."""

from collections.abc import Sequence
from dataclasses import fields

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scikit_posthocs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from aupimo_helpers.plots.style import NORMAL_COLOR, OKABE_ITO, PERCENT, colors
from aupimo_helpers.stats import ManyComparison, PairComparison

POINTS = FuncFormatter(lambda value, _: f"{100 * value:+.0f}" if round(100 * value) else "0")
"""A difference of fractions of 1 in percentage points: 0.25 is written +25."""

_POSTHOC_TITLES = {"nemenyi": "Nemenyi", "conover": "Conover with Holm", "wilcoxon": "Wilcoxon with Holm"}


def paired_scatter(
    scores: pd.DataFrame, a: str, b: str, *, defects: pd.Series | None = None, ax: Axes | None = None
) -> Axes:
    """Draw one point per image: the score of one model against that of another.

    Args:
        scores: Paired scores in [0, 1], as from `aupimo_helpers.stats.pair_scores`.
        a: Model on the horizontal axis.
        b: Model on the vertical axis.
        defects: Defect type by image path, which colours the points.
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

    Example:
        >>> ax = paired_scatter(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.5]}), "A", "B")
        >>> ax.get_xlabel()
        'AUPIMO of A'
    """
    ax = ax or plt.subplots(figsize=(6.5, 4.5))[1]
    ax.axline((0, 0), slope=1, color=NORMAL_COLOR, linewidth=1, linestyle="--", zorder=1)
    groups = pd.Series("image", index=scores.index) if defects is None else defects.reindex(scores.index)
    for number, (defect, color) in enumerate(colors(groups).items()):
        group = scores[groups == defect]
        marker = "osD^vP"[number // len(OKABE_ITO) % 6]  # colours repeat from the eighth type on
        ax.scatter(group[a], group[b], s=28, color=color, marker=marker, alpha=0.75, linewidth=0, label=defect)
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
    scores: pd.DataFrame, a: str, b: str, *, comparison: PairComparison | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the difference of two models' scores image by image, sorted, as bars.

    Args:
        scores: Paired scores in [0, 1].
        a: First model; bars go up where it scores higher.
        b: Second model.
        comparison: Adds the mean difference with its confidence interval.
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

    Example:
        >>> ax = sorted_differences(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.5]}), "A", "B")
        >>> [round(float(bar.get_height()), 1) for bar in ax.patches]
        [0.4, -0.1]
    """
    ax = ax or plt.subplots()[1]
    difference = (scores[a] - scores[b]).sort_values(ascending=False).to_numpy()
    palette = colors([a, b])
    bar_colors = [palette[a] if value > 0 else palette[b] for value in difference]
    ax.bar(np.arange(1, len(difference) + 1), difference, width=0.9, color=bar_colors)
    ax.axhline(0, color="black", linewidth=0.8)
    if comparison is not None:
        label = f"mean and its {comparison.confidence:.0%} confidence interval"
        ax.axhline(comparison.mean_difference, color="black", linewidth=1.2, linestyle="--", label=label)
        ax.axhspan(comparison.ci_low, comparison.ci_high, color="black", alpha=0.15, linewidth=0)
        ax.legend(loc="upper right")
    ax.set(xlabel="image, sorted by difference", ylabel="difference in AUPIMO\n(percentage points)")
    ax.set_title(f"Up: {a} finds more of the defect\nDown: {b} finds more")
    ax.yaxis.set_major_formatter(POINTS)
    ax.grid(visible=False, axis="x")
    return ax


def difference_intervals(pairs: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the mean difference of every pair of models with its confidence interval.

    Args:
        pairs: As from `aupimo_helpers.stats.compare_pairs`.
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

    Example:
        >>> pair = {"a": "A", "b": "B", "mean_difference": 0.1, "ci_low": 0.05, "ci_high": 0.2, "confidence": 0.95}
        >>> pairs = pd.DataFrame([pair])
        >>> difference_intervals(pairs).get_yticklabels()[0].get_text()
        'A - B'
    """
    ax = ax or plt.subplots(figsize=(7, 1.2 + 0.45 * len(pairs)))[1]
    rows = np.arange(len(pairs))
    middle = pairs["mean_difference"].to_numpy()
    spread = [middle - pairs["ci_low"].to_numpy(), pairs["ci_high"].to_numpy() - middle]
    ax.errorbar(middle, rows, xerr=spread, fmt="o", color=OKABE_ITO[0], capsize=4)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(rows, [f"{a} - {b}" for a, b in zip(pairs["a"], pairs["b"], strict=True)])
    ax.set_ylim(len(pairs) - 0.5, -0.5)
    ax.set_xlabel("mean difference in AUPIMO (percentage points)")
    ax.set_title(f"How much better, and how sure?\nMean and {pairs['confidence'].iloc[0]:.0%} confidence interval")
    ax.xaxis.set_major_formatter(POINTS)
    return ax


def critical_difference(
    result: ManyComparison, *, alpha: float = 0.05, unit: str = "images", ax: Axes | None = None
) -> Axes:
    """Draw a critical-difference diagram: mean ranks, with a bar over models that the test cannot tell apart.

    Args:
        result: As from `aupimo_helpers.stats.compare_many`.
        alpha: Significance level, in (0, 1).
        unit: What the rows are, for the title.
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

    Example:
        >>> from aupimo_helpers.stats import compare_many
        >>> a = np.arange(10) / 20
        >>> scores = pd.DataFrame({"A": a, "B": a + 0.05 * (-1) ** np.arange(10), "C": a + 0.3})
        >>> critical_difference(compare_many(scores)).get_xlabel()
        'mean rank (1 is best)'

    References:
        J. Demšar: Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006), section 3.2.2.
    """
    num_models = len(result.mean_ranks)
    ax = ax or plt.subplots(figsize=(8, 1.2 + 0.28 * num_models))[1]
    scikit_posthocs.critical_difference_diagram(
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
    ax.set_xlabel("mean rank (1 is best)")
    ax.xaxis.set_label_position("top")
    ax.set_title(
        f"Mean ranks over {len(result.ranks)} {unit}: models that share a bar cannot be told apart\n"
        f"({_POSTHOC_TITLES[result.posthoc]}, {alpha:.0%} level)"
    )
    ax.spines["top"].set_visible(True)
    ax.grid(visible=False)
    return ax


def score_matrix(means: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a table of mean scores as a heat map with the numbers in it, best models left, easiest data sets on top.

    Args:
        means: Mean AUPIMO in [0, 1], data sets (rows) x models (columns).
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

    Example:
        >>> ax = score_matrix(pd.DataFrame({"A": [0.1, 0.9], "B": [0.2, 0.95]}, index=["x", "y"]))
        >>> [label.get_text() for label in ax.get_xticklabels()], [label.get_text() for label in ax.get_yticklabels()]
        (['B', 'A'], ['y', 'x'])
    """
    ordered = means.loc[
        means.mean(axis="columns").sort_values(ascending=False).index,
        means.mean().sort_values(ascending=False).index,
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
    colorbar = ax.figure.colorbar(image, ax=ax, format=PERCENT, fraction=0.03, pad=0.02)
    colorbar.set_label("mean AUPIMO")
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
    """Draw the per-image scores of several models (or data sets) as box plots with their points, highest mean on top.

    Args:
        scores: One row per image and model: column ``aupimo`` in [0, 1] (NaN is left out) and ``by``.
        by: Column that tells the boxes apart.
        highlight: Values of ``by`` to be drawn in another colour.
        apart: Draw those below the others and a line, because they come from other images and must not be ranked.
        title: Instead of the usual title.
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

    Example:
        >>> scores = pd.DataFrame({"model": ["A", "A", "B", "B"], "aupimo": [0.1, 0.2, 0.5, 0.8]})
        >>> [label.get_text() for label in score_boxes(scores, "model").get_yticklabels()]
        ['B', 'A']
    """
    groups = {str(name): group["aupimo"].to_numpy() for name, group in scores.dropna(subset="aupimo").groupby(by)}
    names = sorted(groups, key=lambda name: (apart and name in highlight, -groups[name].mean()))
    ax = ax or plt.subplots(figsize=(7, 1 + 0.32 * len(names)))[1]
    rng = np.random.default_rng(0)  # the jitter only keeps the points apart
    for row, name in enumerate(names):
        color = OKABE_ITO[4] if name in highlight else OKABE_ITO[0]
        ax.boxplot(
            groups[name],
            positions=[row],
            orientation="horizontal",
            widths=0.6,
            showfliers=False,
            manage_ticks=False,
            boxprops={"color": color},
            whiskerprops={"color": color},
            capprops={"color": color},
            medianprops={"color": color, "linewidth": 2},
        )
        jitter = row + rng.uniform(-0.2, 0.2, len(groups[name]))
        ax.scatter(groups[name], jitter, s=6, color=color, alpha=0.35, linewidth=0)
        ax.scatter(groups[name].mean(), row, s=30, marker="D", color="black", zorder=3, label="" if row else "mean")
    if apart:
        ax.axhline(len(names) - len(highlight) - 0.5, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5), xlabel="AUPIMO of an image")
    ax.set_title(title or f"Per-image scores by {by}: the mean hides the spread")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    ax.grid(visible=False, axis="y")
    return ax


def dataset_ranges(
    means: pd.DataFrame, *, own: float | None = None, own_label: str = "own run", ax: Axes | None = None
) -> Axes:
    """Draw for every data set the mean scores of all models as points on one line, easiest data set on top.

    Args:
        means: Mean AUPIMO in [0, 1], data sets (rows) x models (columns).
        own: A mean score to set beside them as a vertical line.
        own_label: What the line is.
        ax: Where to draw; new axes by default.

    Returns:
        The axes.

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
    ax.set_title(f"{ordered.shape[1]} models on {len(ordered)} data sets: the data set matters as much as the model")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    ax.grid(visible=False, axis="y")
    return ax


def comparison_figure(
    scores: pd.DataFrame, pairs: pd.DataFrame, many: ManyComparison | None = None, *, defects: pd.Series | None = None
) -> Figure:
    """Draw a comparison of models on one page: image by image for two models, distributions and ranks for more.

    Args:
        scores: Paired scores in [0, 1], as from `aupimo_helpers.stats.pair_scores`.
        pairs: As from `aupimo_helpers.stats.compare_pairs`.
        many: As from `aupimo_helpers.stats.compare_many`, needed where there are more than two models.
        defects: Defect type by image path, which colours the points of two models.

    Returns:
        The figure.

    Example:
        >>> from aupimo_helpers.stats import compare_pairs
        >>> scores = pd.DataFrame({"A": np.arange(9) / 10, "B": np.arange(9) ** 2 / 100})
        >>> len(comparison_figure(scores, compare_pairs(scores)).axes)
        2
    """
    if many is None:
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(1, 1.2))
        row = pairs.iloc[0]
        comparison = PairComparison(**{field.name: row[field.name] for field in fields(PairComparison)})
        paired_scatter(scores, comparison.b, comparison.a, defects=defects, ax=left)
        sorted_differences(scores, comparison.a, comparison.b, comparison=comparison, ax=right)
        return figure
    num_models = scores.shape[1]
    heights = [1 + 0.32 * num_models, 1.2 + 0.45 * (num_models - 1), 1.2 + 0.28 * num_models]
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9, sum(heights)), height_ratios=heights)
    score_boxes(scores.melt(var_name="model", value_name="aupimo"), "model", ax=top)
    difference_intervals(pairs[pairs["a"] == pairs["a"].iloc[0]], ax=middle)
    critical_difference(many, ax=bottom)
    return figure
