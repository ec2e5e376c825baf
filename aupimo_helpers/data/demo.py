"""A folder of pictures as an engineer brings it: for trying the way from there to a report."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from aupimo_helpers.data import sets
from aupimo_helpers.data.images import read_mask, read_picture
from aupimo_helpers.files import build_once

# Height and width in pixels: landscape, portrait, square.
SIZES = ((480, 640), (640, 480), (512, 512))
_ROTATE_TO_SEE = 6  # EXIF orientation "turn by 90 degrees clockwise"
_ORIENTATION = 0x0112


def make_demo_folder(
    folder: str | Path, data_root: str | Path = "datasets", *, normal: int = 45, per_defect: int = 3, seed: int = 0
) -> Path:
    """Make pictures as a phone takes them, out of the course's leather.

    JPEG, landscape, portrait and square, some stored on their side with the rotation noted (EXIF); ``good`` holds
    the normal ones, ``defect`` the others, with a labelme file beside each that has the defect's polygon.

    Args:
        folder: The folder to make. One that is there is left as it is.
        data_root: Where the embedded data lie; they are made if they are missing.
        normal: Number of normal pictures, at most 232.
        per_defect: Number of pictures per defect type, at most 18.
        seed: Seed of the choice of pictures and sizes.

    Returns:
        The folder.

    Raises:
        WriteError: If the folder cannot be written.
    """

    def build(temporary: Path) -> None:
        leather = sets.make("synthetic/leather", data_root)
        _take(leather, temporary, normal, per_defect, np.random.default_rng(seed))

    return build_once(Path(folder), build)


def _take(leather: Path, folder: Path, normal: int, per_defect: int, rng: np.random.Generator) -> None:
    for name in ("good", "defect"):
        (folder / name).mkdir()
    images = sorted((leather / "train" / "good").iterdir()) + sorted((leather / "test" / "good").iterdir())
    numbers = count(1001)
    for path in rng.permutation(np.array(images, dtype=object))[:normal]:
        _shoot(path, None, folder / "good" / f"IMG_{next(numbers)}.jpg", rng)
    for kind in sorted(path for path in (leather / "test").iterdir() if path.name != "good"):
        damaged = sorted(kind.iterdir())
        for i in sorted(rng.permutation(len(damaged))[:per_defect]):
            mask = leather / "ground_truth" / kind.name / f"{damaged[i].stem}_mask.png"
            _shoot(damaged[i], mask, folder / "defect" / f"IMG_{next(numbers)}.jpg", rng)


def _shoot(path: Path, mask_path: Path | None, target: Path, rng: np.random.Generator) -> None:
    """Cut an image to the shape of a picture, enlarge it, and save it with its annotation."""
    height, width = SIZES[rng.integers(len(SIZES))]
    image = Image.fromarray(read_picture(path)).convert("RGB")
    inside = np.zeros(image.size, dtype=bool) if mask_path is None else read_mask(mask_path)
    mask = Image.fromarray(inside.astype(np.uint8) * 255)
    box = _crop(inside, height / width, rng)
    image = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    mask = mask.resize((width, height), Image.Resampling.BILINEAR, box=box)
    exif = Image.Exif()
    if rng.random() < 0.2:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[_ORIENTATION] = _ROTATE_TO_SEE
    image.save(target, quality=92, exif=exif)
    if mask_path is not None:
        annotation = _annotation(np.asarray(mask), mask_path.parent.name, target.name)
        target.with_suffix(".json").write_text(json.dumps(annotation, indent=1) + "\n", encoding="utf-8")


def _crop(mask: NDArray[np.bool_], ratio: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Choose the part of a square image that is kept: as large as the shape allows, with the defect in its middle."""
    size = mask.shape[0]
    height, width = (round(size * ratio), size) if ratio < 1 else (size, round(size / ratio))
    rows, columns = np.nonzero(mask) if mask.any() else (rng.integers(size, size=1), rng.integers(size, size=1))
    top = int(np.clip(rows.mean() - height / 2, 0, size - height))
    left = int(np.clip(columns.mean() - width / 2, 0, size - width))
    return left, top, left + width, top + height


def _annotation(mask: NDArray[np.uint8], label: str, image_name: str) -> dict[str, Any]:
    """Write a mask as labelme writes polygons: corners (x, y) that follow its outline to a pixel."""
    shapes = []
    for contour in find_contours(np.pad(mask / 255.0, 1), 0.5):
        # From array indices of the padded mask, where a pixel's centre is an integer, to labelme's coordinates.
        corners = approximate_polygon(contour, tolerance=0.7)[:-1, ::-1] - 0.5
        if len(corners) >= 3:
            points = np.clip(corners, 0, mask.shape[::-1]).round(2).tolist()
            shapes.append({"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}})
    image = {"imagePath": image_name, "imageData": None, "imageHeight": mask.shape[0], "imageWidth": mask.shape[1]}
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, **image}
