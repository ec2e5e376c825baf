"""The threshold explorer: a slider for the shared FPR, and what a model then marks, in JupyterLab and as a web page.

**How a pixel is stored.** The slider takes the values f_0 < f_1 < ..., about 40 of them in each power of ten, the
bounds L and U among them. The metric's threshold at f is the highest normal score t(f) whose shared FPR reaches f
(``threshold_at_fpr``), and a pixel is marked if its score is at least that. Since t falls as f grows, one byte says
it all: a pixel's *level* is the number of thresholds above its score, and at f_k the pixels of level k or less are
marked. So at every position of the slider recall and marks are those of the metric, ties included; nothing is
rounded. A curve between two positions is not known to the page: what is integrated there (``_areas``) comes along,
exact, for each image, so that the scores at any two positions as bounds are those of ``aupimo_scores``.
"""

import base64
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from aupimo_helpers.data.images import load_image
from aupimo_helpers.data.paths import defect_types
from aupimo_helpers.files import atomic_file
from aupimo_helpers.metrics import aupimo_scores, threshold_at_fpr
from aupimo_helpers.metrics.checks import wide
from aupimo_helpers.metrics.exact import Normals, NormalScores
from aupimo_helpers.model import Predictions
from aupimo_helpers.plots import PERCENT, as_jpeg, plot_pimo_curve, show_image
from aupimo_helpers.scores.maps import Scored

_HERE = Path(__file__).parent
_STEPS = 40  # slider positions in a power of ten
_LEVELS = 255  # of a byte; the last one is never marked
_SORTED = 2**22  # normal pixels whose scores give thresholds; an FPR beyond them is of no use
_BYTES = 10_000_000  # of a page, about
_MARK = (255, 0, 200)


def scored_predictions(predictions: Predictions, data_root: str | Path, fpr_bounds: tuple[float, float]) -> Scored:
    """Score a model's predictions; ``data_root`` is the folder of their image paths."""
    maps, masks, paths = predictions.anomaly_maps.numpy(), predictions.masks.numpy(), predictions.image_paths
    lower, upper = fpr_bounds
    return Scored(
        paths=paths,
        aupimos=aupimo_scores(maps, masks, fpr_bounds).numpy(),
        fpr_bounds=fpr_bounds,
        threshold_bounds=(threshold_at_fpr(maps, masks, upper), threshold_at_fpr(maps, masks, lower)),
        normal=[NormalScores(each.size, each.ravel()) for each in maps[~masks.any(axis=(1, 2))]],
        of_masks=[each[mask] for each, mask in zip(maps, masks, strict=True)],
        read=lambda index: (maps[index], masks[index]),
        image=lambda index, size: load_image(Path(data_root, paths[index]), size),
    )


def _rates(lower: float, upper: float, highest: float) -> tuple[np.ndarray, int, int]:
    """Choose the slider's values, from a decade below L up to ``highest``; give them and the places of L and U."""
    decades = math.log10(upper / lower)
    between = int(np.clip(round(_STEPS * decades), 4, 200))
    below = min(round(between / decades), _LEVELS - 1 - between)
    rates = lower * (upper / lower) ** (np.arange(-below, _LEVELS - below) / between)
    rates = np.array([float(f"{rate:.12g}") for rate in rates])
    rates[[below, below + between]] = lower, upper
    return rates[rates <= highest], below, below + between


def _areas(scores: np.ndarray, ascending: np.ndarray, ends: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Integrate an image's exact curve over ln F from x[0] to each x; ``ends`` are ln F at the scores, descending."""
    scores = np.sort(wide(scores))[::-1]
    above = len(ends) - ascending.searchsorted(scores, side="right")
    tied = (above > 0) & (ascending[np.maximum(len(ends) - 1 - above, 0)] == scores)
    # A pixel is found from the shared FPR above its score on; in a tie, up to that at its score, more and more of it.
    start = np.maximum(np.append(x[0], ends)[above[~tied]], x[0])
    found = start.searchsorted(x)
    area = x * found - np.append(0, np.cumsum(start))[found]
    places, counts = np.unique(above[tied], return_counts=True)
    for low, high, count in zip(ends[places - 1], ends[places], counts, strict=True):
        rise = (np.clip(x, low, high) - low) ** 2 / (2 * (high - low)) + np.maximum(x - high, 0)
        area += count * (rise - rise[0])
    return area / len(scores)


def _spread(scores: Mapping[int, float], kinds: Sequence[str]) -> list[int]:
    """Order images so that the first few of them show all kinds, worst to best, and few of many equal scores."""
    left = {kind: [index for index in scores if kinds[index] == kind] for kind in sorted({kinds[i] for i in scores})}
    order: list[int] = []
    for turn in range(len(scores) * len(left)):
        kind = list(left)[turn % len(left)]
        # the worst, the best, then multiples of the golden ratio: each falls into the largest gap that was left
        target = 1.0 if turn == 1 else turn * 0.618034 % 1
        if left[kind]:
            order.append(min(left[kind], key=lambda index: abs(scores[index] - target)))
            left[kind].remove(order[-1])
    return order


def _packed(levels: np.ndarray, mask: np.ndarray | None) -> str:
    """Compress levels, as differences down and then to the right, and a mask after them: deflate in base64."""
    first = np.uint8(0)
    steps = np.diff(np.diff(levels, axis=0, prepend=first), axis=1, prepend=first)
    content = zlib.compress(steps.tobytes() + (b"" if mask is None else mask.tobytes()))
    return base64.b64encode(content).decode()


def _jpeg(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="jpeg", quality=70, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def explorer_data(scored: Scored, most_images: int | None = None) -> dict[str, Any]:
    """Gather what the explorer shows: rates and thresholds of all images, and as many images as there is room for."""
    lower, upper = scored.fpr_bounds
    pixels = sum(image.pixels for image in scored.normal)
    curve = Normals(scored.normal, len(scored.normal), pixels).top(max(upper, min(1.0, _SORTED / pixels)))
    rates, low, high = _rates(lower, upper, float(curve.fpr[-1]))
    places = curve.fpr.searchsorted(rates)
    thresholds = curve.scores[places]

    def levels(scores: np.ndarray) -> np.ndarray:
        return (len(rates) - thresholds[::-1].searchsorted(wide(scores), side="right")).astype(np.uint8)

    counts = np.stack([np.bincount(levels(image.scores), minlength=len(rates) + 1) for image in scored.normal])
    marked = counts.cumsum(axis=1)[:, :-1]
    kinds = defect_types(scored.paths, ~np.isnan(scored.aupimos))
    normal, anomalous = np.flatnonzero(np.isnan(scored.aupimos)), np.flatnonzero(~np.isnan(scored.aupimos))
    axes = curve.scores[::-1].copy(), np.log(curve.fpr), np.log(rates)
    areas = {index: _areas(scored.of_masks[index], *axes) for index in anomalous.tolist()}
    worst_first = anomalous[np.lexsort((np.array([areas[i][-1] for i in anomalous]), scored.aupimos[anomalous]))]
    loudest_first = normal[np.lexsort((-marked.sum(axis=1), -marked[:, high]))]

    def entry(index: int) -> dict[str, Any]:
        scores, mask = scored.read(index)
        shown = {"name": scored.paths[index], "height": scores.shape[0], "width": scores.shape[1]}
        if index in areas:
            shown |= {"kind": kinds[index], "areas": areas[index].round(6).tolist()}
        image = None if scored.image is None else _jpeg(scored.image(index, scores.shape))
        return shown | {"image": image, "levels": _packed(levels(scores), mask if index in areas else None)}

    entries, room = {}, _BYTES
    spread = _spread({index: scored.aupimos[index] for index in worst_first.tolist()}, kinds)
    limits = (None, None) if most_images is None else (most_images - most_images // 4, most_images // 4)
    queues = (spread[: limits[0]], loudest_first[: limits[1]].tolist())
    for number, group in enumerate(zip_longest(queues[0][::2], queues[0][1::2], queues[1])):
        for index in group:
            if index is not None and (number == 0 or room > 0):
                entries[index] = entry(index)
                room -= len(entries[index]["levels"]) + len(entries[index]["image"] or "")
    shown = [index for index in worst_first.tolist() if index in entries]
    return {
        "rates": rates.tolist(),
        "thresholds": thresholds.tolist(),
        "reached": curve.fpr[places].tolist(),
        "bounds": [low, high],
        "marked": marked.sum(axis=0).tolist(),
        "numbers": [len(anomalous), len(normal)],
        "areas": np.mean([areas[index] for index in areas], axis=0).round(7).tolist(),
        "start": int(np.argmin(np.abs(scored.aupimos[shown] - 0.5))),
        "anomalous": [entries[index] for index in shown],
        "normal": [entries[index] for index in loudest_first.tolist() if index in entries],
    }


def write_explorer(path: str | Path, name: str, scored: Scored) -> None:
    """Write the explorer as one HTML file that needs no network."""
    environment = Environment(
        loader=PackageLoader("aupimo_helpers", "course"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("explorer.html.j2").render(
        name=name,
        style=(_HERE / "explorer.css").read_text(encoding="utf-8"),
        script=(_HERE / "explorer.js").read_text(encoding="utf-8"),
        data=json.dumps(explorer_data(scored)).replace("<", "\\u003c"),
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


class _Explorer(anywidget.AnyWidget):
    """The explorer in JupyterLab; a front end that runs no widgets shows a picture of how it starts."""

    _esm = _HERE / "explorer.js"
    _css = _HERE / "explorer.css"
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict[str, Any], picture: bytes, text: str) -> None:
        super().__init__(data=data)
        self._picture, self._text = base64.b64encode(picture).decode(), text

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:  # noqa: ANN401
        bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return bundle | {"image/jpeg": self._picture}, metadata | {"image/jpeg": {"alt": self._text}}


def explore(
    predictions: Predictions,
    data_root: str | Path = "../datasets",
    fpr_bounds: tuple[float, float] = (1e-5, 1e-4),
    *,
    num_images: int = 12,
) -> anywidget.AnyWidget:
    """Show a slider for the shared FPR, and what a model marks at that rate in anomalous and normal images.

    Args:
        predictions: Maps, masks and paths of a test set.
        data_root: The folder of the image paths.
        fpr_bounds: L and U at the start; two more sliders move them.
        num_images: How many images are shown at most, a quarter of them normal: all kinds of defect, worst to best.
            Every number about the whole test set comes from all images.

    Returns:
        The widget. Where no widgets are run, a picture of how it starts is shown in its place.

    Raises:
        InputError: As ``aupimo_scores``.
        MissingError: If an image is not in ``data_root``.

    Example:
        >>> explore(predict("synthetic/leather", "datasets", "results"), "datasets")  # doctest: +SKIP
    """
    scored = scored_predictions(predictions, data_root, (fpr_bounds[0], fpr_bounds[1]))
    data = explorer_data(scored, num_images)
    return _Explorer(data, *_picture(scored, data))


def _picture(scored: Scored, data: dict[str, Any]) -> tuple[bytes, str]:
    """Draw how the explorer starts, as JPEG, and say what is seen."""
    upper = data["bounds"][1]
    threshold, rate = data["thresholds"][upper], f"{data['rates'][upper]:g}"
    shown = data["anomalous"][data["start"]], data["normal"][0]
    anomalous, normal = (list(scored.paths).index(each["name"]) for each in shown)
    recalls = [(scored.of_masks[anomalous] >= t).mean() for t in data["thresholds"]]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    *pictures, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.6))
    marks = []
    for ax, index, what in zip(
        pictures, (anomalous, normal), ("an image with a defect", "a normal image"), strict=True
    ):
        scores, mask = scored.read(index)
        image = scored.image(index, scores.shape) if scored.image else scores
        marked = scores >= threshold
        marks.append(int(marked.sum()))
        name = "/".join(Path(scored.paths[index]).parts[-2:])
        show_image(ax, image, mask, title=f"{what}\n{name if len(name) <= 30 else '…' + name[-29:]}")
        ax.imshow(np.dstack([np.full((*scores.shape, 3), _MARK, np.uint8), 150 * marked.astype(np.uint8)]))
    plot_pimo_curve(data["rates"], recalls, fpr_bounds=scored.fpr_bounds, ax=right)
    right.plot(data["rates"][upper], recalls[upper], "o", color="black", markersize=8, zorder=5)
    right.yaxis.set_major_formatter(PERCENT)
    right.set_title("the PIMO curve of the image with a defect", loc="left", fontsize=9)
    right.set(xlabel="shared FPR (log scale)", ylabel="recall in the image (TPR)")
    text = (
        f"Threshold explorer at a shared FPR of {rate}: {100 * recalls[upper]:.0f} % of the defect in the first "
        f"image is marked, {marks[1]} pixels of the normal image beside it, and the point on the PIMO curve says "
        "both."
    )
    return as_jpeg(figure).data, text
