"""Write an embedded data set to disk, many images at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from aupimo_helpers.files import png_sizes
from aupimo_helpers.synthesis import leather, photos
from aupimo_helpers.synthesis.defects import DEFECT_TYPES, make_defect
from aupimo_helpers.synthesis.noise import SHAPE

# Raise it whenever a pixel of any embedded set changes: results made from the older one must not pass for new.
RECIPE = 1

# Images per set: train/good, test/good, and per defect type.
COUNTS = {"leather": (200, 32, 18), "brick": (120, 32, 12), "grass": (120, 32, 12), "gravel": (120, 32, 12)}


def write(dataset: str, folder: Path, *, seed: int = 0, workers: int = 2) -> None:
    """Fill an empty folder with a data set in MVTec AD's layout, ``defects.csv`` and ``dataset.json``."""
    category = dataset.split("/")[1]
    train, normal, per_defect = COUNTS[category]
    names = [("train", "good", i) for i in range(train)] + [("test", "good", i) for i in range(normal)]
    names += [("test", defect, i) for defect in DEFECT_TYPES for i in range(per_defect)]

    def draw(position: int) -> dict[str, Any] | None:
        """Draw and save one image, and its mask if it has a defect; its row of ``defects.csv``."""
        split, label, number = names[position]
        # A random generator of its own: the pixels do not depend on the number of workers, nor on their order.
        rng = np.random.default_rng([seed, position])
        image_path = Path(split, label, f"{number:03d}.png")
        defect, row = None, None
        if label != "good":
            # Stratified: one severity in each of the equal slices of [0.1, 1], in an order of each type's own.
            order = np.random.default_rng([seed, DEFECT_TYPES.index(label), 10_000]).permutation(per_defect)
            severity = round(0.1 + 0.9 * float((order[number] + rng.uniform()) / per_defect), 4)
            defect = make_defect(label, rng, SHAPE, severity)
            row = {"image_path": image_path.as_posix(), "defect": label, "severity": severity}
            row["mask_area"] = int(defect.mask.sum())
            _save(defect.mask.astype(np.uint8) * 255, folder / "ground_truth" / label / f"{number:03d}_mask.png")
        if category == "leather":
            pixels = leather.render(rng, defect)
        else:
            pixels = photos.render(category, rng, defect, train=split == "train")
        _save(pixels, folder / image_path)
        return row

    # Threads, because NumPy and the PNG encoder release the interpreter's lock, and because they need no fork, which
    # is unsafe in notebooks. An error or Ctrl-C ends `map`, which then does not draw the rest.
    with ThreadPoolExecutor(max_workers=workers) as pool:
        drawn = pool.map(draw, range(len(names)))
        rows = list(tqdm(drawn, f"making {dataset}", len(names), unit="image", disable=None))
    pd.DataFrame([row for row in rows if row is not None]).to_csv(folder / "defects.csv", index=False)
    record = {"dataset": dataset, "recipe": RECIPE, "seed": seed, "images": len(names), "files": png_sizes(folder)}
    (folder / "dataset.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Noise hardly compresses: level 1 is three times quicker than the default and 3 % larger.
    Image.fromarray(pixels).save(path, compress_level=1)
