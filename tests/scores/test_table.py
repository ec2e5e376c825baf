import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aupimo_helpers import data
from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.scores import load_scores, save_scores, score_table

PATHS = ["own/a/test/cut/0.png", "own/a/test/good/0.png", "own/a/test/poke/0.png"]
SCORES = [0.1 + 0.2, math.nan, 1.0]
BOUNDS = {"fpr_bounds": (1e-5, 1e-4), "threshold_bounds": (1 / 3, 2 / 3)}


def published_folder():
    default = Path(__file__).resolve().parents[2].parent / "shared" / "aupimo_benchmark"
    return Path(os.environ.get("AUPIMO_BENCHMARK_DIR", default))


def saved(tmp_path, **changes):
    """A valid file with some keys changed; None removes a key."""
    path = save_scores(tmp_path / "scores.json", SCORES, PATHS, **BOUNDS)
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "remove"}))
    return path


def test_every_float64_survives_the_file(tmp_path):
    values = np.random.default_rng(0).random(500)
    values[::7] = np.nan
    paths = [f"own/a/test/cut/{i}.png" for i in range(500)]
    table = load_scores(save_scores(tmp_path / "new" / "scores.json", torch.from_numpy(values), paths, **BOUNDS))
    np.testing.assert_array_equal(table["aupimo"], values)
    assert table["image_path"].tolist() == paths
    assert table.attrs == {**BOUNDS, "num_thresholds": None}


def test_the_file_has_the_published_keys_in_their_order(tmp_path):
    path = save_scores(tmp_path / "scores.json", SCORES, PATHS, **BOUNDS, num_thresholds=300_000)
    content = json.loads(path.read_text())
    assert list(content) == [
        "shared_fpr_metric",
        "fpr_lower_bound",
        "fpr_upper_bound",
        "num_threshs",
        "thresh_lower_bound",
        "thresh_upper_bound",
        "aupimos",
        "paths",
    ]
    assert content["num_threshs"] == 300_000
    assert "NaN" in path.read_text()


@pytest.mark.skipif(not published_folder().is_dir(), reason="the published scores are not here")
class TestPublishedFiles:
    def test_every_one_is_read(self):
        files = sorted(published_folder().glob("*/*/*/aupimo/aupimos.json"))
        assert len(files) == 351
        for file in files:
            table = load_scores(file)
            assert (table["aupimo"].isna() == (table["defect"] == "good")).all(), file
            assert table.attrs["fpr_bounds"] == (1e-5, 1e-4)

    @pytest.mark.parametrize(("model", "mean"), [("padim_r18", 0.9343), ("padim_wr50", 0.7792)])
    def test_known_means(self, model, mean):
        table = load_scores(published_folder() / model / "mvtec" / "leather" / "aupimo" / "aupimos.json")
        assert table["aupimo"].mean() == pytest.approx(mean, abs=5e-5)

    def test_saving_a_published_file_again_gives_the_same_json(self, tmp_path):
        file = published_folder() / "padim_r18" / "mvtec" / "leather" / "aupimo" / "aupimos.json"
        table = load_scores(file)
        again = save_scores(
            tmp_path / "again.json",
            table["aupimo"],
            table["image_path"].tolist(),
            **table.attrs,
        )
        assert again.read_text() == file.read_text()


def test_table_from_scores_and_masks():
    masks = torch.zeros(3, 4, 5, dtype=torch.bool)
    masks[0, :2, :3] = True
    masks[2] = True
    table = score_table(torch.tensor(SCORES, dtype=torch.float64), PATHS, masks)
    expected = pd.DataFrame(
        {"image_path": PATHS, "defect": ["cut", "good", "poke"], "aupimo": SCORES, "mask_area": [6, 0, 20]}
    )
    pd.testing.assert_frame_equal(table, expected)


def test_table_takes_masks_of_different_sizes_and_numpy():
    masks = [np.full((2, 2), 255, np.uint8), np.zeros((3, 4), np.uint8), np.ones((5, 1), bool)]
    assert score_table(np.array(SCORES), PATHS, masks)["mask_area"].tolist() == [4, 0, 5]


def test_severity_is_joined_by_path(tmp_path, monkeypatch):
    known = pd.DataFrame(
        {"image_path": ["test/poke/0.png", "test/cut/0.png"], "defect": ["poke", "cut"], "severity": [0.9, 0.2]}
    )
    monkeypatch.setattr(data, "defects", lambda dataset, root: known if (dataset, root) == ("own/a", tmp_path) else 1)
    table = score_table(SCORES, PATHS, dataset="own/a", data_root=tmp_path)
    assert table["severity"].tolist()[::2] == [0.2, 0.9]
    assert math.isnan(table["severity"][1])


def test_no_severity_where_the_data_set_does_not_know_it(tmp_path):
    (tmp_path / "own" / "a" / "train" / "good").mkdir(parents=True)
    assert "severity" not in score_table(SCORES, PATHS, dataset="own/a", data_root=tmp_path)


@pytest.mark.parametrize(
    ("scores", "paths", "masks", "message"),
    [
        (SCORES[:2], PATHS, None, "2 scores but 3 image paths"),
        (SCORES, PATHS, np.zeros((2, 4, 4)), "2 masks but 3 image paths"),
        (SCORES, [PATHS[0], PATHS[0], PATHS[1]], None, "own/a/test/cut/0.png occurs more than once"),
        ([0.5, math.nan, 1.5], PATHS, None, "own/a/test/poke/0.png is 1.5, outside"),
        ([-0.1, math.nan, 0.5], PATHS, None, "own/a/test/cut/0.png is -0.1, outside"),
    ],
)
def test_what_makes_no_table(scores, paths, masks, message):
    with pytest.raises(InputError, match=message):
        score_table(scores, paths, masks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fpr_bounds": (1e-4, 1e-5)}, "FPR bounds are 0.0001 and 1e-05"),
        ({"fpr_bounds": (0.0, 1e-4)}, "FPR bounds are 0.0"),
        ({"threshold_bounds": (2.0, 1.0)}, "threshold bounds are 2.0 and 1.0"),
    ],
)
def test_nothing_is_written_with_bounds_out_of_order(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        save_scores(tmp_path / "scores.json", SCORES, PATHS, **(BOUNDS | changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aupimos": "remove"}, "the key 'aupimos' is missing"),
        ({"fpr_lower_bound": "remove"}, "the key 'fpr_lower_bound' is missing"),
        ({"aupimos": SCORES[:2]}, "2 scores but 3 image paths"),
        ({"aupimos": ["high", None, 0.5]}, "'aupimos' is not a list of numbers"),
        ({"aupimos": [7.0, None, 0.5]}, "is 7.0, outside"),
        ({"paths": [PATHS[0]] * 3}, "occurs more than once"),
        ({"paths": 3}, "'paths' is not a list of strings"),
        ({"fpr_upper_bound": "wide"}, "'fpr_upper_bound' is 'wide', not a number"),
        ({"fpr_upper_bound": 1e-9}, "FPR bounds are"),
        ({"shared_fpr_metric": "max"}, "its shared FPR is 'max'"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path, changes, message):
    path = saved(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_scores(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00"])
def test_a_file_that_is_no_scores_is_named(tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is not a file of scores") as caught:
        load_scores(path)
    assert str(path) in str(caught.value)


def test_null_is_read_as_nan(tmp_path):
    table = load_scores(saved(tmp_path, aupimos=[0.5, None, 1]))
    assert table["aupimo"].isna().tolist() == [False, True, False]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingError, match=r"no file of scores at .*nowhere\.json"):
        load_scores(tmp_path / "nowhere.json")
