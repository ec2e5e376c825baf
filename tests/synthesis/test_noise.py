"""The random fields behind textures and shapes."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from aupimo_helpers.synthesis.noise import cellular_noise, smooth_noise, smoothstep


@pytest.mark.parametrize("scale", [3, 8, 25])
def test_smooth_noise_has_unit_variance_and_no_steps(scale):
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, (96, 128), scale) for _ in range(200)])
    assert fields.shape == (200, 96, 128)
    assert abs(fields.mean()) < 0.05
    assert abs(fields.std() - 1) < 0.05
    # Slopes are bounded by the distance of the control points.
    assert np.abs(np.diff(fields, axis=2)).max() < 8 / scale


def test_cellular_noise_measures_distances_to_scattered_points():
    """F1 is zero at the points; from the points found so, a k-d tree gives the same distances."""
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0:8:400j, 0:8:400j])
    f1, f2 = cellular_noise(np.random.default_rng(3), x, y)
    inner = f1[1:-1, 1:-1]
    neighbours = [f1[1 + j : 399 + j, 1 + i : 399 + i] for j in (-1, 0, 1) for i in (-1, 0, 1) if (i, j) != (0, 0)]
    minima = (inner < 0.02) & np.all([inner <= other for other in neighbours], axis=0)
    rows, columns = np.nonzero(minima)
    points = np.column_stack([y[1:-1, 1:-1][rows, columns], x[1:-1, 1:-1][rows, columns]])
    tree = cKDTree(points)
    middle = np.s_[100:300, 100:300]
    expected, _ = tree.query(np.stack([y[middle], x[middle]], axis=-1), k=2)
    assert np.abs(f1[middle] - expected[..., 0]).max() < 0.03
    # Only 3 x 3 cells are searched, so the second distance is too large in rare corners.
    assert (np.abs(f2[middle] - expected[..., 1]) < 0.03).mean() > 0.98


def test_smoothstep_rises_or_falls():
    values = np.linspace(-1, 2, 31, dtype=np.float32)
    rising, falling = smoothstep(0, 1, values), smoothstep(1, 0, values)
    assert (np.diff(rising) >= 0).all()
    assert np.allclose(rising + falling, 1)
    assert rising[0] == 0
    assert rising[-1] == 1
