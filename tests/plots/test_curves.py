"""The plots of PIMO curves draw the numbers they are given, and the shaded area is the score."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import PIMOCurves, aupimo_scores, pimo_curves, threshold_at_fpr
from aupimo_helpers.plots import curves as plots
from aupimo_helpers.plots.style import colors

BOUNDS = (1e-3, 1e-2)


@pytest.fixture(scope="module")
def maps_and_masks():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand((9, 64, 64), generator=generator)
    masks = torch.zeros(9, 64, 64, dtype=torch.bool)
    masks[4:, 16:48, 16:48] = True
    maps[4:] += masks[4:] * torch.linspace(0.0, 0.9, 5)[:, None, None]
    return maps, masks


@pytest.fixture(scope="module")
def curves(maps_and_masks):
    return pimo_curves(*maps_and_masks, fpr_range=(1e-4, 1.0), num_points=2000)


def line(ax, label):
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return found


def shaded_share(ax, bounds):
    """Area of the filled polygon on the log axis, as a share of the zone."""
    filled = ax.collections[-1].get_paths()[0].vertices
    x, y = np.log(filled[:, 0]), filled[:, 1]
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return area / np.log(bounds[1] / bounds[0])


class TestOneCurve:
    @pytest.mark.parametrize("image", range(4, 9))
    def test_the_shaded_share_of_the_zone_is_the_score(self, maps_and_masks, curves, image):
        score = aupimo_scores(*maps_and_masks, BOUNDS)[image].item()
        ax = plots.plot_pimo_curve(curves.shared_fpr, curves.per_image_tprs[image], fpr_bounds=BOUNDS)
        assert shaded_share(ax, BOUNDS) == pytest.approx(score, abs=5e-3)

    def test_the_scores_differ_so_that_a_wrong_area_is_noticed(self, maps_and_masks):
        assert aupimo_scores(*maps_and_masks, BOUNDS)[4:].std() > 0.1

    def test_points_may_come_in_any_order(self):
        fpr, tpr = np.array([1e-5, 1e-3, 1e-1, 1.0]), np.array([0.1, 0.3, 0.8, 1.0])
        ascending = plots.plot_pimo_curve(fpr, tpr, label="curve")
        descending = plots.plot_pimo_curve(fpr[::-1], tpr[::-1], label="curve")
        for ax in (ascending, descending):
            np.testing.assert_array_equal(line(ax, "curve").get_xydata(), np.stack([fpr, tpr], axis=1))

    def test_a_point_at_fpr_zero_has_no_place_on_the_log_axis(self):
        ax = plots.plot_pimo_curve([0.0, 1e-5, 1.0], [0.0, 0.2, 1.0], label="curve")
        assert line(ax, "curve").get_xdata().tolist() == [1e-5, 1.0]

    def test_axes_that_are_given_are_used_and_the_zone_is_drawn_once(self):
        _, given = plt.subplots()
        for label in ("first", "second"):
            ax = plots.plot_pimo_curve([1e-6, 1.0], [0.1, 1.0], label=label, ax=given)
        assert ax is given
        assert ax.get_xscale() == "log"
        assert ax.get_legend_handles_labels()[1] == ["integration range", "first", "second"]

    def test_the_fpr_axis_says_powers_of_ten_and_percentages(self):
        ax = plots.pimo_axes()
        ax.figure.canvas.draw()
        labels = {round(np.log10(tick)): label.get_text() for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}  # fmt: skip  # noqa: E501
        assert labels[-5] == "10⁻⁵\n0.001 %"
        assert labels[0] == "10⁰\n100 %"
        assert "%" in ax.yaxis.get_major_formatter()(0.5)


class TestAllCurves:
    defects = ("good",) * 4 + ("cut", "cut", "poke", "poke", "poke")

    def test_one_line_per_anomalous_image_in_the_colour_of_its_defect(self, curves):
        ax = plots.plot_pimo_curves(curves, self.defects, fpr_bounds=BOUNDS)
        palette = colors(["cut", "poke"])
        thin = [drawn for drawn in ax.lines if drawn.get_linewidth() < 1 and len(drawn.get_xdata())]
        assert [to_hex(drawn.get_color()).upper() for drawn in thin] == [palette[name] for name in self.defects[4:]]
        np.testing.assert_allclose(thin[2].get_ydata(), curves.per_image_tprs[6].flip(0).numpy())

    def test_the_mean_curve_is_the_mean(self, curves):
        ax = plots.plot_pimo_curves(curves, self.defects, fpr_bounds=BOUNDS)
        drawn = line(ax, "mean of 5 images").get_ydata()
        np.testing.assert_allclose(drawn, curves.per_image_tprs[4:].mean(dim=0).flip(0).numpy())

    def test_a_name_for_each_curve(self, curves):
        with pytest.raises(InputError, match="9 curves and 2 defect names"):
            plots.plot_pimo_curves(curves, ["cut", "poke"])

    def test_images_with_curves(self, curves):
        pictures = [np.zeros((8, 8))] * 2
        figure = plots.plot_images_with_curves(
            pictures, pictures, curves, [5, 8], titles=["a", "b"], line_colors=["C0", "C1"], fpr_bounds=BOUNDS
        )
        lower = figure.axes[2:]
        for ax, row in zip(lower, (5, 8), strict=True):
            np.testing.assert_allclose(ax.lines[-1].get_ydata(), curves.per_image_tprs[row].flip(0).numpy())
        assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["a", "b"]


def test_the_threshold_axis_tells_the_threshold_of_each_decade(maps_and_masks, curves):
    ax = plots.add_threshold_axis(plots.pimo_axes(fpr_range=(1e-4, 1)), curves.thresholds, curves.shared_fpr)
    (top,) = ax.child_axes
    # one normal pixel weighs 6e-5, so the first decade of the curve is 1e-3
    expected = [threshold_at_fpr(*maps_and_masks, fpr) for fpr in (1e-3, 1e-2, 1e-1, 1.0)]
    shown = dict(zip(np.round(np.log10(top.get_xticks())), top.get_xticklabels(), strict=True))
    assert [float(shown[decade].get_text()) for decade in (-3, -2, -1, 0)] == pytest.approx(expected, rel=2e-3)
    assert sorted(expected, reverse=True) == expected


def test_the_no_skill_line_is_tpr_equal_fpr():
    ax = plots.add_no_skill(plots.pimo_axes(fpr_range=(1e-4, 1)))
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, y)
    assert x[[0, -1]] == pytest.approx([1e-4, 1])


def test_the_band():
    quantiles = np.array([[0.1, 0.2, 0.4], [0.0, 0.3, 0.5]])
    ax = plots.plot_band([1, 2], quantiles, label="simulated")
    np.testing.assert_array_equal(line(ax, "simulated").get_ydata(), quantiles[:, 1])
    limits = ax.collections[0].get_paths()[0].get_extents()
    assert (limits.y0, limits.y1) == (0.0, 0.5)


def test_curves_are_what_the_metric_returns(curves):
    assert isinstance(curves, PIMOCurves)
    assert curves.shared_fpr[0] > curves.shared_fpr[-1], "descending: the plots sort"
