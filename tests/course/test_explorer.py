"""The threshold explorer: what a real browser shows after each key, against the package's metric on the maps."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from aupimo_helpers.course import explorer
from aupimo_helpers.course.explorer import explore, explorer_data, scored_predictions, write_explorer
from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.metrics import aupimo_scores, recall_at_fpr, threshold_at_fpr
from aupimo_helpers.model import Predictions
from aupimo_helpers.scores.maps import score_files

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
EVIL = "<img src=x onerror=document.title='ran'>\"' ñ 漢"
BOUNDS = (1e-3, 1e-2)
POSITIONS = (0, 1, 7, 19, 33, 40, 41, 52, 60, 66, 79, 80, 81, 90, 101, 115, 123, 140, 158, 160)


def save_images(root, paths, size=(80, 60)):
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, 60 + 5 * number).save(root / path)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    """5 normal and 8 anomalous images, scores tied, one mask a pixel, one the whole image, names hostile."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand((13, 48, 64), generator=generator)
    maps[1] += 0.2
    maps[:, ::2] = (1000 * maps[:, ::2]).round() / 1000  # half of the pixels share their scores with many others
    masks = torch.zeros(maps.shape, dtype=torch.bool)
    for i in range(5, 11):
        masks[i, 5 : 5 + 2 * i, 20:40] = True
        maps[i][masks[i]] += 0.08 * (i - 5)
    masks[11, 0, 63] = True
    masks[12] = True
    paths = tuple(f"own/a/test/{kind}/{i:03}.png" for i, kind in enumerate(["good"] * 5 + ["cut"] * 4 + [EVIL] * 4))
    root = tmp_path_factory.mktemp("data")
    save_images(root, paths)
    return Predictions(maps, masks, paths), root


@pytest.fixture(scope="module")
def scored(predictions):
    return scored_predictions(*predictions, BOUNDS)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open a file; whatever it fetches or complains of fails the test."""
    found = []

    def go(path):
        page = browser.new_page()
        page.on("request", lambda request: found.append(request.url))
        page.on("console", lambda message: found.append(message.text))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("[data-state]")
        return page

    yield go
    assert [text for text in found if not text.startswith(("file://", "data:image/jpeg"))] == []


def state(page):
    return json.loads(page.evaluate("document.querySelector('[data-state]').dataset.state"))


def move(page, slider, position):
    """Move a slider with the keyboard, as far as it has to go."""
    page.focus(f"input[aria-label^='{slider}']")
    for _ in range(200):
        away = position - int(page.evaluate("document.activeElement.value"))
        if away == 0:
            return
        page.keyboard.press(
            ("PageUp" if away > 0 else "PageDown") if abs(away) > 30 else f"Arrow{'Right' if away > 0 else 'Left'}"
        )
    raise AssertionError(f"the slider stays at {position + away}")


def test_every_position_shows_what_the_metric_says(predictions, scored, open_page, tmp_path):
    maps, masks = predictions[0].anomaly_maps, predictions[0].masks
    rates = explorer_data(scored)["rates"]
    write_explorer(tmp_path / "page.html", EVIL, scored)
    page = open_page(tmp_path / "page.html")
    place = {path: i for i, path in enumerate(predictions[0].image_paths)}
    recalls = set()
    for turn, position in enumerate(POSITIONS):
        page.locator("select").first.select_option(index=3 * turn % 8)
        page.locator("select").last.select_option(index=turn % 5)
        move(page, "Shared FPR", min(position, len(rates) - 1))
        for select, kind in ((page.locator("select").first, "anomalous"), (page.locator("select").last, "normal")):
            chosen = select.locator("option:checked").text_content().partition(" · ")
            wanted = (
                f"(name) => JSON.parse(document.querySelector('[data-state]').dataset.state).{kind}.endsWith(name)"
            )
            page.wait_for_function(wanted, arg=chosen[2] or chosen[0])
        shown = state(page)
        threshold = threshold_at_fpr(maps, masks, rates[shown["k"]])
        recall = recall_at_fpr(maps, masks, rates[shown["k"]])[place[shown["anomalous"]]].item()
        marked = maps >= threshold
        assert shown["recall"] == pytest.approx(recall, abs=1e-12)
        assert shown["marks"] == marked[place[shown["normal"]]].sum().item()
        assert shown["total"] == marked[:5].sum().item()
        text = page.locator(".sentence").text_content()
        assert f"{shown['total']:,} pixel" in text
        assert f"threshold {float(f'{threshold:.6g}'):g}" in text
        own = shown["marks"] / maps[0].numel()
        own = f"{own:.2g}" if own >= 0.01 or own == 0 else f"{own:.1e}".replace("e-0", "e-").replace(".0e", "e")
        assert f"an FPR of {own} in this image" in page.locator("figcaption").last.text_content()
        recalls.add(recall)
    assert len(recalls) >= 10


def test_the_bounds_move_the_scores(predictions, scored, open_page, tmp_path):
    maps, masks = predictions[0].anomaly_maps, predictions[0].masks
    rates = explorer_data(scored)["rates"]
    write_explorer(tmp_path / "page.html", "a", scored)
    page = open_page(tmp_path / "page.html")
    index = predictions[0].image_paths.index(state(page)["anomalous"])
    means = set()
    for low, high in ((40, 80), (40, 60), (20, 60), (50, 51), (0, len(rates) - 1)):
        for slider, position in (("Upper", max(high, 52)), ("Lower", low), ("Upper", high)):
            move(page, slider, position)
        expected = aupimo_scores(maps, masks, (rates[low], rates[high]), force=True)
        shown = state(page)
        assert shown["score"] == pytest.approx(expected[index].item(), abs=1e-4)
        assert shown["mean"] == pytest.approx(expected.nanmean().item(), abs=1e-4)
        means.add(shown["mean"])
    assert len(means) == 5
    move(page, "Lower", len(rates) - 2)
    page.keyboard.press("End")
    assert (
        state(page)["mean"]
        == pytest.approx(  # L stops below U
            aupimo_scores(maps, masks, tuple(rates[-2:]), force=True).nanmean().item(), abs=1e-4
        )
    )


def test_names_are_text_and_controls_are_labelled(scored, open_page, tmp_path):
    write_explorer(tmp_path / "page.html", EVIL, scored)
    page = open_page(tmp_path / "page.html")
    assert page.title() == f"Threshold explorer of {EVIL}"
    assert any(EVIL in text for text in page.locator("option").all_text_contents())
    assert page.locator("img").count() == 0
    unnamed = "[...document.querySelectorAll('input, select, button, svg, canvas')].filter(e => !e.ariaLabel)"
    assert page.evaluate(f"{unnamed}.length") == 0
    move(page, "Shared FPR", 40)
    assert page.evaluate("document.activeElement.ariaValueText").startswith("1e-3, recall ")
    shows = "(name) => JSON.parse(document.querySelector('[data-state]').dataset.state).anomalous === name"
    data = explorer_data(scored)
    first, after = (data["anomalous"][(data["start"] + i) % 8]["name"] for i in (0, 1))
    page.locator("button[aria-label='Next: the image with a defect']").click()
    page.wait_for_function(shows, arg=after)
    page.locator("button[aria-label='Previous: the image with a defect']").press("Enter")
    page.wait_for_function(shows, arg=first)
    page.emulate_media(color_scheme="dark")
    for width in (320, 1400):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_areas_are_exact_with_ties_and_for_other_bounds(predictions):
    maps, masks = predictions[0].anomaly_maps, predictions[0].masks
    for bounds in (BOUNDS, (2e-3, 3e-3), (1e-3, 1.01e-3), (0.001, 1.0)):
        data = explorer_data(scored_predictions(*predictions, bounds))
        rates, (low, high) = np.array(data["rates"]), data["bounds"]
        assert (rates[low], rates[high]) == bounds
        assert len(rates) <= 255
        for a, b in ((low, high), (0, len(rates) - 1), (low + 1, high)):
            expected = aupimo_scores(maps, masks, (rates[a], rates[b]), force=True).nanmean().item()
            found = (data["areas"][b] - data["areas"][a]) / np.log(rates[b] / rates[a])
            assert found == pytest.approx(expected, abs=2e-5)


def test_of_many_images_some_are_shown_and_all_are_counted(scored, monkeypatch, open_page, tmp_path):
    everything = explorer_data(scored)
    monkeypatch.setattr(explorer, "_BYTES", 40_000)
    data = explorer_data(scored)
    assert 2 <= len(data["anomalous"]) < 8
    assert data["areas"] == everything["areas"]
    assert data["marked"] == everything["marked"]
    assert {image["kind"] for image in data["anomalous"]} == {"cut", EVIL}
    assert data["anomalous"][0]["name"] == everything["anomalous"][0]["name"]  # the worst
    assert data["normal"][0]["name"].endswith("001.png")  # the one that sets the thresholds
    write_explorer(tmp_path / "page.html", "a", scored)
    page = open_page(tmp_path / "page.html")
    assert f"Shown are {len(data['anomalous'])} of 8 images with a defect" in page.locator(".note").text_content()


def test_maps_on_disk_of_several_sizes_without_images(open_page, tmp_path):
    generator = np.random.default_rng(0)
    for i in range(6):
        scores = generator.random((40 + 3 * i, 50)).astype(np.float32)
        name = f"{'good' if i < 4 else 'cut'}/{i}"
        mask = np.zeros(scores.shape, np.uint8)
        mask[5:20, 5 : 20 + i] = 255 * (i > 3)
        for folder, suffix in (("maps", "npy"), ("masks", "png")):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / f"maps/{name}.npy", scores) if suffix == "npy" else Image.fromarray(mask).save(
                tmp_path / f"masks/{name}.png"
            )
    scores = score_files(tmp_path / "maps", tmp_path / "masks", BOUNDS, keep_highest=True)
    write_explorer(tmp_path / "page.html", "maps", scores)
    page = open_page(tmp_path / "page.html")
    assert "anomaly maps are shown in grey" in page.locator(".note").text_content()
    move(page, "Shared FPR", 110)
    shown, threshold = state(page), explorer_data(scores)["thresholds"][110]
    scores_shown = np.load(tmp_path / "maps" / shown["anomalous"])
    mask = np.asarray(Image.open(tmp_path / "masks" / shown["anomalous"].replace("npy", "png"))) > 0
    assert shown["recall"] == pytest.approx((scores_shown[mask] >= threshold).mean())
    assert shown["total"] == sum((np.load(path) >= threshold).sum() for path in tmp_path.glob("maps/good/*.npy"))


def test_nothing_is_left_half_written(predictions, tmp_path):
    paths = predictions[0].image_paths
    save_images(tmp_path / "data", paths[:-1])
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(MissingError, match=r"012\.png"):
        write_explorer(tmp_path / "page.html", "a", scored_predictions(predictions[0], tmp_path / "data", BOUNDS))
    assert (tmp_path / "page.html").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["page.html"]


def test_scores_that_say_nothing_are_refused():
    maps, masks = torch.ones(3, 64, 64), torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[2, 3:9] = True
    tied = Predictions(maps, masks, ("a/test/good/0.png", "a/test/good/1.png", "a/test/cut/2.png"))
    with pytest.raises(InputError, match="All normal scores are equal"):
        explore(tied, fpr_bounds=BOUNDS)


def test_the_widget_has_a_picture_for_where_no_widgets_run(predictions):
    widget = explore(*predictions, BOUNDS, num_images=6)
    assert [len(widget.data[kind]) for kind in ("anomalous", "normal")] == [5, 1]
    bundle, metadata = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))).width == 1000
    assert metadata["image/jpeg"]["alt"] == bundle["text/plain"]
    recall = recall_at_fpr(predictions[0].anomaly_maps, predictions[0].masks, BOUNDS[1])
    name = widget.data["anomalous"][widget.data["start"]]["name"]
    assert f"{100 * recall[predictions[0].image_paths.index(name)]:.0f} % of the defect" in bundle["text/plain"]
