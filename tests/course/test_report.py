"""The report: its numbers against a second path, names that are no markup, and what it says where there are none."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from aupimo_helpers.course.explorer import scored_predictions
from aupimo_helpers.course.notebook import Row
from aupimo_helpers.course.report import Report, write_report
from aupimo_helpers.metrics import aupimo_scores, threshold_at_fpr
from aupimo_helpers.model import Predictions

EVIL = "<img src=x onerror=document.title='ran'>"
BOUNDS = (1e-4, 1e-3)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    """6 normal and 14 anomalous images, 12 of them missed; a kind of defect is called like a script."""
    root = tmp_path_factory.mktemp("data")
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand((20, 64, 64), generator=generator)
    maps[3] += 0.5  # the normal image that sets the thresholds
    masks = torch.zeros(maps.shape, dtype=torch.bool)
    for i in range(6, 20):
        masks[i, 10 : 12 + i, 20:30] = True
    maps[18:][masks[18:]] = 2.0
    kinds = ["good"] * 6 + ["cut"] * 7 + [EVIL] * 7
    paths = tuple(f"own/set/test/{kind}/{i:03}.png" for i, kind in enumerate(kinds))
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (80, 60), 90).save(root / path)
    return Predictions(maps, masks, paths), root


@pytest.fixture(scope="module")
def page(predictions):
    results = scored_predictions(*predictions, BOUNDS)
    rows = [
        Row("01_a", "A < B", "Why?", "passed", 12.4, 1.26),
        Row("02_b", "C", "How?", "FAILED", 3.0, 0.5, "cell 4: ValueError: <b>"),
        Row("03_c", "D", "When?"),
    ]
    notes = [("What was left out", [f"{EVIL}.png marks no pixel"])]
    return write_report(predictions[1] / "out" / "index.html", Report(f"own/{EVIL}", results, notes=notes, rows=rows))


def text_of(page):
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8"))))


def test_it_tells_the_numbers(predictions, page):
    maps, masks = predictions[0].anomaly_maps, predictions[0].masks
    scores = aupimo_scores(maps, masks, BOUNDS).numpy()
    without = [
        np.nanmean(aupimo_scores(maps[kept], masks[kept], BOUNDS).numpy())
        for kept in (torch.arange(20) != left_out for left_out in range(6))
    ]
    threshold = threshold_at_fpr(maps, masks, BOUNDS[1])
    fired = [int((anomaly_map >= threshold).sum()) for anomaly_map in maps[:6]]
    text = text_of(page)
    assert f"{100 * np.nanmean(scores):.1f} % mean AUPIMO over 14 anomalous images" in text
    assert f"mean from {100 * min(without):.1f} % to {100 * max(without):.1f} %, depending on which" in text
    assert f"{threshold:.6g} (raw anomaly score)" in text
    assert f"{fired.count(0)} of 6 normal images have no false positive pixel" in text
    assert f"of the {sum(fired):,} such pixels {100 * max(fired) / sum(fired):.0f} % lie in one image" in text
    assert f"own/set/test/good/003.png: {fired[3]:,} false positive pixels" in text
    assert f"{(scores == 0).sum()} images score exactly 0 %, {(scores == 1).sum()} exactly 100 %" in text


def test_ties_among_the_worst_are_named(page):
    assert "12 images score 0.0 %: 10 of them are shown." in text_of(page)


def test_every_picture_is_inside_and_says_what_it_shows(page):
    sources = re.findall(r'<img src="([^"]*)" alt="([^"]*)"', page.read_text())
    assert len(sources) >= 12
    assert all(source.startswith("data:image/") and len(alt) > 20 for source, alt in sources)
    assert "http" not in re.sub(r"data:[^\"]*", "", page.read_text())


def test_the_notebooks_and_what_was_left_out(page):
    raw = page.read_text()
    assert '<a href="01_a.html">A &lt; B</a>' in raw
    assert "03_c.html" not in raw
    text = text_of(page)
    for expected in ("12 s", "1.3 GB", "cell 4: ValueError: <b>", f"{EVIL}.png marks no pixel"):
        assert expected in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_no_name_runs_as_a_script(page):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "<title>AUPIMO of own/&lt;img" in shown
    assert "<title>ran" not in shown


def test_without_scores_it_says_why(tmp_path):
    page = write_report(tmp_path / "index.html", Report("own/set", why_no_scores="the notebooks failed."))
    assert "No scores: the notebooks failed." in text_of(page)
