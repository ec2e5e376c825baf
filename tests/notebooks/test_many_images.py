"""The notebooks on more than a hundred normal test images, of which a few are odd, as in a real set."""

import numpy as np
import pytest

pytestmark = pytest.mark.notebook


def test_the_set_is_as_hard_as_it_should_be(many):
    many.run("03")  # the model is fitted in a kernel, not here
    maps, anomalous = many.predictions.anomaly_maps, many.predictions.is_anomalous
    normal = maps[~anomalous]
    assert len(normal) > 100
    deciding = normal >= normal.flatten().topk(int(1e-4 * normal.numel())).values[-1]
    share = deciding.sum(dim=(1, 2)) / deciding.sum()
    assert share.max() > 0.9  # one odd image decides
    assert 0 <= many.mean < 0.5


@pytest.mark.parametrize("number", ["04", "06", "07", "08", "12"])
def test_runs_to_its_end(many, number):
    many.run(number)


def test_the_mean_is_right(many):
    values = many.run("05", ("mean_aupimo", "ci_low", "ci_high"))
    assert values["mean_aupimo"] == pytest.approx(many.mean, abs=1e-6)
    assert values["ci_low"] <= many.mean <= values["ci_high"]
    assert np.isfinite(list(values.values())).all()
