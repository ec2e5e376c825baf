"""The five kinds of damage, whatever the seed and the severity."""

import numpy as np
import pytest

from aupimo_helpers.synthesis.defects import DEFECT_TYPES, make_defect


@pytest.mark.parametrize("kind", DEFECT_TYPES)
@pytest.mark.parametrize("severity", [0.1, 1.0])
def test_layers_are_within_their_ranges(kind, severity):
    areas = []
    for seed in range(25):
        defect = make_defect(kind, np.random.default_rng(seed), (256, 256), severity)
        assert defect.mask.shape == (256, 256)
        assert defect.tint.shape == (256, 256, 3)
        for name in ("flatten", "opacity", "gloss", "tint"):
            layer = getattr(defect, name)
            assert layer.min() >= 0, name
            assert layer.max() <= 1, name
        assert np.isfinite(defect.relief).all()
        areas.append(defect.mask.sum())
    assert min(areas) >= 24
    assert max(areas) < 0.25 * 256 * 256
    assert max(areas) > 3 * min(areas)


@pytest.mark.parametrize("kind", DEFECT_TYPES)
def test_severity_changes_the_contrast_and_not_the_shape(kind):
    weak, strong = (make_defect(kind, np.random.default_rng(7), (256, 256), severity) for severity in (0.2, 0.9))
    assert (weak.mask == strong.mask).all()
    assert strong.opacity.sum() > weak.opacity.sum()
    assert np.abs(strong.relief).sum() >= np.abs(weak.relief).sum()


def test_an_unknown_kind_is_refused():
    with pytest.raises(KeyError, match="rust"):
        make_defect("rust", np.random.default_rng(0), (256, 256), 0.5)
