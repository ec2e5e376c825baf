"""The plots that compare models: they draw the numbers they are given, on the axes they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from aupimo_helpers.plots.models import (
    critical_difference,
    dataset_ranges,
    difference_intervals,
    paired_scatter,
    score_matrix,
    sorted_differences,
)
from aupimo_helpers.plots.style import colors
from aupimo_helpers.stats import compare_many, compare_pair, compare_pairs

RNG = np.random.default_rng(0)
BASE = RNG.uniform(0.2, 0.7, 12)
SCORES = pd.DataFrame(
    {"A": BASE, "B": BASE + RNG.normal(0.1, 0.1, 12), "C": BASE - RNG.uniform(0, 0.1, 12)},
    index=[f"test/{'cut' if i % 3 else 'poke'}/{i}.png" for i in range(12)],
)
DEFECTS = SCORES.index.str.split("/").str[1].to_series(index=SCORES.index)
MEANS = pd.DataFrame({"A": [0.1, 0.9, 0.5], "B": [0.2, 0.95, 0.6]}, index=["x", "y", "z"])


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: paired_scatter(SCORES, "A", "B", defects=DEFECTS, ax=ax),
        lambda ax: sorted_differences(SCORES, "A", "B", comparison=compare_pair(SCORES, "A", "B"), ax=ax),
        lambda ax: difference_intervals(compare_pairs(SCORES, num_resamples=99), ax=ax),
        lambda ax: critical_difference(compare_many(SCORES), ax=ax),
        lambda ax: score_matrix(MEANS, ax=ax),
        lambda ax: dataset_ranges(MEANS, own=0.4, ax=ax),
    ],
)
def test_every_plot_draws_on_the_given_axes_with_title_and_labels_and_makes_its_own(draw):
    ax = plt.subplots()[1]
    assert draw(ax) is ax
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()
    ax.figure.canvas.draw()
    assert draw(None) is not ax


def test_scatter_points_are_the_scores_coloured_by_defect():
    ax = paired_scatter(SCORES, "A", "B", defects=DEFECTS)
    points = np.concatenate([collection.get_offsets() for collection in ax.collections])
    np.testing.assert_allclose(points[points[:, 0].argsort()], SCORES[["A", "B"]].sort_values("A"))
    drawn = {collection.get_label(): to_hex(collection.get_facecolor()[0]) for collection in ax.collections}
    assert drawn == {name: color.lower() for name, color in colors(["cut", "poke"]).items()}


def test_scatter_keeps_more_than_seven_defect_types_apart():
    defects = pd.Series([f"type {i}" for i in range(12)], index=SCORES.index)
    ax = paired_scatter(SCORES, "A", "B", defects=defects)
    looks = {(to_hex(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections}
    assert len(looks) == 12


def test_difference_bars_are_sorted_and_coloured_by_the_better_model():
    ax = sorted_differences(SCORES, "A", "B", comparison=compare_pair(SCORES, "A", "B"))
    bars = [patch for patch in ax.patches if patch.get_width() == pytest.approx(0.9)]
    heights = [bar.get_height() for bar in bars]
    assert heights == pytest.approx(sorted(SCORES["A"] - SCORES["B"], reverse=True))
    palette = colors(["A", "B"])
    for bar in bars:
        assert to_hex(bar.get_facecolor()) == palette["A" if bar.get_height() > 0 else "B"].lower()


def test_models_that_never_differ_are_told_so():
    def notes(ax):
        return [text.get_text() for text in ax.texts]

    assert notes(sorted_differences(SCORES.assign(B=SCORES["A"]), "A", "B")) == ["no difference in any image"]
    assert notes(sorted_differences(SCORES, "A", "B")) == []


def test_intervals_are_where_the_table_says():
    pairs = compare_pairs(SCORES, num_resamples=99)
    ax = difference_intervals(pairs)
    segments = ax.containers[0].lines[2][0].get_segments()
    assert [(s[0][0], s[1][0]) for s in segments] == [
        pytest.approx(ends) for ends in zip(pairs["ci_low"], pairs["ci_high"], strict=True)
    ]


def test_critical_difference_names_every_model_with_its_rank():
    result = compare_many(SCORES)
    written = " ".join(text.get_text() for text in critical_difference(result).texts)
    for name, rank in result.mean_ranks.items():
        assert name in written
        assert f"({rank:.2f})" in written


def test_the_ruler_is_as_long_as_the_critical_difference():
    """That of Demsar (2006), section 3.2.2: four models on 14 data sets, 2.569 * sqrt(4 * 5 / (6 * 14)) = 1.25."""
    scores = pd.DataFrame(np.random.default_rng(0).random((14, 4)), columns=list("ABCD"))
    ax = critical_difference(compare_many(scores))
    (ruler,) = [line for line in ax.lines if line.get_marker() == "|"]
    assert np.ptp(ruler.get_xdata()) == pytest.approx(1.25, abs=0.005)
    without = critical_difference(compare_many(scores, posthoc="wilcoxon"))
    assert not [line for line in without.lines if line.get_marker() == "|"]


def test_critical_difference_is_the_same_in_every_process():
    """Sets of names have another order in each process; drawn in that order, a bar's pixels differ."""
    scores = pd.DataFrame(np.random.default_rng(0).random((8, 9)), columns=list("ABCDEFGHI"))
    (bar,) = [line for line in critical_difference(compare_many(scores)).lines if line.get_linewidth() == 4]
    assert list(bar.get_xdata()) == sorted(compare_many(scores).mean_ranks)


def test_matrix_is_ordered_and_holds_the_numbers_in_percent():
    ax = score_matrix(MEANS)
    assert [text.get_text() for text in ax.texts] == ["95", "90", "60", "50", "20", "10"]


def test_own_score_is_a_line_at_its_value():
    ax = dataset_ranges(MEANS, own=0.4, own_label="mine")
    (line,) = [line for line in ax.lines if line.get_label() == "mine"]
    assert list(line.get_xdata()) == [0.4, 0.4]
