"""VisA's one-class split: downloaded from a server on this machine, or from a folder."""

import dataclasses
import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers import data
from aupimo_helpers.data import check
from aupimo_helpers.errors import DownloadError, InputError, MissingError


@pytest.fixture
def unpacked(draw, tmp_path):
    """Two categories; the third value in a mask is another class."""
    root = tmp_path / "unpacked"
    rows = ["object,split,label,image,mask"]
    for category in ("candle", "pcb1"):
        for number in range(4):
            path = f"{category}/Data/Images/Normal/{number:04}.JPG"
            draw.picture(root / path, format="jpeg")
            rows.append(f"{category},{'train' if number < 2 else 'test'},normal,{path},")
        image, mask = (f"{category}/Data/{part}" for part in ("Images/Anomaly/000.JPG", "Masks/Anomaly/000.png"))
        draw.picture(root / image, format="jpeg")
        draw.mask(root / mask, value=1)
        pixels = draw.pixels(root / mask).copy()
        pixels[9, 9] = 3
        Image.fromarray(pixels).save(root / mask)
        rows.append(f"{category},test,anomaly,{image},{mask}")
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(rows))
    return root


def sound(folder):
    return check(folder, fpr_bounds=(0.01, 0.1), image_size=(12, 16)) == []


def test_a_folder_becomes_png_in_the_common_layout(unpacked, draw, tmp_path):
    folder = data.make("visa/candle", tmp_path / "data", from_folder=unpacked)
    assert folder == tmp_path / "data" / "visa" / "candle"
    assert draw.listing(folder) == [
        *("ground_truth/bad/000.png", "test/bad/000.png"),
        *(f"test/good/000{number}.png" for number in (2, 3)),
        *(f"train/good/000{number}.png" for number in (0, 1)),
    ]
    assert (draw.pixels(folder / "ground_truth" / "bad" / "000.png") == 255).sum() == 13
    wanted = draw.pixels(unpacked / "candle" / "Data" / "Images" / "Normal" / "0002.JPG")
    np.testing.assert_array_equal(draw.pixels(folder / "test" / "good" / "0002.png"), wanted)
    assert sound(folder)
    assert data.make("visa/candle", tmp_path / "data") == folder


def test_the_archive_is_downloaded_once_for_all_categories(unpacked, serve, tmp_path, monkeypatch):
    from anomalib.data.datamodules.image import visa

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as tar:
        for path in unpacked.iterdir():
            tar.add(path, arcname=path.name)
    server = serve(stream.getvalue())
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    monkeypatch.setattr(
        visa, "DOWNLOAD_INFO", dataclasses.replace(visa.DOWNLOAD_INFO, url=server.url, hashsum=digest)
    )
    server.status = 404
    with pytest.raises(DownloadError, match=r"VisA could not be downloaded from .*--from-folder UNPACKED"):
        data.make("visa/candle", tmp_path / "data")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.suffix != ".lock"]
    server.status, server.requests = 200, 0
    assert sound(data.make("visa/candle", tmp_path / "data"))
    assert sound(data.make("visa/pcb1", tmp_path / "data"))
    assert server.requests == 1
    with pytest.raises(MissingError, match="is not VisA with cashew"):
        data.make("visa/cashew", tmp_path / "data")


def test_folders_that_are_not_visa_are_named(unpacked, tmp_path):
    with pytest.raises(MissingError, match=r"candle is not VisA with candle.*By hand"):
        data.make("visa/candle", tmp_path / "data", from_folder=unpacked / "candle")
    (unpacked / "split_csv" / "1cls.csv").write_text("object,split,label,image,mask\n")
    with pytest.raises(InputError, match=r"1cls\.csv lists no image of candle"):
        data.make("visa/candle", tmp_path / "data", from_folder=unpacked)
    assert not (tmp_path / "data" / "visa" / "candle").exists()


def test_files_that_are_missing_or_damaged_are_all_named(unpacked, tmp_path):
    (unpacked / "candle" / "Data" / "Images" / "Normal" / "0001.JPG").unlink()
    (unpacked / "candle" / "Data" / "Masks" / "Anomaly" / "000.png").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        data.make("visa/candle", tmp_path / "data", from_folder=unpacked)
    assert "2 problems" in str(caught.value)
    assert "0001.JPG" in str(caught.value)
    assert "000.png cannot be read as a mask" in str(caught.value)
