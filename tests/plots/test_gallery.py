"""The gallery shows the chosen images, each in its place, and is written whole or not at all."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aupimo_helpers import stats
from aupimo_helpers.errors import InputError, WriteError
from aupimo_helpers.model import Predictions
from aupimo_helpers.plots.gallery import heat_limits, plot_gallery, save_gallery, show_detection

THRESHOLDS = {"FPR 0.010%": 0.5, "FPR 0.001%": 0.8}


@pytest.fixture
def predictions(tmp_path):
    """Six cuts, five pokes and a normal image of 20 x 24 pixels; the files are twice as large."""
    names = [f"cut/{i}.png" for i in range(6)] + [f"poke/{i}.png" for i in range(5)] + ["good/0.png"]
    paths = tuple(f"own/parts/test/{name}" for name in names)
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 40), "brown").save(tmp_path / path)
    maps = torch.zeros(12, 20, 24)
    masks = torch.zeros(12, 20, 24, dtype=torch.bool)
    masks[:11, 5:15, 6:18] = True
    maps[:11, 5:15, 6:18] = torch.linspace(0, 1, 12)[None, None]
    return Predictions(maps, masks, paths)


@pytest.fixture
def table(predictions):
    scores = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.1, 0.3, 0.5, 0.7, 0.9, np.nan]
    return pd.DataFrame({"image_path": predictions.image_paths, "defect": predictions.defects, "aupimo": scores})


def pictures(figure):
    return [ax for ax in figure.axes if len(ax.images) == 1]


def test_one_column_per_statistic_and_one_row_per_defect(predictions, table, tmp_path):
    chosen = stats.representatives(table, by="defect")
    figure = plot_gallery(chosen, predictions, THRESHOLDS, data_root=tmp_path, by="defect", suptitle="The parts")
    titles = [ax.get_title(loc="left") for ax in pictures(figure)]
    assert titles[0] == "lowest: 0 %\ncut/0.png"
    assert titles[5:] == [
        "lowest: 10 %\npoke/0.png",
        "lower quartile: 30 %\npoke/1.png",
        "median: 50 %\npoke/2.png",
        "upper quartile: 70 %\npoke/3.png",
        "highest: 90 %\npoke/4.png",
    ]
    figure.canvas.draw()
    boxes = [ax.get_position() for ax in pictures(figure)]
    assert len({round(box.x0, 3) for box in boxes}) == 5
    assert boxes[0].y0 > boxes[5].y0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "outline of the mask",
        "threshold at FPR 0.010%",
        "threshold at FPR 0.001%",
    ]


def test_each_picture_shows_the_image_and_the_contours_of_its_own_map(predictions, table, tmp_path):
    predictions.anomaly_maps[0] = 0.3  # below both thresholds
    chosen = table.loc[[0, 10]].assign(statistic=["worst", "best"], alike=[3, 1])
    figure = plot_gallery(chosen, predictions, THRESHOLDS, data_root=tmp_path)
    worst, best = pictures(figure)
    assert worst.images[0].get_array().shape == (20, 24, 3)
    # The outline of the mask, and a contour for each threshold that the map exceeds.
    assert [len(ax.collections) for ax in (worst, best)] == [1, 3]
    assert worst.get_title(loc="left") == "worst: 0 % (1 of 3)\ncut/0.png"


def test_a_long_name_keeps_its_end(predictions, table, tmp_path):
    chosen = stats.representatives(table).assign(defect="a_kind_of_defect_with_a_very_long_name")
    figure = plot_gallery(chosen, predictions, THRESHOLDS, data_root=tmp_path)
    title = pictures(figure)[0].get_title(loc="left").split("\n")[1]
    assert len(title) == 25
    assert title.startswith("…")
    assert title.endswith("th_a_very_long_name/0.png"[1:])


def test_one_row_without_by(predictions, table, tmp_path):
    figure = plot_gallery(stats.representatives(table), predictions, THRESHOLDS, data_root=tmp_path)
    assert len(pictures(figure)) == 5


def test_outline_and_contours_of_a_half_found_defect():
    scores = np.zeros((20, 20))
    scores[5:10, 5:15] = 1.0
    mask = np.zeros((20, 20))
    mask[5:15, 5:15] = 1
    ax = show_detection(plt.figure().gca(), np.zeros((20, 20, 3)), scores, mask, THRESHOLDS, title="half")
    outline, lax, strict = (drawn.get_paths()[0].get_extents() for drawn in ax.collections)
    assert outline.height == pytest.approx(10, abs=0.01)
    assert lax.height > strict.height
    assert 4 < strict.height < lax.height < 6
    assert ax.get_title(loc="left") == "half"


def test_the_thresholds_lie_in_the_middle_of_the_scale():
    low, high = heat_limits(np.linspace(0, 9, 101), {"lax": 6.0, "strict": 7.0})
    assert (low, high) == (4.5, 9.5)


def test_a_scale_for_maps_above_all_thresholds_or_without_any_contrast():
    assert heat_limits([5.0, 6.0, 9.0], {"strict": 2.0}) == (6.0, 9.0)
    low, high = heat_limits(np.ones(4), {"strict": 1.0})
    assert low < high


def test_nothing_to_show_is_refused(predictions, table):
    with pytest.raises(InputError, match="no image to show"):
        plot_gallery(stats.representatives(table).head(0), predictions, THRESHOLDS)


def test_an_image_without_prediction_is_named(predictions, table):
    chosen = stats.representatives(table).assign(image_path="own/parts/test/cut/99.png")
    with pytest.raises(InputError, match=r"no prediction for own/parts/test/cut/99\.png"):
        plot_gallery(chosen, predictions, THRESHOLDS)


def test_one_png_is_saved(predictions, table, tmp_path):
    figure = plot_gallery(stats.representatives(table), predictions, THRESHOLDS, data_root=tmp_path)
    path = save_gallery(figure, tmp_path / "new" / "folder" / "gallery.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width == pytest.approx(figure.get_figwidth() * 100, abs=1)
    assert [file.name for file in path.parent.iterdir()] == ["gallery.png"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError, match=r"Cannot write .*gallery\.png: a file is where a folder must be"):
        save_gallery(plt.figure(), tmp_path / "file" / "gallery.png")
