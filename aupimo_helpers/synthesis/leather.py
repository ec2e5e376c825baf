"""Brown pebbled leather, made from random numbers.

Height first, light second: pebbles from the Voronoi cells of scattered points, creases, pores and fine fibre make a
height map; Lambert shading of its gradient, a brown albedo with slow variation and sensor noise make the photograph.
A defect changes the height and the albedo before the light falls on them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from aupimo_helpers.synthesis.defects import Defect
from aupimo_helpers.synthesis.noise import SHAPE, FloatImage, cellular_noise, smooth_noise, smoothstep, turned


def _height(rng: np.random.Generator) -> tuple[FloatImage, FloatImage]:
    """The grain's height in pixels, and how deep in a furrow each pixel lies (0 to 1)."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    # A hide has a direction of growth: the pebbles are a little longer along it. Bent coordinates hide the grid.
    angle = rng.normal(0.6, 0.10)
    bend = 2.2
    u = x + bend * smooth_noise(rng, SHAPE, 24) + 0.9 * smooth_noise(rng, SHAPE, 7)
    v = y + bend * smooth_noise(rng, SHAPE, 24) + 0.9 * smooth_noise(rng, SHAPE, 7)
    cell = rng.normal(7.4, 0.15)
    along, across = turned(u, v, angle)
    along, across = along / np.float32(cell * 1.18), across / np.float32(cell * 0.92)
    f1, f2 = cellular_noise(rng, along.astype(np.float32), across.astype(np.float32))
    border = f2 - f1
    # Some borders are closed: neighbouring pebbles grow together.
    open_border = smoothstep(-1.4, 0.4, smooth_noise(rng, SHAPE, 6))
    furrow = (1 - smoothstep(0.0, 0.34, border)) * (0.45 + 0.55 * open_border)
    pebble = (1 - furrow) * (1.0 - 0.40 * f1 * f1)
    size = 1 + 0.10 * smooth_noise(rng, SHAPE, 12)
    fine1, fine2 = cellular_noise(rng, along * np.float32(2.6), across * np.float32(2.6))
    height = 1.25 * pebble * size + 0.22 * smoothstep(0.0, 0.5, fine2 - fine1)
    height += 0.13 * rng.standard_normal(SHAPE, dtype=np.float32)
    height += 0.35 * smooth_noise(rng, SHAPE, 20)
    for _ in range(int(rng.integers(1, 4))):
        crease = _crease(rng, x, y)
        height -= 0.36 * crease
        furrow = np.maximum(furrow, 0.25 * crease)
    return height.astype(np.float32), furrow.astype(np.float32)


def _crease(rng: np.random.Generator, x: FloatImage, y: FloatImage) -> FloatImage:
    """A natural wrinkle, far shallower and finer than a fold: depth 0 to 1."""
    angle = rng.normal(2.2, 0.5)
    offset = rng.uniform(-110, 110)
    centre = SHAPE[0] / 2
    across = -np.sin(angle) * (x - centre) + np.cos(angle) * (y - centre) - offset
    across = across + 5 * smooth_noise(rng, SHAPE, 40)
    presence = smoothstep(0.2, 1.2, smooth_noise(rng, SHAPE, 40))
    return np.exp(-((across / 1.6) ** 2)) * presence


def _pores(rng: np.random.Generator) -> FloatImage:
    """Hair pores: dark dots of about a pixel, 0 to 1."""
    dots = np.zeros(SHAPE, dtype=np.float32)
    count = int(rng.poisson(150))
    dots[rng.integers(0, SHAPE[0], count), rng.integers(0, SHAPE[1], count)] = rng.uniform(0.3, 1.0, count)
    return gaussian_filter(dots, 0.7, mode="wrap") * np.float32(2.6)


def render(rng: np.random.Generator, defect: Defect | None = None) -> NDArray[np.uint8]:
    """Photograph one piece of leather, RGB; it is the same with and without a defect for the same ``rng``."""
    height, furrow = _height(rng)
    pores = _pores(rng)
    brown = np.array([0.425, 0.262, 0.168], dtype=np.float32)
    brown = brown * np.float32(rng.normal(1, 0.018)) * (1 + rng.normal(0, 0.008, 3).astype(np.float32))
    slow = smooth_noise(rng, SHAPE, 64)
    mottled = smooth_noise(rng, SHAPE, 14)
    redness = smooth_noise(rng, SHAPE, 48)[..., None] * np.array([0.008, 0.0, -0.008], dtype=np.float32)
    direction = rng.normal(-2.2, 0.08)
    elevation = rng.normal(0.85, 0.04)
    exposure = rng.normal(1, 0.02)
    noise = rng.standard_normal((*SHAPE, 3), dtype=np.float32)

    albedo = brown * (1 + 0.025 * slow + 0.022 * mottled)[..., None] * (1 + redness)
    wear = 1 - 0.30 * furrow - 0.22 * np.clip(pores, 0, 1)
    gloss = np.float32(0.0)
    if defect is not None:
        level = gaussian_filter(height, 4.0)
        height = height + (level - height) * defect.flatten + defect.relief
        wear = 1 + (wear - 1) * (1 - defect.flatten)
        albedo = albedo + (defect.tint - albedo) * defect.opacity[..., None]
        gloss = defect.gloss
    albedo = albedo * wear[..., None]

    light, mirror = _light(height, direction, elevation)
    # A thin finish gives all leather a faint sheen on the pebbles' tops.
    sheen = (0.05 * (1 - furrow) * mirror**2 + gloss * mirror**8)[..., None]
    image = albedo * (light * np.float32(exposure))[..., None] + sheen * np.float32(0.9)
    image = image + np.float32(0.012) * noise
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _light(height: FloatImage, direction: float, elevation: float) -> tuple[FloatImage, FloatImage]:
    """Diffuse (1 on a level surface) and mirror-like (0 to 1) reflection of a lamp far away."""
    slope_y, slope_x = np.gradient(height)
    strength = np.float32(0.55)
    slope_x, slope_y = strength * slope_x, strength * slope_y
    scale = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    lamp = np.array([np.cos(direction) * np.cos(elevation), np.sin(direction) * np.cos(elevation), np.sin(elevation)])
    facing = (lamp[2] - lamp[0] * slope_x - lamp[1] * slope_y) * scale
    diffuse = 0.28 + 0.72 * np.clip(facing, 0, None) / lamp[2]
    half = lamp + np.array([0, 0, 1.0])
    half /= np.linalg.norm(half)
    mirror = np.clip((half[2] - half[0] * slope_x - half[1] * slope_y) * scale, 0, 1)
    return diffuse.astype(np.float32), (mirror**4).astype(np.float32)
