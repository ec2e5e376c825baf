"""The demo's pictures."""

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.data.own import import_folder


def test_the_demo_folder_is_a_phone_folder_whose_polygons_follow_the_masks(draw, tmp_path, monkeypatch):
    from aupimo_helpers.data import sets
    from aupimo_helpers.data.demo import SIZES, make_demo_folder

    leather = tmp_path / "leather"
    rng = np.random.default_rng(0)
    for number in range(8):
        draw.picture(leather / "train" / "good" / f"{number:03}.png", size=(64, 64))
        draw.picture(leather / "test" / "good" / f"{number:03}.png", size=(64, 64))
    for defect, radius in (("cut", 6), ("poke", 9)):
        for number in range(4):
            draw.picture(leather / "test" / defect / f"{number:03}.png", size=(64, 64))
            y, x = np.ogrid[:64, :64]
            row, column = rng.uniform(20, 44, 2)
            disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
            (leather / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
            Image.fromarray((disc * 255).astype(np.uint8)).save(
                leather / f"ground_truth/{defect}/{number:03}_mask.png"
            )
    monkeypatch.setattr(sets, "make", lambda *_: leather)

    pictures = make_demo_folder(tmp_path / "phone", tmp_path, normal=14, per_defect=3)
    assert len(list((pictures / "good").glob("*.jpg"))) == 14
    assert len(list((pictures / "defect").glob("*.json"))) == 6
    stored = {Image.open(path).size[::-1] for path in pictures.rglob("*.jpg")}
    assert len(stored) > 1
    assert any(Image.open(path).getexif().get(0x0112) == 6 for path in pictures.rglob("*.jpg"))

    folder = import_folder(pictures, "phone", tmp_path / "datasets")
    assert {draw.pixels(path).shape[:2] for path in (folder / "test").rglob("*.png")} <= set(SIZES)
    for defect, radius in (("cut", 6), ("poke", 9)):
        masks = [draw.pixels(path) > 0 for path in (folder / "ground_truth" / defect).iterdir()]
        assert len(masks) == 3
        for mask in masks:
            # The longer side of a picture shows all 64 pixels of the leather.
            enlargement = max(mask.shape) / 64
            assert mask.sum() == pytest.approx(np.pi * (radius * enlargement) ** 2, rel=0.05)
    before = {path: path.stat().st_mtime_ns for path in pictures.rglob("*")}
    make_demo_folder(tmp_path / "phone", tmp_path, normal=2)
    assert {path: path.stat().st_mtime_ns for path in pictures.rglob("*")} == before
