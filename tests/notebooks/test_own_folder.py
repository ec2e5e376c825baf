"""The whole course on somebody's own pictures: grey JPEG of mixed sizes, few of them, no defects.csv."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from aupimo_helpers.course.notebook import execute, parameter_names, read
from aupimo_helpers.data import check, import_folder
from aupimo_helpers.model import predict

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("notebooks/[0-9][0-9]_*.ipynb"))
CORE = [path for path in NOTEBOOKS if path.name < "06"]
SIZES = ((300, 400), (400, 300), (320, 320))
BOUNDS = (1e-5, 1e-4)


def take_pictures(folder, rng, number, *, defect=None, masks=None):
    """Write grey JPEG of a woven surface, from the third defect on a faint one, with their masks as PNG."""
    folder.mkdir(parents=True)
    for i in range(number):
        height, width = SIZES[i % len(SIZES)]
        y, x = np.mgrid[:height, :width]
        pixels = 120 + 25 * np.sin(x / 5 + rng.uniform(0, 6)) * np.sin(y / 5 + rng.uniform(0, 6))
        pixels += gaussian_filter(rng.normal(0, 30, (height, width)), 1)
        if defect is not None:
            row, column = rng.uniform(0.3, 0.7, 2) * (height, width)
            reach = (y - row) ** 2 + ((x - column) / (4 if defect == "scratch" else 1)) ** 2 < 11**2
            pixels[reach] += {"scratch": -100, "spot": 80}[defect] / (1 + i // 2)
            masks.mkdir(parents=True, exist_ok=True)
            Image.fromarray((reach * 255).astype(np.uint8)).save(masks / f"IMG_{i:02}.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"IMG_{i:02}.jpg", quality=90)


def make_own_folder(folder, *, train, normal, per_defect):
    rng = np.random.default_rng(0)
    take_pictures(folder / "ok", rng, train)
    take_pictures(folder / "ok_test", rng, normal)
    for defect in ("scratch", "spot"):
        take_pictures(folder / "ng" / defect, rng, per_defect, defect=defect, masks=folder / "masks" / defect)
    return folder


def aupimo_by_steps(maps, masks, bounds=BOUNDS):
    """AUPIMO as a sum over the highest normal scores, for maps of one size whose scores are all different."""
    lower, upper = bounds
    anomalous = masks.any(axis=(1, 2))
    normal = np.sort(maps[~anomalous].ravel())[::-1]
    ranks = np.arange(1, int(upper * normal.size) + 2)
    left, right = np.maximum((ranks - 1) / normal.size, lower), np.minimum(ranks / normal.size, upper)
    widths = np.where(right > left, np.log(right / left), 0)
    scores = np.full(len(maps), np.nan)
    for i in np.flatnonzero(anomalous):
        recall = (maps[i][masks[i]][:, None] >= normal[ranks - 1]).mean(axis=0)
        scores[i] = (recall * widths).sum() / np.log(upper / lower)
    return scores


class OwnData:
    """An imported folder, and the score of each of its images from the second path."""

    def __init__(self, base, **numbers):
        self.root, self.results = base / "datasets", base / "results"
        self.folder = import_folder(make_own_folder(base / "Parts", **numbers), data_root=self.root)
        self.dataset = f"own/{self.folder.name}"
        self.predictions = predict(self.dataset, self.root, self.results)
        self.scores = aupimo_by_steps(self.predictions.anomaly_maps.numpy(), self.predictions.masks.numpy())

    def run(self, path, variables=(), **parameters):
        given = {"DATASET": self.dataset, "DATA_ROOT": str(self.root), "RESULTS_DIR": str(self.results), **parameters}
        known = parameter_names(read(path))
        chosen = {name: value for name, value in given.items() if name in known}
        execution = execute(path, chosen, with_solutions=True, variables=variables)
        assert execution.failure is None, f"{path.stem}, {execution.failure}"
        return execution.values


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """8 training and 12 test images."""
    return OwnData(tmp_path_factory.mktemp("own"), train=8, normal=6, per_defect=3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """3 images per class."""
    return OwnData(tmp_path_factory.mktemp("tiny"), train=3, normal=3, per_defect=3)


# What a notebook computed, and what it must be according to the second path.
NUMBERS = {
    "01_data_setup": ("num_train", "num_normal", "num_anomalous"),
    "03_average_aupimo": ("average_anomalib", "average_exact"),
    "04_per_image_aupimo": ("table",),
    "05_statistics_and_plots": ("mean_aupimo", "ci_low", "ci_high"),
    "06_pimo_curves": ("table",),
    "07_fpr_bounds": ("no_skill",),
    "08_representative_images": ("representatives",),
    "11_your_own_data": ("mean_aupimo", "table", "image_auroc"),
    "12_exact_and_fast": ("max_difference",),
}


def assert_numbers(data, name, values, *, train, normal):
    mean = np.nanmean(data.scores)
    scores = dict(zip(data.predictions.image_paths, data.scores, strict=True))
    if name == "01_data_setup":
        assert values == {"num_train": train, "num_normal": normal, "num_anomalous": 6}
    elif name == "03_average_aupimo":
        assert values["average_exact"] == pytest.approx(mean, abs=1e-6)
        # anomalib's grid of thresholds: few normal pixels make its error larger than on the course's data.
        assert values["average_anomalib"] == pytest.approx(mean, abs=0.02)
    elif "table" in values:
        table = values["table"]
        found = dict(zip(table["image_path"], table["aupimo"], strict=True))
        assert found.keys() <= scores.keys()
        assert sum(not np.isnan(score) for score in found.values()) == 6
        np.testing.assert_allclose(list(found.values()), [scores[path] for path in found], atol=1e-6)
    elif name == "07_fpr_bounds":
        assert values["no_skill"] == pytest.approx((1e-4 - 1e-5) / np.log(10), rel=1e-9)
    elif name == "08_representative_images":
        picked = values["representatives"]
        np.testing.assert_allclose(picked["aupimo"], [scores[path] for path in picked["image_path"]], atol=1e-6)
    elif name == "12_exact_and_fast":
        assert values["max_difference"] < 0.05
    if "mean_aupimo" in values:
        assert values["mean_aupimo"] == pytest.approx(mean, abs=1e-6)
    if "ci_low" in values:
        assert values["ci_low"] <= mean <= values["ci_high"]
    if "image_auroc" in values:
        highest = data.predictions.anomaly_maps.numpy().max(axis=(1, 2))
        anomalous = ~np.isnan(data.scores)
        pairs = highest[anomalous][:, None] - highest[~anomalous]
        assert values["image_auroc"] == pytest.approx((pairs > 0).mean(), abs=1e-6)


def test_the_folder_is_grey_of_mixed_sizes_and_in_order(own):
    images = [Image.open(path) for path in own.folder.glob("t*/*/*.png")]
    assert len(images) == 20
    assert {image.mode for image in images} == {"L"}
    assert {image.size[::-1] for image in images} == set(SIZES)
    assert check(own.folder) == []
    # Scores that are all 0 or all 1 would let a wrong number pass.
    assert np.nanmin(own.scores) < 0.9
    assert np.nanmax(own.scores) > 0.1
    assert np.nanstd(own.scores) > 0.05


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_course_on_an_own_folder(own, path):
    values = own.run(path, NUMBERS.get(path.stem, ()))
    assert_numbers(own, path.stem, values, train=8, normal=6)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_course_on_three_images_per_class(tiny, path):
    values = tiny.run(path, NUMBERS.get(path.stem, ()))
    assert_numbers(tiny, path.stem, values, train=3, normal=3)


def test_notebook_11_imports_the_folder_it_is_given(own, tmp_path):
    (path,) = (path for path in NOTEBOOKS if path.name.startswith("11_"))
    pictures = own.folder.parents[2] / "Parts"
    values = own.run(path, ("dataset", "mean_aupimo"), OWN_FOLDER=str(pictures), DATA_ROOT=str(tmp_path))
    assert values["dataset"] == "own/parts"
    assert (tmp_path / "own" / "parts" / "test" / "scratch").is_dir()
    assert values["mean_aupimo"] == pytest.approx(np.nanmean(own.scores), abs=1e-6)
