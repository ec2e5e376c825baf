"""Random fields from which textures and defect shapes are made."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

FloatImage = NDArray[np.float32]

SHAPE = (256, 256)  # of all embedded images: height and width in pixels


@lru_cache(maxsize=64)
def _spline_basis(size: int, knots: int) -> csr_array:
    """Cubic B-spline basis functions, sampled: shape (size, knots + 3), four values per row."""
    inner = np.arange(-3, knots + 4, dtype=np.float64)
    positions = (np.arange(size) + 0.5) / size * knots
    return csr_array(BSpline.design_matrix(positions, inner, 3).astype(np.float32))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> FloatImage:
    """A cubic B-spline surface with random control points ``scale`` pixels apart, of mean 0 and deviation about 1."""
    rows = _spline_basis(shape[0], max(1, round(shape[0] / scale)))
    columns = _spline_basis(shape[1], max(1, round(shape[1] / scale)))
    control = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    # The four weights of a cubic B-spline have a mean sum of squares of 0.4794: undo that for each axis. The sparse
    # product is quicker here than a dense one, and unlike it uses no threads of its own.
    surface: FloatImage = columns @ (rows @ control).T
    return np.ascontiguousarray(surface.T) / np.float32(0.4794)


def cellular_noise(rng: np.random.Generator, x: FloatImage, y: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Distances, in cells, to the nearest and the second nearest of points, one per cell of a staggered grid."""
    # S. Worley, A Cellular Texture Basis Function, SIGGRAPH 1996: the two are equal on the borders of Voronoi cells.
    row = np.floor(y).astype(np.int32)
    row_start, column_start = int(row.min()) - 1, int(np.floor(x.min())) - 2
    height, width = int(row.max()) - row_start + 2, int(np.floor(x.max())) - column_start + 2
    jitter = rng.uniform(0.18, 0.82, size=(2, height, width)).astype(np.float32)
    nearest = np.full(x.shape, np.inf, dtype=np.float32)
    second = nearest.copy()
    for row_step in (-1, 0, 1):
        j = row + row_step
        stagger = (j & 1).astype(np.float32) * np.float32(0.5)
        # Coordinates inside the staggered grid of this row of cells.
        u = x - stagger
        column = np.floor(u).astype(np.int32)
        v = y - j
        u -= column
        flat = (j - row_start) * width + (column - column_start)
        for column_step in (-1, 0, 1):
            index = flat + column_step
            du = jitter[0].take(index)
            du += np.float32(column_step)
            du -= u
            dv = jitter[1].take(index)
            dv -= v
            du *= du
            dv *= dv
            du += dv
            second = np.minimum(second, np.maximum(nearest, du))
            nearest = np.minimum(nearest, du)
    return np.sqrt(nearest), np.sqrt(second)


def turned(x: FloatImage, y: FloatImage, angle: float) -> tuple[FloatImage, FloatImage]:
    """Coordinates along a direction and across it."""
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def smoothstep(low: float, high: float, values: FloatImage) -> FloatImage:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``, or fall if it is below (Hermite polynomial 3t^2 - 2t^3)."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)
