"""``aupimo explore`` and ``aupimo score --explore``: where the page goes, and what is in it."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from aupimo_helpers import model
from aupimo_helpers.commands import main
from aupimo_helpers.model import PadimSettings, Predictions

pytestmark = pytest.mark.slow

PATHS = ("synthetic/leather/test/good/000.png", "synthetic/leather/test/cut/000.png")


@pytest.fixture
def asked(monkeypatch):
    """Predictions in place of a trained model's, the data in place, and what was asked for."""
    maps, masks = torch.rand((2, 400, 400), generator=torch.Generator().manual_seed(0)), torch.zeros(2, 400, 400) > 0
    masks[1, 5:30, 5:30] = True
    asked = []

    def predict(dataset, data_root, results, settings):
        for path in PATHS:
            (data_root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (50, 50), 99).save(data_root / path)
        asked.append((dataset, results, settings))
        return Predictions(maps, masks, PATHS)

    monkeypatch.setattr(model, "predict", predict)
    monkeypatch.setattr("aupimo_helpers.data.make", lambda dataset, root: root / dataset)
    monkeypatch.setattr("aupimo_helpers.data.check", lambda _: [])
    return asked


def content(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())[1])


def test_the_page_of_a_data_set_and_a_model(asked, tmp_path, capsys):
    options = [
        "--dataset",
        "synthetic/leather",
        "--data-root",
        f"{tmp_path}/data",
        "--results",
        f"{tmp_path}/results",
    ]
    assert main(["explore", *options, "--backbone", "resnet18", "--seed", "3", "--fpr-bounds", "1e-4", "1e-3"]) == 0
    page = tmp_path / "results" / "explorer.html"
    assert f"Open it: {page} (" in capsys.readouterr().out
    assert asked == [("synthetic/leather", tmp_path / "results", PadimSettings("resnet18", seed=3))]
    shown = content(page)
    assert [shown["rates"][place] for place in shown["bounds"]] == [1e-4, 1e-3]
    assert (shown["anomalous"][0]["name"], shown["normal"][0]["name"]) == PATHS[::-1]


def test_a_page_that_cannot_be_written_is_refused_first(asked, tmp_path, capsys):
    (tmp_path / "page.html").mkdir()
    assert main(["explore", "-o", f"{tmp_path}/page.html"]) == 1
    assert "a folder is where a file must be" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("with_images", [False, True])
def test_maps_of_any_framework(with_images, tmp_path, capsys):
    generator = np.random.default_rng(0)
    for name in ("good/0", "good/1", "cut/0"):
        for folder in ("maps", "masks", "images"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "maps" / f"{name}.npy", generator.random((300, 300)))
        mask = np.zeros((300, 300), np.uint8)
        mask[9:40, 9:40] = 255 * (name == "cut/0")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
        Image.new("I;16", (600, 600), 9000).save(tmp_path / "images" / f"{name}.png")
    arguments = [f"--{what}={tmp_path}/{what}" for what in ("maps", "masks", "images")[: 2 + with_images]]
    assert main(["score", *arguments, "-o", f"{tmp_path}/a.json", "--explore", f"{tmp_path}/page.html"]) == 0
    assert f"Open it: {tmp_path}/page.html" in capsys.readouterr().out
    shown = content(tmp_path / "page.html")
    assert [image["name"] for image in shown["anomalous"]] == ["cut/0.npy"]
    assert [image["image"] is not None for image in shown["normal"]] == [with_images] * 2


def test_images_need_a_place_to_be_shown(tmp_path, capsys):
    options = [f"--{what}={tmp_path}" for what in ("maps", "masks", "images")]
    assert main(["score", *options, "-o", f"{tmp_path}/a.json"]) == 1
    assert "--report DIR or --explore FILE" in capsys.readouterr().err
