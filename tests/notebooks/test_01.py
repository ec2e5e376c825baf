"""Notebook 01, the data: it counts images, defects and normal pixels."""

import numpy as np
import pytest
from notebook_runs import EMBEDDED, ROOT, assert_exercises, run, verdicts
from PIL import Image

pytestmark = pytest.mark.notebook
NUMBERS = ("01.1", "01.2", "01.3", "01.4", "01.5")
VARIABLES = ("num_train", "num_normal", "num_anomalous")
NAMES = ("areas", "share_of_tenth", "low", "high", "len(odd)", "most", "marked", verdicts(*NUMBERS))


def brightness(folder):
    """The mean grey of each image of a folder, 0 to 1."""
    return [np.asarray(Image.open(path).convert("RGB")).mean() / 255 for path in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("dataset", EMBEDDED)
def test_counts_areas_and_exercises(dataset):
    values = run("01", {"DATASET": dataset}, (*VARIABLES, *NAMES), max_gb=2)
    folder = ROOT / "datasets" / dataset
    masks = sorted(folder.glob("ground_truth/*/*.png"))
    assert values["num_normal"] == len(list(folder.glob("test/good/*.png")))
    assert values["num_anomalous"] == len(masks)
    assert values["num_train"] == len(list(folder.glob("train/good/*.png"))) >= 20
    areas = np.sort([(np.asarray(Image.open(path)) > 0).mean() for path in masks])[::-1]
    np.testing.assert_allclose(np.sort(values["areas"]["area"])[::-1], areas, rtol=0.05)  # after the resize
    tenth = -(-len(areas) // 10)
    assert values["share_of_tenth"] == pytest.approx(areas[:tenth].sum() / areas.sum(), abs=0.005)
    train = brightness(folder / "train/good")
    assert values["low"] == pytest.approx(min(train), abs=0.005)
    assert values["high"] == pytest.approx(max(train), abs=0.005)
    assert values["most"] == round(1e-4 * 256 * 256 * values["num_normal"])
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
    if dataset == "synthetic/leather":
        assert_as_the_text_says(values)


def assert_as_the_text_says(values):
    """What stands folded in the notebook."""
    assert [values[name] for name in VARIABLES] == [200, 32, 90]
    areas = values["areas"]
    smallest, largest = np.argmin(areas["area"]), np.argmax(areas["area"])
    assert (areas["label"][smallest], areas["label"][largest]) == ("poke", "color")
    assert areas["area"][smallest] == pytest.approx(0.0015, abs=5e-5)
    assert areas["area"][largest] == pytest.approx(0.0706, abs=5e-5)
    assert values["share_of_tenth"] == pytest.approx(0.27, abs=0.005)
    assert (values["low"], values["high"]) == pytest.approx((0.26, 0.30), abs=0.005)
    assert values["len(odd)"] == 0
    assert values["most"] == 210


def test_counts_of_own_pictures(own):
    values = own.run("01", VARIABLES)
    assert values == {"num_train": own.train, "num_normal": own.normal, "num_anomalous": own.anomalous}
