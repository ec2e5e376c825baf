import io
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.plots import images


@pytest.fixture
def mask():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:10, 12:18] = True
    return mask


def test_load_image_keeps_pixels_and_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(images.load_image(tmp_path / "a.png"), pixels)
    assert images.load_image(tmp_path / "a.png", size=(14, 5)).shape == (14, 5, 3)


def test_load_image_turns_grey_into_rgb(tmp_path):
    Image.new("L", (4, 3), 77).save(tmp_path / "grey.png")
    loaded = images.load_image(tmp_path / "grey.png")
    assert loaded.shape == (3, 4, 3)
    assert (loaded == 77).all()


def test_load_mask_stays_two_valued_when_resized(tmp_path, mask):
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.png")
    assert np.array_equal(images.load_mask(tmp_path / "m.png"), mask)
    half = images.load_mask(tmp_path / "m.png", size=(10, 15))
    assert half.dtype == bool
    assert 0 < half.sum() < mask.sum()


@pytest.mark.parametrize("load", [images.load_image, images.load_mask])
def test_bad_files_are_named(tmp_path, load):
    with pytest.raises(MissingError, match=r"nowhere\.png"):
        load(tmp_path / "nowhere.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(InputError, match=r"broken\.png"):
        load(tmp_path / "broken.png")


def test_the_outline_surrounds_the_mask(mask):
    ax = images.show_image(plt.subplots()[1], np.zeros(mask.shape), mask)
    (outline,) = ax.collections
    (path,) = outline.get_paths()
    low, high = path.vertices.min(axis=0), path.vertices.max(axis=0)
    assert low == pytest.approx([11.5, 4.5])
    assert high == pytest.approx([17.5, 9.5])


def test_the_outline_of_a_defect_at_the_border_is_closed():
    mask = np.zeros((8, 8))
    mask[:3, :3] = 1
    ax = images.draw_outline(plt.subplots()[1], mask)
    (path,) = ax.collections[0].get_paths()
    assert path.vertices[0] == pytest.approx(path.vertices[-1])
    assert ax.get_xlim() == (-0.5, 7.5)


def test_no_outline_for_a_normal_image():
    ax = images.show_image(plt.subplots()[1], np.zeros((8, 8)), np.zeros((8, 8)))
    assert not ax.collections


def test_the_heat_map_stands_alone_below_the_stretched_image(mask):
    scores = np.linspace(0, 5, mask.size).reshape(mask.shape)
    figure = images.heatmap_grid([np.zeros((40, 60, 3), dtype=np.uint8)], [scores], [mask])
    (image,) = figure.axes[0].images
    (heat,) = figure.axes[1].images
    assert image.get_extent() == heat.get_extent()
    assert heat.get_clim() == (0, 5)
    assert heat.get_alpha() is None
    np.testing.assert_array_equal(heat.get_array(), scores)


def test_thresholds_outside_the_maps_range_have_no_line(mask):
    scores = mask * 3.0
    figure = images.heatmap_grid([np.zeros(mask.shape)], [scores], thresholds=[1.0, 10.0])
    assert len(figure.axes[1].collections) == 1


def test_contours_are_seen_where_the_heat_map_is_brightest(mask):
    figure = images.heatmap_grid([np.zeros(mask.shape)], [mask * 3.0], limits=(0, 1), thresholds=[1.0])
    (contour,) = figure.axes[1].collections
    assert contour.get_path_effects()  # a dark halo, without which white on light yellow is lost


def test_image_grid_has_a_place_for_every_image():
    figure = images.image_grid([np.zeros((8, 8))] * 7, titles="abcdefg", ncols=3)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title(loc="left") for ax in shown] == list("abcdefg")
    assert len(figure.axes) == 9


def test_all_heat_maps_share_one_scale():
    maps = [np.full((8, 8), 1.0), np.full((8, 8), 4.0)]
    figure = images.heatmap_grid([np.zeros((8, 8))] * 2, maps, [np.eye(8)] * 2)
    scales = {ax.images[-1].get_clim() for ax in figure.axes[2:4]}
    assert scales == {(1.0, 4.0)}


@pytest.mark.parametrize(
    "draw", [images.image_grid, lambda shown, **others: images.heatmap_grid(shown, shown, **others)]
)
def test_wrong_numbers_are_refused(draw):
    with pytest.raises(InputError, match="no image"):
        draw([])
    with pytest.raises(InputError, match="2 images but 1 masks"):
        draw([np.zeros((8, 8))] * 2, masks=[np.zeros((8, 8))])


def test_as_jpeg_renders_and_closes():
    figure = images.image_grid([np.zeros((8, 8))])
    shown = images.as_jpeg(figure)
    assert Image.open(io.BytesIO(shown.data)).format == "JPEG"
    assert not plt.fignum_exists(figure.number)


class TestContours:
    scores = np.add.outer(np.arange(16.0), np.zeros(16))

    def test_the_line_runs_where_the_map_crosses_the_threshold(self):
        ax = images.plot_fpr_contours(self.scores, {"lax": 4.5, "strict": 12.0}, ax=plt.figure().gca())
        rows = [contour.get_paths()[0].vertices[:, 1] for contour in ax.collections]
        assert [set(row) for row in rows] == [{4.5}, {12.0}]

    def test_a_threshold_out_of_reach_draws_nothing_and_warns_of_nothing(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ax = images.plot_fpr_contours(self.scores, {"below": -1.0, "above": 99.0}, ax=plt.figure().gca())
        assert not ax.collections

    def test_the_legend_has_the_colours_of_the_lines(self):
        thresholds = {"lax": 4.5, "strict": 12.0}
        ax = images.plot_fpr_contours(self.scores, thresholds, ax=plt.figure().gca())
        handles = images.fpr_contour_handles(list(thresholds))
        drawn = [to_hex(contour.get_edgecolor()[0]) for contour in ax.collections]
        assert [to_hex(handle.get_color()) for handle in handles] == drawn
        assert len(set(drawn)) == 2

    def test_more_thresholds_than_colours_are_refused_not_dropped(self):
        with pytest.raises(InputError, match="8 thresholds and 4 colours"):
            images.plot_fpr_contours(self.scores, {str(i): float(i) for i in range(1, 9)}, ax=plt.figure().gca())
