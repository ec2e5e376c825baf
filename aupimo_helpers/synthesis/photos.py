"""Photographs of brick, grass and gravel that come inside scikit-image, cropped and damaged.

The three are 512 x 512 pixels, grey, in the public domain (CC0), see ``skimage.data.brick``. Training crops come from
the left part, test crops from the right part, and the two never share a pixel.
"""

from functools import cache

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from aupimo_helpers.synthesis.defects import Defect
from aupimo_helpers.synthesis.noise import SHAPE, FloatImage, smooth_noise

# Columns of the photograph, first and one past the last. Left and right, because the camera looks along the columns:
# the bricks at the bottom are larger than those at the top.
TRAIN_COLUMNS = (0, 288)
TEST_COLUMNS = (288, 512)

# Crops are this many pixels of the photograph across, enlarged to 256: the camera's distance varies a little.
CROP = (184, 212)

# Faint colours of the grey photographs' subjects, so that coloured stains look at home on them.
TINTS = {"brick": (1.0, 0.86, 0.78), "grass": (0.92, 1.0, 0.80), "gravel": (1.0, 0.97, 0.92)}


@cache
def _photograph(category: str) -> FloatImage:
    return getattr(skimage.data, category)().astype(np.float32) / 255


def render(category: str, rng: np.random.Generator, defect: Defect | None, *, train: bool) -> NDArray[np.uint8]:
    """Take an RGB crop of a photograph, for training or for the test."""
    surface = _crop(_photograph(category), rng, TRAIN_COLUMNS if train else TEST_COLUMNS)
    surface = surface * np.float32(rng.normal(1, 0.03)) * (1 + 0.02 * smooth_noise(rng, SHAPE, 64))
    noise = rng.standard_normal((*SHAPE, 3), dtype=np.float32)
    image = surface[..., None] * np.array(TINTS[category], dtype=np.float32)
    if defect is not None:
        image = _damage(image, defect)
    image = image + np.float32(0.012) * noise
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _crop(whole: FloatImage, rng: np.random.Generator, columns: tuple[int, int]) -> FloatImage:
    """Cut a square out of a band of columns, mirror it by chance, enlarge it to 256 x 256."""
    side = rng.uniform(*CROP)
    top = rng.uniform(0, whole.shape[0] - 1 - side)
    left = rng.uniform(columns[0], columns[1] - 1 - side)
    steps = np.linspace(0, side, SHAPE[0], dtype=np.float32)
    y, x = np.meshgrid(top + steps, left + (steps[::-1] if rng.random() < 0.5 else steps), indexing="ij")
    # Linear interpolation reads the neighbouring pixels only, so nothing leaks across the band's border.
    return map_coordinates(whole, [y, x], order=1)


def _damage(image: FloatImage, defect: Defect) -> FloatImage:
    """Apply a defect to a picture whose relief is unknown: only the defect's own relief is shaded."""
    blurred = gaussian_filter(image, (6, 6, 0))
    image = image + (blurred - image) * defect.flatten[..., None]
    # Photographs vary more than leather does: the same severity covers more, or nothing would be found on them.
    opacity = 1 - (1 - defect.opacity) ** 1.5
    image = image + (defect.tint - image) * opacity[..., None]
    slope_y, slope_x = np.gradient(defect.relief)
    light = 1 + 0.38 * (slope_x + slope_y) / np.sqrt(1 + 0.3 * (slope_x**2 + slope_y**2))
    mirror = np.clip(0.55 + 0.5 * (slope_x + slope_y), 0, 1) ** 6
    return image * np.clip(light, 0.1, 2.5)[..., None] + (defect.gloss * mirror)[..., None]
