import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aupimo_helpers.errors import InputError
from aupimo_helpers.plots import models, scores


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "defect": ["good"] * 3 + ["cut"] * 4 + ["glue"] * 5,
            "aupimo": [np.nan] * 3 + rng.random(9).tolist(),
            "mask_area": [0] * 3 + list(range(10, 100, 10)),
        }
    )


def test_histogram_counts_every_score_once_in_ten_bins():
    values = [0.0, 0.05, 0.1, 0.95, 1.0, np.nan]
    ax = scores.score_histogram(values)
    assert [int(bar.get_height()) for bar in ax.patches] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert ax.get_legend().get_texts()[0].get_text() == "mean 42 %"


def test_histogram_axis_is_in_percent():
    ax = scores.score_histogram([0.2, 0.4])
    ax.figure.canvas.draw()
    assert ax.get_xticklabels()[-1].get_text() == "100 %"


def test_boxes_show_the_quartiles_and_every_image(table):
    ax = scores.scores_by_defect(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cut (4)", "glue (5)"]
    assert [len(points.get_offsets()) for points in ax.collections] == [4, 5]
    cut = table.loc[table["defect"] == "cut", "aupimo"]
    assert any(np.allclose(line.get_xdata(), cut.median()) for line in ax.lines)


def test_one_image_in_a_defect_type_is_drawn():
    ax = scores.scores_by_defect(pd.DataFrame({"defect": ["cut"], "aupimo": [0.5]}))
    assert len(ax.collections) == 1


def test_boxes_leave_nan_out_and_put_the_best_mean_on_top():
    long = pd.DataFrame({"model": list("AAABB"), "aupimo": [0.1, 0.3, np.nan, 0.5, 0.9]})
    ax = scores.score_boxes(long, "model", highlight=["A"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B", "A"]
    (means,) = [points for points in ax.collections if points.get_label() == "mean"]
    assert np.array(means.get_offsets()) == pytest.approx(np.array([[0.7, 0], [0.2, 1]]))


def test_boxes_of_other_images_are_not_ranked_among_the_rest():
    long = pd.DataFrame({"model": list("AABBCC"), "aupimo": [0.1, 0.3, 0.5, 0.9, 0.6, 0.4]})
    for apart, expected in ((False, ["B", "C", "A"]), (True, ["C", "A", "B"])):
        ax = scores.score_boxes(long, "model", highlight=["B"], apart=apart)
        assert [label.get_text() for label in ax.get_yticklabels()] == expected


def test_points_lie_at_property_and_score(table):
    ax = scores.scores_against(table, "mask_area", xlabel="mask area (pixels)")
    points = np.concatenate([group.get_offsets() for group in ax.collections])
    assert np.allclose(points, table.dropna()[["mask_area", "aupimo"]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cut", "glue"]
    assert ax.get_xlabel() == "mask area (pixels)"


def test_given_axes_are_used_and_returned(table):
    ax = plt.subplots()[1]
    assert scores.score_histogram([0.1], ax=ax) is ax
    assert scores.scores_by_defect(table, ax=ax) is ax
    assert scores.score_boxes(table, "defect", ax=ax) is ax
    assert ax.get_title(loc="left") == "Per-image scores by defect: the mean hides the spread"
    assert scores.scores_against(table, "mask_area", ax=ax) is ax


def test_what_cannot_be_drawn_is_refused(table):
    with pytest.raises(InputError, match="no score to draw"):
        scores.score_histogram([np.nan, np.nan])
    with pytest.raises(InputError, match="one is 55"):
        scores.score_histogram([0.1, 55.0])
    with pytest.raises(InputError, match="no column 'severity', only defect, aupimo, mask_area"):
        scores.scores_against(table, "severity")


def test_no_kind_of_defect_is_missing_from_a_legend(table):
    """Matplotlib leaves out labels that begin with an underscore."""
    hidden = table.assign(defect="_x", mask_area=range(len(table)), a=table["aupimo"])
    drawn = [
        scores.scores_against(hidden, "mask_area"),
        models.paired_scatter(hidden, "a", "aupimo", defects=hidden["defect"]),
    ]
    assert [[text.get_text().strip("\u200b") for text in ax.get_legend().get_texts()] for ax in drawn] == [["_x"]] * 2
