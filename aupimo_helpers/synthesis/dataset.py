"""Write an embedded data set to disk, many images at once."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from aupimo_helpers.files import png_sizes
from aupimo_helpers.synthesis import leather, photos
from aupimo_helpers.synthesis.defects import DEFECT_TYPES, Defect, make_defect
from aupimo_helpers.synthesis.noise import SHAPE

# Raise it whenever a pixel of any embedded set changes: results made from the older one must not pass for new.
RECIPE = 1

# Images per set: train/good, test/good, and per defect type.
COUNTS = {"leather": (200, 32, 18), "brick": (120, 32, 12), "grass": (120, 32, 12), "gravel": (120, 32, 12)}

Render = Callable[[np.random.Generator, bool, Defect | None], NDArray[np.uint8]]


def write(dataset: str, folder: Path, *, seed: int = 0, workers: int = 2) -> None:
    """Fill an empty folder with a data set in MVTec AD's layout, ``defects.csv`` and ``dataset.json``."""
    # Each image has a random generator of its own: the pixels do not depend on the number of workers, nor on the
    # order in which they finish. Threads, because NumPy and the PNG encoder release the interpreter's lock, and
    # because they need no fork, which is unsafe in notebooks.
    category = dataset.split("/")[1]
    if category == "leather":
        render: Render = lambda rng, _train, defect: leather.render(rng, defect)  # noqa: E731
    else:
        render = photos.photographer(category)
    train, normal, per_defect = COUNTS[category]
    names = [("train", "good", i) for i in range(train)] + [("test", "good", i) for i in range(normal)]
    names += [("test", defect, i) for defect in DEFECT_TYPES for i in range(per_defect)]
    for split, label, _ in names:
        (folder / split / label).mkdir(parents=True, exist_ok=True)
        if label != "good":
            (folder / "ground_truth" / label).mkdir(parents=True, exist_ok=True)

    def one(position: int) -> dict[str, Any] | None:
        return _write_image(folder, *names[position], render=render, seed=seed, position=position, of=per_defect)

    rows: dict[int, dict[str, Any] | None] = {}
    with (
        ThreadPoolExecutor(max_workers=workers) as pool,
        tqdm(total=len(names), desc=f"making {dataset}", unit="image", disable=None) as bar,
    ):
        futures = {pool.submit(one, position): position for position in range(len(names))}
        try:
            for future in as_completed(futures):
                rows[futures[future]] = future.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a full disk or Ctrl-C: do not draw the rest first
            raise
    table = pd.DataFrame([row for _, row in sorted(rows.items()) if row is not None])
    table.to_csv(folder / "defects.csv", index=False)
    record = {"dataset": dataset, "recipe": RECIPE, "seed": seed, "images": len(names), "files": png_sizes(folder)}
    (folder / "dataset.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _write_image(
    folder: Path, split: str, label: str, number: int, *, render: Render, seed: int, position: int, of: int
) -> dict[str, Any] | None:
    """Draw and save one image, and its mask if it has a defect; returns its row of ``defects.csv``."""
    rng = np.random.default_rng([seed, position])
    image_path = Path(split, label, f"{number:03d}.png")
    if label == "good":
        _save(render(rng, split == "train", None), folder / image_path)
        return None
    # Stratified: one severity in each of the equal slices of [0.1, 1], in an order that differs between the types.
    order = np.random.default_rng([seed, DEFECT_TYPES.index(label), 10_000]).permutation(of)
    severity = round(0.1 + 0.9 * float((order[number] + rng.uniform()) / of), 4)
    defect = make_defect(label, rng, SHAPE, severity)
    _save(render(rng, False, defect), folder / image_path)
    _save(defect.mask.astype(np.uint8) * 255, folder / "ground_truth" / label / f"{number:03d}_mask.png")
    return {
        "image_path": image_path.as_posix(),
        "defect": label,
        "severity": severity,
        "mask_area": int(defect.mask.sum()),
    }


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    # Noise hardly compresses: level 1 is three times quicker than the default and 3 % larger.
    Image.fromarray(pixels).save(path, compress_level=1)
