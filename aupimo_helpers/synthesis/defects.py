"""Five kinds of damage, drawn as layers that any surface can be rendered with.

A :class:`Defect` says what happens to a surface - its relief, its colour, its gloss, how much of its texture is
left - and which pixels the eye would call defective. The surfaces (:mod:`~aupimo_helpers.synthesis.leather`,
:mod:`~aupimo_helpers.synthesis.photos`) apply it before or during shading, so that light falls on it as on the rest.

Severity, from 0 (invisible) to 1 (plain to see), scales the contrast only. Shape and size are drawn independently
of it, so that recall against severity and recall against size can be told apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aupimo_helpers.synthesis.noise import FloatImage, smooth_noise, smoothstep, turned

DEFECT_TYPES = ("color", "cut", "fold", "glue", "poke")


@dataclass(frozen=True)
class Defect:
    """What a defect does to a surface, pixel by pixel: layers (H, W), from 0 to 1 if nothing else is said."""

    mask: NDArray[np.bool_]  # the pixels that are defective
    relief: FloatImage  # height added to the surface, in pixels
    flatten: FloatImage  # how much of the surface's own texture is levelled out
    tint: FloatImage  # (H, W, 3), the colour laid over the surface
    opacity: FloatImage  # how much of `tint` covers the surface
    gloss: FloatImage  # strength of the mirror-like reflection


def make_defect(kind: str, rng: np.random.Generator, shape: tuple[int, int], severity: float) -> Defect:
    """Draw one defect at random; its mask is never empty, and its sizes are meant for 256 x 256."""
    draw = _DRAW[kind]
    while True:
        defect = draw(rng, shape, severity)
        if defect.mask.sum() >= 24:  # smaller ones can fall off the image's edge or be lost by a resize
            return defect


def _layers(shape: tuple[int, int], mask: NDArray, **layers: NDArray | tuple[float, ...]) -> Defect:
    """Fill the layers that a kind of defect does not use with zeros."""
    full: dict[str, FloatImage] = {
        name: np.broadcast_to(
            np.asarray(layers.get(name, 0.0), dtype=np.float32), (*shape, 3) if name == "tint" else shape
        )
        for name in ("relief", "flatten", "tint", "opacity", "gloss")
    }
    return Defect(mask=mask > 0.5, **full)


def _blob(rng: np.random.Generator, shape: tuple[int, int], radius: float, roughness: float) -> FloatImage:
    """A lump with a ragged outline: signed distance to its border in pixels, roughly; positive inside."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    margin = 0.6 * radius
    centre_y, centre_x = (rng.uniform(margin, side - margin) for side in shape)
    angle, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, 2.2))
    u, v = turned(x - centre_x, y - centre_y, angle)
    coarse = smooth_noise(rng, shape, scale=max(5.0, radius * 0.9))
    fine = smooth_noise(rng, shape, scale=max(3.0, radius * 0.35))
    outline = radius * (1 + roughness * (0.8 * coarse + 0.35 * fine))
    return (outline - np.hypot(u / stretch, v * stretch)).astype(np.float32)


def _stroke(
    rng: np.random.Generator, shape: tuple[int, int], length: float, bend: float, wobble: float
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """A curved line: signed distance across it in pixels, position along it (0 to 1) and thickness, 0 at its ends."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    half = length / 2
    reach_y = min(abs(np.sin(angle)) * half + 6, shape[0] / 2 - 1)
    reach_x = min(abs(np.cos(angle)) * half + 6, shape[1] / 2 - 1)
    centre_y = rng.uniform(reach_y, shape[0] - reach_y)
    centre_x = rng.uniform(reach_x, shape[1] - reach_x)
    along, across = turned(x - centre_x, y - centre_y, angle)
    t = along / length + np.float32(0.5)
    inside = np.clip(t, 0, 1)
    sag = bend * length * (inside * (1 - inside) * 4 - 0.5)
    # Sideways wobble varies along the line only.
    steps = smooth_noise(rng, (256, 1), scale=32)[:, 0]
    sag = sag + wobble * np.interp(inside, np.linspace(0, 1, 256), steps)
    t = t.astype(np.float32)
    return (across - sag).astype(np.float32), t, np.sqrt(np.clip(4 * t * (1 - t), 0, 1))


def _size(rng: np.random.Generator, smallest: float, largest: float) -> float:
    """Log-uniform: as many small defects as large ones."""
    return float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))


def _color(rng: np.random.Generator, shape: tuple[int, int], severity: float) -> Defect:
    """A stain that has soaked in, darker along its rim, with a few splashes."""
    radius = _size(rng, 10, 38)
    inside = _blob(rng, shape, radius, roughness=0.28)
    splash_count = int(rng.integers(0, 4))
    for _ in range(splash_count):
        splash = _blob(rng, shape, rng.uniform(2.0, 4.0), roughness=0.15)
        near = inside > -1.2 * radius
        inside = np.maximum(inside, np.where(near, splash, np.float32(-1e3)))
    soaked = smoothstep(-1.2, 1.2, inside)
    rim = np.exp(-((inside - 1.5) ** 2) / 6.0)
    patchy = 0.85 + 0.15 * smooth_noise(rng, shape, scale=9)
    palette = np.array(
        [[0.13, 0.07, 0.05], [0.50, 0.10, 0.07], [0.12, 0.16, 0.33], [0.76, 0.62, 0.36], [0.10, 0.20, 0.13]],
        dtype=np.float32,
    )
    tint = palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.15)
    opacity = np.clip(soaked * (patchy + 0.30 * rim), 0, 1.2) * np.float32(0.06 + 0.76 * severity)
    return _layers(shape, soaked, tint=tint, opacity=np.clip(opacity, 0, 1))


def _cut(rng: np.random.Generator, shape: tuple[int, int], severity: float) -> Defect:
    """A slit with raised lips; the fibres inside are pale and rough."""
    length = _size(rng, 40, 170)
    across, t, taper = _stroke(rng, shape, length, bend=rng.uniform(-0.12, 0.12), wobble=rng.uniform(0.5, 2.5))
    width = rng.uniform(2.6, 5.2)
    ragged = 1 + 0.25 * smooth_noise(rng, shape, scale=5)
    half = np.maximum(width * taper * ragged, 1e-3)
    distance = np.abs(across) / half
    on_line = ((t > 0) & (t < 1)).astype(np.float32)
    gap = np.exp(-(distance**4) * 0.7) * on_line
    lips = np.exp(-((distance - 1.7) ** 2) * 3.0) * on_line * taper
    relief = np.float32(severity * width) * (0.55 * lips - 1.3 * gap)
    fibres = np.array([0.52, 0.38, 0.27], dtype=np.float32) * rng.choice(
        [rng.uniform(0.20, 0.40), rng.uniform(1.20, 1.50)]
    )
    grain = 1 + 0.25 * rng.standard_normal(shape, dtype=np.float32)
    tint = np.clip(fibres * grain[..., None], 0, 1)
    opacity = np.clip(gap * np.float32(0.10 + 0.90 * severity), 0, 1)
    mask = (distance < 1.25) * on_line * (half > 0.45)
    return _layers(shape, mask, relief=relief, flatten=0.6 * gap, tint=tint, opacity=opacity)


def _fold(rng: np.random.Generator, shape: tuple[int, int], severity: float) -> Defect:
    """A crease: a long soft ridge beside a furrow, the grain stretched and rubbed paler on its crest."""
    length = _size(rng, 90, 300)
    across, t, taper = _stroke(rng, shape, length, bend=rng.uniform(-0.15, 0.15), wobble=rng.uniform(1.0, 5.0))
    width = rng.uniform(6.5, 13.0) * (1 + 0.12 * smooth_noise(rng, shape, scale=14))
    distance = across / np.maximum(width * (0.35 + 0.65 * taper), 1e-3)
    on_line = smoothstep(0.0, 0.06, t) * smoothstep(1.0, 0.94, t)
    ridge = np.exp(-(distance**2) * 1.6)
    furrow = np.exp(-((distance - 1.0) ** 2) * 7.0)
    profile = (ridge - 0.75 * furrow) * on_line * taper
    relief = profile * np.float32((0.06 + 0.94 * severity) * 15.0)
    crest = np.exp(-(distance**2) * 5.0) * on_line
    tint = np.array([0.60, 0.45, 0.32], dtype=np.float32)
    opacity = crest * np.float32(0.55 * severity)
    mask = (np.abs(distance - 0.2) < 1.12) * (on_line * taper > 0.4)
    return _layers(shape, mask, relief=relief, flatten=0.7 * ridge * on_line * severity, tint=tint, opacity=opacity)


def _glue(rng: np.random.Generator, shape: tuple[int, int], severity: float) -> Defect:
    """A dried drop: clear to milky, smooth, domed, so that it levels the grain and mirrors the light."""
    radius = _size(rng, 8, 30)
    inside = _blob(rng, shape, radius, roughness=0.16)
    covered = smoothstep(-0.8, 1.2, inside)
    depth = np.clip(inside, 0, None)
    dome = 1 - np.exp(-depth / np.float32(0.30 * radius + 1.0))
    relief = dome * np.float32(severity * min(6.0, 0.38 * radius + 1.0))
    milky = np.array([0.80, 0.77, 0.68], dtype=np.float32) * rng.uniform(0.8, 1.05)
    clear = rng.uniform(0.12, 0.40)
    opacity = covered * (0.75 + 0.25 * np.exp(-depth / 2.5)) * np.float32(0.02 + clear * severity)
    return _layers(
        shape,
        covered,
        relief=relief,
        flatten=covered * np.float32(0.15 + 0.80 * severity),
        tint=milky,
        opacity=opacity,
        gloss=covered * np.float32(0.85 * severity),
    )


def _poke(rng: np.random.Generator, shape: tuple[int, int], severity: float) -> Defect:
    """One to four holes or dents side by side, each with a raised rim and a dark ground."""
    first = rng.uniform(4.5, 12.0)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    centre_y, centre_x = (rng.uniform(18, side - 18) for side in shape)
    relief, opacity, mask = np.zeros((3, *shape), dtype=np.float32)
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))):
        radius = first * rng.uniform(0.8, 1.15)
        angle, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, 1.5))
        u, v = turned(x - centre_x, y - centre_y, angle)
        uneven = 1 + 0.13 * smooth_noise(rng, shape, scale=7)
        distance = np.hypot(u / stretch, v * stretch) / (radius * uneven)
        pit = smoothstep(1.05, 0.45, distance)
        rim = np.exp(-((distance - 1.15) ** 2) * 22.0)
        relief += np.float32(severity * radius) * (0.28 * rim - 0.85 * pit)
        opacity = np.maximum(opacity, pit * np.float32(0.06 + 0.90 * severity))
        mask = np.maximum(mask, distance < 1.25)
        step, direction = rng.uniform(2.6, 5.0) * first, rng.uniform(0, 2 * np.pi)
        centre_y = float(np.clip(centre_y + step * np.sin(direction), 14, shape[0] - 14))
        centre_x = float(np.clip(centre_x + step * np.cos(direction), 14, shape[1] - 14))
    dark = (0.09, 0.055, 0.04)
    return _layers(shape, mask, relief=relief, flatten=opacity, tint=dark, opacity=opacity)


_DRAW = {"color": _color, "cut": _cut, "fold": _fold, "glue": _glue, "poke": _poke}
