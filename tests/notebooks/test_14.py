"""Notebook 14: six metrics on all pixels, of the model's maps and of made ones, and what the benchmark says."""

import copy
from itertools import combinations

import numpy as np
import pytest
import torch
from notebook_runs import EMBEDDED, assert_exercises, run, verdicts
from scipy.ndimage import binary_dilation, distance_transform_cdt, label
from scipy.stats import rankdata
from torchmetrics.functional.classification import binary_auroc

from aupimo_helpers import benchmark

pytestmark = pytest.mark.notebook
METRICS = ["AUROC", "AUPRO", "AP", "F1-max", "IoU", "AUPIMO"]
NUMBERS = ("14.1", "14.2", "14.3", "14.4")
VARIABLES = (
    "table.T",
    "num_large",
    "found_share",
    "without",
    "odd",
    "opposite",
    "taus",
    "widest.to_dict()",
    "[list(row) for row in turned.itertuples()]",
    "grown",
    "tiny_table",
    "smallest",
    "recalls",
    "saturated",
    "average_aupimo(made['clipped'](), masks)",
    verdicts(*NUMBERS),
)


def regions(mask):
    """Each region's pixels, diagonal neighbours included."""
    labels, number = label(mask, structure=np.ones((3, 3)))
    return [labels == k for k in range(1, number + 1)]


def six_metrics(second):
    """From all pixels, sorted once, without scikit-learn; and the normal images that are marked at F1-max."""
    maps, masks, defects = second.maps, second.masks, second.anomalous
    found, others = maps[masks], maps[~masks]
    ranks = rankdata(np.concatenate([found, others]))
    wins = ranks[: found.size].sum() - found.size * (found.size + 1) / 2
    order = np.argsort(-np.concatenate([found, others]), kind="stable")
    hits = np.cumsum(order < found.size)
    precision, is_hit = hits / np.arange(1, order.size + 1), order < found.size
    f1 = 2 * hits / (np.arange(1, order.size + 1) + found.size)
    threshold = np.concatenate([found, others])[order[f1.argmax()]]
    at = np.quantile(others, 1 - np.linspace(0, 0.3, 601))
    each = [a[region] for a, m in zip(maps[defects], masks[defects], strict=True) for region in regions(m)]
    pro = np.mean([(scores[:, None] >= at).mean(axis=0) for scores in each], axis=0)
    marked = maps >= threshold
    overlap = [
        (a & m).sum() / (a | m).sum() for a, m in zip(marked[defects], masks[defects], strict=True)
    ]  # fmt: skip
    return [
        wins / found.size / others.size,
        pro.mean(),
        precision[is_hit].mean(),
        f1.max(),
        np.mean(overlap),
        np.nanmean(second.scores()),
        sum(image.any() for image in marked[~defects]),
    ]


@pytest.fixture(scope="module")
def values_of():
    """What a data set's run computed, each run once."""
    known = {}

    def get(dataset):
        if dataset not in known:
            known[dataset] = run("14", {"DATASET": dataset}, VARIABLES, max_gb=4)
        return known[dataset]

    return get


@pytest.fixture(params=EMBEDDED)
def both(request, values_of, second_path):
    return values_of(request.param), second_path(request.param)


@pytest.fixture
def leather(values_of):
    return values_of("synthetic/leather")


def test_the_model_on_all_pixels(both):
    values, second = both
    *found, flagged = values["table.T"]["PaDiM"]
    *expected, marked = six_metrics(second)
    assert found[:4] == pytest.approx(expected[:4], abs=4e-3)
    assert found[4] == pytest.approx(expected[4], abs=0.01), "its threshold is that of fewer pixels"
    assert found[5] == pytest.approx(expected[5], abs=1e-6)
    assert flagged == pytest.approx(marked, abs=2)


def test_the_made_maps_have_the_scores_that_geometry_gives(both):
    values, second = both
    masks = second.masks
    defects = masks[second.anomalous]
    area = defects.sum(axis=(1, 2))
    made = {name: dict(zip([*METRICS, "flagged"], row, strict=True)) for name, row in values["table.T"].items()}
    num_normal = int((~second.anomalous).sum())

    assert made["specks"]["AUROC"] == pytest.approx(0.99, abs=2e-3)
    assert made["specks"]["AUPIMO"] < 1e-3
    assert made["specks"]["flagged"] == num_normal

    assert made["false blobs"]["IoU"] == pytest.approx(1, abs=1e-3)
    assert made["false blobs"]["AUPIMO"] < 0.01
    assert made["false blobs"]["flagged"] == num_normal

    largest = np.sort(area)[::-1]
    number = values["num_large"]
    assert largest[:number].sum() <= 0.8 * area.sum() < largest[: number + 1].sum()
    share = largest[:number].sum() / area.sum()
    assert values["found_share"] == pytest.approx(share)
    assert made["large only"]["AUROC"] == pytest.approx(share + (1 - share) / 2, abs=4e-3)
    assert made["large only"]["F1-max"] == pytest.approx(2 * share / (share + 1), abs=4e-3)
    assert made["large only"]["AUPIMO"] == pytest.approx(number / len(area), abs=1e-3)

    assert made["odd normal"]["AUPIMO"] == 0
    assert made["odd normal"]["flagged"] == 1
    assert values["odd"] == pytest.approx([1, *[0] * (num_normal - 1)], abs=1e-6)

    reached = np.array([distance_transform_cdt(~mask, metric="chessboard") <= 16 for mask in defects])
    outside = (reached & ~defects).sum() / (~masks).sum()
    assert made["halo"]["AUROC"] == pytest.approx(1 - outside / 2, abs=4e-3)
    assert made["halo"]["IoU"] == pytest.approx((area / reached.sum(axis=(1, 2))).mean(), abs=4e-2)
    assert made["halo"]["AUPIMO"] == 1

    overlap = (defects & np.roll(defects, 8, axis=2)).sum(axis=(1, 2))
    assert made["shifted"]["AUPIMO"] == pytest.approx((overlap / area).mean(), abs=1e-3)
    assert made["shifted"]["IoU"] == pytest.approx((overlap / (2 * area - overlap)).mean(), abs=1e-3)

    dots = np.zeros(defects.shape[1:], dtype=bool)
    for row in (64, 192):
        for column in (25, 76, 127, 178, 229):
            dots[row - 1 : row + 2, column - 1 : column + 2] = True
    with_dots = [(mask & ~dots).sum() / (mask | dots).sum() for mask in defects]
    assert made["dots missed"]["AUPIMO"] == pytest.approx(np.mean(with_dots), abs=1e-3)
    every = [region & ~dots for mask in defects for region in regions(mask | dots)]
    # What is missed scores like the background, whose share above a threshold is on average 15 % up to 30 %.
    of_region = [region.any() + 0.15 * (not region.any()) for region in every]
    assert made["dots missed"]["AUPRO"] == pytest.approx(np.mean(of_region), abs=0.02)

    assert np.isnan(made["clipped"]["AUPIMO"])
    score, refusal = values["average_aupimo(made['clipped'](), masks)"]
    assert np.isnan(score)
    assert "clipped or too coarse" in refusal


def test_the_benchmark_counted_by_hand(both):
    values, _ = both
    published = benchmark.packaged_metrics()
    for metric in ("auroc", "aupro", "aupr"):
        opposite = pairs = concordant = 0
        for _, rows in published.groupby("dataset"):
            for (a, x), (b, y) in combinations(zip(rows[metric], rows["aupimo"], strict=True), 2):
                opposite += (a > b) != (x > y) and a != b and x != y
                pairs += 1
        assert values["opposite"][metric] == pytest.approx(opposite / pairs)
        means = published.groupby("model")[[metric, "aupimo"]].mean().to_numpy()
        for (a, x), (b, y) in combinations(means, 2):
            concordant += 1 if (a > b) == (x > y) else -1
        assert values["taus"][metric] == pytest.approx(concordant / 78)
    assert list(values["taus"].values()) == pytest.approx([0.44, 0.49, 0.62], abs=5e-3)
    widest = values["widest.to_dict()"]
    assert (widest["model"], widest["dataset"]) == ("padim_wr50", "visa/pcb1")
    assert [widest["auroc"], widest["aupimo"]] == pytest.approx([0.988, 0.009], abs=5e-4)
    turned = values["[list(row) for row in turned.itertuples()]"]
    on_leather = published[published["dataset"] == "mvtec/leather"]
    for model, *ranks in turned:
        own = on_leather[on_leather["model"] == model].iloc[0]
        assert ranks == [1 + (on_leather[metric] > own[metric]).sum() for metric in ("auroc", "aupimo")]
    assert [rank for _, *ranks in turned for rank in ranks] == [2, 13, 11, 4]


def test_what_the_text_says_of_the_benchmark():
    published = benchmark.packaged_metrics()
    assert (published["auroc"] >= 0.98).mean() > 0.5, "most pairs crowd into the last per cent"
    best = [published.loc[published.groupby("dataset")[metric].idxmax(), "model"] for metric in ("auroc", "aupimo")]
    assert (best[0].to_numpy() != best[1].to_numpy()).mean() > 0.5, "more than half have another best model"


def test_torchmetrics_takes_raw_scores_for_logits():
    scores, truth = torch.tensor([20.0, 30.0, 25.0]), torch.tensor([0, 1, 0])
    assert binary_auroc(scores, truth) == 0.5
    assert binary_auroc(scores / 30, truth) == 1


def test_masks_drawn_wider(both):
    values, second = both
    wider = copy.copy(second)
    wider.masks = np.array([binary_dilation(mask, np.ones((3, 3)), iterations=5) for mask in second.masks])
    assert values["grown"]["AUPIMO"][0] == pytest.approx(np.nanmean(second.scores()), abs=1e-6)
    assert values["grown"]["AUPIMO"][-1] == pytest.approx(np.nanmean(wider.scores()), abs=1e-6)
    # Maps that are the old masks find exactly these, at every threshold of the range.
    rng = np.random.default_rng(0)
    wider.maps = second.masks + 0.1 * rng.random(second.maps.shape, dtype=np.float32)
    wider.normal = np.sort(wider.maps[~second.anomalous].ravel())
    assert values["grown"]["old masks as maps: AUPIMO"][-1] == pytest.approx(np.nanmean(wider.scores()), abs=1e-3)


def test_tiny_masks_and_saturation(both):
    values, second = both
    threshold = second.threshold(1e-4)
    images = np.flatnonzero(second.anomalous)
    recalls = [second.recall(i, threshold) for i in images]
    assert values["recalls"] == pytest.approx(recalls)
    assert values["saturated"] == pytest.approx([min(10 * recall, 1) for recall in recalls])
    assert values["smallest"] == second.masks[images].sum(axis=(1, 2)).min()
    for row, n in [(0, 1), (2, 16)]:
        tiny = []
        for i in images:
            y, x = np.nonzero(second.masks[i])
            near = np.argsort((y - y.mean()) ** 2 + (x - x.mean()) ** 2, kind="stable")[:n]
            tiny.append((second.maps[i][y[near], x[near]] >= threshold).mean())
        assert values["tiny_table"]["mean recall"][row] == pytest.approx(np.mean(tiny))
        assert values["tiny_table"]["images at exactly 0 or 100 %"][row] == pytest.approx(
            np.isin(tiny, [0, 1]).mean()
        )
    assert values["tiny_table"]["images at exactly 0 or 100 %"][0] == 1


def test_exercises(both):
    assert_exercises(both[0][verdicts(*NUMBERS)], *NUMBERS)


def test_what_the_text_says_of_the_leather(leather):
    made = {name: dict(zip([*METRICS, "flagged"], row, strict=True)) for name, row in leather["table.T"].items()}
    model = [made["PaDiM"][metric] for metric in METRICS]
    assert model == pytest.approx([0.981, 0.937, 0.65, 0.63, 0.42, 0.743], abs=6e-3)
    assert made["PaDiM"]["flagged"] == 3
    assert [min(leather["without"]), max(leather["without"])] == pytest.approx([0.743, 0.754], abs=5e-4)
    said = {
        ("specks", "AUROC"): 0.99,
        ("specks", "AUPIMO"): 0,
        ("false blobs", "IoU"): 1,
        ("false blobs", "AUPIMO"): 0.002,
        ("large only", "F1-max"): 0.89,
        ("large only", "AUPIMO"): 0.489,
        ("odd normal", "AUPIMO"): 0,
        ("halo", "AUPIMO"): 1,
        ("halo", "IoU"): 0.21,
        ("dots missed", "AUPIMO"): 0.89,
        ("dots missed", "AUPRO"): 0.24,
    }
    for (name, metric), score in said.items():
        assert made[name][metric] == pytest.approx(score, abs=5e-3), (name, metric)
    assert min(made["odd normal"][metric] for metric in METRICS[:-1]) > 0.97
    assert leather["num_large"] == 44
    assert [leather["grown"]["AUPIMO"][-1], leather["grown"]["old masks as maps: AUPIMO"][-1]] == pytest.approx(
        [0.594, 0.474], abs=5e-4
    )
    assert leather["smallest"] == 97
    assert [np.mean(leather["recalls"]), np.mean(leather["saturated"])] == pytest.approx([0.761, 0.905], abs=5e-4)
    assert sum(recall >= 0.1 for recall in leather["recalls"]) == 80


def test_own_pictures(own):
    values = own.run("14", ("table.T", verdicts(*NUMBERS)))
    assert values["table.T"]["PaDiM"][5] == pytest.approx(own.mean, abs=1e-6)
    assert values["table.T"]["halo"][5] == 1
    assert values["table.T"]["odd normal"][5] == 0
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)
