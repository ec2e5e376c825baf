"""Which images stand for a distribution of scores: known answers, and pandas' quantiles as a second path."""

import numpy as np
import pandas as pd
import pytest

from aupimo_helpers.errors import InputError
from aupimo_helpers.stats import representatives

NAMES = ["lower whisker", "lower quartile", "median", "upper quartile", "upper whisker"]


def make_table(scores, defects="cut"):
    paths = [f"{i}.png" for i in range(len(scores))]
    return pd.DataFrame({"image_path": paths, "defect": defects, "aupimo": scores})


def test_the_five_numbers_of_evenly_spread_scores():
    chosen = representatives(make_table([0.5, 0.0, 1.0, 0.25, 0.75, np.nan]))
    assert chosen["statistic"].tolist() == NAMES
    assert chosen["image_path"].tolist() == ["1.png", "3.png", "0.png", "4.png", "2.png"]
    assert chosen["value"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert chosen.index.tolist() == [1, 3, 0, 4, 2]


def test_the_nearest_image_where_no_image_has_the_value():
    scores = np.random.default_rng(0).random(40)
    chosen = representatives(make_table(scores)).set_index("statistic")
    quantiles = pd.Series(scores).quantile([0.25, 0.5, 0.75])
    for name, value in zip(NAMES[1:4], quantiles, strict=True):
        assert chosen.loc[name, "value"] == pytest.approx(value)
        assert chosen.loc[name, "aupimo"] == scores[np.abs(scores - value).argmin()]


def test_a_lonely_failure_beyond_the_whisker_is_not_picked():
    chosen = representatives(make_table([0.0, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9]))
    assert chosen["aupimo"].min() == 0.8


def test_normal_images_are_never_picked():
    assert 3 not in representatives(make_table([0.1, 0.2, 0.3, np.nan])).index


def test_among_equally_near_images_another_one_is_preferred():
    chosen = representatives(make_table([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
    assert chosen["value"].tolist() == [0, 0, 0.5, 1, 1]
    assert chosen["image_path"].is_unique


def test_fewer_images_than_numbers():
    chosen = representatives(make_table([0.3, 0.9]))
    assert len(chosen) == 5
    assert set(chosen["image_path"]) == {"0.png", "1.png"}
    assert chosen["image_path"].tolist()[::4] == ["0.png", "1.png"]


def test_by_group():
    table = make_table([0.1, 0.2, 0.3, 0.9, 0.8, np.nan], ["poke"] * 3 + ["cut"] * 2 + ["good"])
    chosen = representatives(table, by="defect")
    assert chosen["defect"].tolist() == ["cut"] * 5 + ["poke"] * 5
    pd.testing.assert_frame_equal(chosen[chosen["defect"] == "poke"], representatives(table.iloc[:3]))


def test_the_other_columns_stay():
    table = make_table([0.1, 0.2]).assign(mask_area=[7, 8])
    assert representatives(table)["mask_area"].tolist()[::4] == [7, 8]
    assert "statistic" not in table, "the table that was given is not changed"


def test_refusals():
    with pytest.raises(InputError, match="no column 'kind' to group by, only image_path, defect, aupimo"):
        representatives(make_table([0.1]), by="kind")
    with pytest.raises(InputError, match="all images here are normal"):
        representatives(make_table([np.nan, np.nan]))
