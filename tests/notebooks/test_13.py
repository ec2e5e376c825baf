"""Notebook 13, the operating threshold: set, verified, put into anomalib's post-processor, and exported."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from notebook_runs import EMBEDDED, ROOT, assert_exercises, run, verdicts
from PIL import Image

from aupimo_helpers.course.notebook import course, read

pytestmark = pytest.mark.notebook
TARGET = 1e-4
NUMBERS = ("13.1", "13.2", "13.3", "13.4")
SPLITS = ("in_first", "fpr_of_others[:20]", "images_of_others[:20]", "exceeded", "high", "most", "margins")
SHIPPED = ("float(threshold)", "false_pixels", "recalls", "[float(other) for other in others]", "shown", "budget_fpr")
DECISIONS = (
    "differ",
    "differ_wide",
    "differ_exported",
    "compared",
    "at_1",
    "megabytes",
    "len(rows)",
    "needed",
    "score_range",
)
AGAIN = "on_other_half(TARGET_FPR)[2][:20].mean(axis=1)"
QUANTILES = "np.quantile(fpr_of_others, [0.025, 0.5, 0.975])"
VARIABLES = (*SPLITS, *SHIPPED, *DECISIONS, AGAIN, QUANTILES, verdicts(*NUMBERS))


@pytest.mark.parametrize(
    ("exceeded", "said"),
    [
        ([0.05, 0.04, 0.03, 0.02, 0.01], "splits: aim at the target itself."),
        ([0.50, 0.06, 0.05, 0.02, 0.01], "splits: aim at 1/5 of it."),
        ([0.50, 0.40, 0.30, 0.20, 0.05], "splits: only if no pixel is marked on the first half."),
        ([0.50, 0.40, 0.30, 0.20, 0.10], "in 10 % of the splits."),
    ],
)
def test_each_verdict_on_the_margin(exceeded, said, capsys):
    aims = ["1", "1/2", "1/5", "1/10", "0"]
    margins = pd.DataFrame({"aim": aims, "target exceeded": exceeded, "mean recall": [0.9, 0.8, 0.7, 0.6, 0.5]})
    (path,) = course(ROOT / "notebooks", ["13"])
    (cell,) = [cell.source for cell in read(path).cells if cell.source.startswith("safe = margins")]
    exec(cell, {"margins": margins, "TARGET_FPR": TARGET})
    assert said in capsys.readouterr().out


@pytest.fixture(scope="module", params=EMBEDDED)
def dataset(request):
    return request.param


@pytest.fixture(scope="module")
def values(dataset):
    return run("13", {"DATASET": dataset}, VARIABLES, max_gb=4)


def lowest(normal, fpr):
    """The lowest normal score with at most that share of the scores at and above it, from all of them."""
    scores, counts = np.unique(normal, return_counts=True)
    reached = np.cumsum(counts[::-1])[::-1] / normal.size
    return float(scores[reached <= fpr][0])


def test_threshold_of_a_half_on_the_other(values, second_path, dataset):
    second = second_path(dataset)
    normal = second.maps[~second.anomalous]
    for row, in_first in enumerate(values["in_first"][:20]):
        first = np.array(in_first)
        assert first.sum() == len(normal) // 2
        threshold = lowest(normal[first], TARGET)
        marked = normal[~first] >= threshold
        assert values["fpr_of_others[:20]"][row] == pytest.approx(marked.mean(), abs=1e-12)
        assert values["images_of_others[:20]"][row] == marked.any(axis=(1, 2)).sum()
        recall = np.mean([second.recall(i, threshold) for i in np.flatnonzero(second.anomalous)])
        assert values[AGAIN][row] == pytest.approx(recall, abs=1e-9)
    assert values["exceeded"] == pytest.approx(0.5, abs=0.15)  # the halves are alike
    for name in ("target exceeded", "FPR, 95 % quantile", "any image marked", "mean recall"):
        assert values["margins"][name] == sorted(values["margins"][name], reverse=True), "a lower aim marks less"


def test_shipped_threshold(values, second_path, dataset):
    second = second_path(dataset)
    normal, threshold = second.maps[~second.anomalous], values["float(threshold)"]
    assert threshold == lowest(normal, TARGET)
    assert second.fpr(threshold) <= TARGET
    assert values["false_pixels"] == (normal >= threshold).sum(axis=(1, 2)).tolist()
    expected = [second.recall(i, threshold) for i in np.flatnonzero(second.anomalous)]
    np.testing.assert_allclose(values["recalls"], expected, atol=1e-9)
    left_out = [lowest(np.delete(normal, i, axis=0), TARGET) for i in range(len(normal))]
    others = values["[float(other) for other in others]"]
    assert (min(others), max(others)) == (min(left_out), max(left_out))
    marked = np.count_nonzero(values["false_pixels"])
    upper = scipy.stats.beta.ppf(0.95, marked + 1, len(normal) - marked)  # Clopper and Pearson's bound
    assert values["shown"] == pytest.approx(upper, rel=1e-6)
    area = sum(values["false_pixels"]) / marked
    assert values["budget_fpr"] == pytest.approx(1e-3 * area / normal[0].size)
    for share, number in values["needed"].items():
        assert (1 - float(share)) ** number < 0.05 <= (1 - float(share)) ** (number - 1)


def test_post_processor_and_exported_model_decide_as_the_raw_score(values, second_path, dataset):
    assert values["differ"] == values["differ_exported"] == [0, 0]
    assert values["len(rows)"] == 6
    second = second_path(dataset)
    compared = values["compared"]
    for raw, fpr, images, recall in zip(
        *(compared[name] for name in ("raw score", "shared FPR", "normal images with a mark", "mean recall")),
        strict=True,
    ):
        assert fpr == pytest.approx(second.fpr(raw), abs=1e-12)
        assert images == (second.maps[~second.anomalous].max(axis=(1, 2)) >= raw).sum()
        assert recall == pytest.approx(
            np.mean([second.recall(i, raw) for i in np.flatnonzero(second.anomalous)]), abs=1e-9
        )


def test_exercises(values):
    assert_exercises(values[verdicts(*NUMBERS)], *NUMBERS)


def test_what_the_text_says_of_the_leather(values, second_path, dataset):
    if dataset != "synthetic/leather":
        pytest.skip("the text speaks of the leather")
    margins = values["margins"]
    assert values["exceeded"] == pytest.approx(0.50, abs=0.005)
    assert values[QUANTILES] == pytest.approx([0, 1.3e-4, 7e-4], abs=2e-5)
    assert values["most"] == 7
    recalls = [margins[name][0] for name in ("mean recall", "from", "to")]
    assert recalls == pytest.approx([0.76, 0.68, 0.85], abs=0.005)
    assert margins["target exceeded"][-1] == pytest.approx(0.10, abs=0.005)
    normal, in_first = second_path().maps[~second_path().anomalous], np.array(values["in_first"])
    highest = normal.max(axis=(1, 2))
    exceed = [(normal[~first] >= highest[first].max()).mean() > TARGET for first in in_first]
    assert np.mean(exceed) == pytest.approx(margins["target exceeded"][-1])
    assert not in_first[exceed][:, np.argsort(-highest)[:3]].any(), "the three oddest images are in the other half"
    assert margins["mean recall"][-1] == pytest.approx(0.72, abs=0.005)
    assert values["float(threshold)"] == pytest.approx(10.351, abs=5e-4)
    assert min(values["[float(other) for other in others]"]) == pytest.approx(10.16, abs=0.005)
    without_it = np.delete(normal, np.argmax(values["false_pixels"]), axis=0)
    assert lowest(without_it, TARGET) == min(values["[float(other) for other in others]"])
    assert sorted(values["false_pixels"])[-3:] == [42, 48, 119]
    assert sum(values["false_pixels"]) == 209
    assert np.mean(values["recalls"]) == pytest.approx(0.76, abs=0.005)
    assert np.count_nonzero(values["recalls"]) == 83
    assert values["budget_fpr"] == pytest.approx(1.1e-6, abs=5e-8)
    assert values["shown"] == pytest.approx(0.225, abs=5e-4)
    compared = values["compared"]
    assert compared["raw score"][:2] == pytest.approx([10.50, 11.45], abs=0.005)
    assert compared["shared FPR"][:2] == pytest.approx([5e-5, 0], abs=5e-7)
    assert compared["mean recall"][1] == pytest.approx(0.68, abs=0.005)
    assert values["at_1"] == pytest.approx(2e-4, abs=5e-5)
    assert values["differ_wide"] == [1, 0]
    threshold = np.float32(values["float(threshold)"])
    step = threshold - np.nextafter(
        threshold, np.float32(0)
    )  # what the threshold's own pixel is above the next number
    assert step / np.float32(values["score_range"]) + np.float32(0.5) == 0.5
    assert values["megabytes"] == pytest.approx(7, abs=0.5)


def test_a_model_in_onnx_decides_as_the_raw_score(second_path, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    folder = str(tmp_path)
    exported = (
        f"make_engine({folder!r}).export(model, 'onnx', export_root={folder!r}, input_size=settings.image_size)"
    )
    found = run("13", {}, (exported, "float(threshold)", "rows"))
    session = runtime.InferenceSession(found[exported])
    second = second_path()
    for i in [*found["rows"], *range(0, len(second.maps), 10)]:
        image = np.asarray(Image.open(ROOT / "datasets" / second.paths[i]), dtype=np.float32) / 255
        mask, label = session.run(["pred_mask", "pred_label"], {"input": image.transpose(2, 0, 1)[None]})
        expected = second.maps[i] >= found["float(threshold)"]
        np.testing.assert_array_equal(mask.squeeze(), expected)
        assert label.squeeze() == expected.any()


def test_own_pictures(own):
    wanted = ("float(threshold)", "differ", "differ_exported", "false_pixels", verdicts(*NUMBERS))
    found = own.run("13", wanted)
    normal = own.predictions.anomaly_maps[~own.predictions.is_anomalous].numpy()
    assert found["float(threshold)"] == lowest(normal, TARGET)
    assert found["false_pixels"] == (normal >= found["float(threshold)"]).sum(axis=(1, 2)).tolist()
    assert found["differ"] == found["differ_exported"] == [0, 0]
    # with six images, mistakes may be right, too: then one of them is named
    alike = " On these images a common mistake gives the same answer; its hint is: "
    for number, (of_solution, *of_mistakes) in zip(NUMBERS, found[verdicts(*NUMBERS)], strict=True):
        right, _, hint = of_solution.partition(alike)
        assert right == f"Exercise {number}: right."
        assert bool(hint) == (of_solution in of_mistakes)
