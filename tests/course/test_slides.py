"""The decks: every figure found, nothing too large for its slide, nothing fetched, no number typed by hand."""

import re
import shutil
from pathlib import Path

import pytest

from aupimo_helpers.commands import main
from aupimo_helpers.course.slides import write_slides
from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.metrics import no_skill_score

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "notebooks" / "slides"
DECKS = ["00", "01", "02", "03", "04", "05"]
# True by definition, or a case that is made up for a question.
NUMBERS = {"0.01 %", "0.001", "0.004 %", "1", "20 %", "30", "35 %", "50 %", "99 %", "100 %", "100,000", "10,000"}


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides") / "decks"
    assert main(["slides", str(folder), "--notebooks", str(ROOT / "notebooks")]) == 0
    return folder


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)], ids=str)
@pytest.mark.parametrize("deck", ["index", *DECKS])
def test_a_deck_in_a_browser(decks, browser, deck, size):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((decks / f"{deck}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    number = page.evaluate("Reveal.getTotalSlides()")
    assert 9 <= number <= 11 or deck == "index"
    for index in range(number):
        seen = page.evaluate(
            """() => { const slide = Reveal.getCurrentSlide();
            return {at: Reveal.getSlidePastCount(), width: slide.scrollWidth, height: slide.scrollHeight,
                bottom: Math.max(...[...slide.children].map(each => each.getBoundingClientRect().bottom)),
                title: slide.querySelector('h1, h2').innerText, notes: slide.querySelectorAll('aside.notes').length,
                pictures: [...slide.querySelectorAll('img')].map(each => [each.naturalWidth, each.alt.length])} }"""
        )
        assert seen["at"] == index, "the arrow key moves by one slide"
        assert seen["width"] <= 1280 and seen["height"] <= 720 and seen["bottom"] <= size[1], seen["title"]
        assert seen["notes"] == (deck != "index"), seen["title"]
        assert all(width > 0 and letters > 20 for width, letters in seen["pictures"]), seen["title"]
        page.keyboard.press("ArrowRight")
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.wait_for_selector(".speaker-controls-notes", state="attached")
    asked.extend(
        request for request in popup.value.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    )
    assert not errors
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:", "blob:"))] == []
    page.close()


def test_a_printed_page_for_each_slide(decks, browser):
    page = browser.new_page()
    page.goto((decks / "03.html").as_uri() + "?print-pdf")
    page.wait_for_selector(".pdf-page")
    assert page.locator(".pdf-page").count() == len(re.findall("^##? ", (TEXTS / "03.md").read_text(), re.MULTILINE))
    page.close()


@pytest.mark.parametrize("deck", DECKS)
def test_no_measured_number_is_typed(deck):
    text = re.sub(
        r"\]\([^)]*\)|\$[^$]*\$|^#.* · .*|~~~.*?~~~", "", (TEXTS / f"{deck}.md").read_text(), flags=re.S | re.M
    )
    found = set(
        re.findall(
            r"(?<![\w.])\d[\d.,]*\d(?: %)?|(?<![\w.])\d %", re.sub(r"xercises? \d\d\.\d|\*\*\d\d\*\*", "", text)
        )
    )
    assert found - NUMBERS - set(DECKS) - {"06", "09", "11"} == set()


def test_the_score_without_skill():
    assert f"{100 * no_skill_score((1e-5, 1e-4)):.3f} %" == "0.004 %"


class TestWrongInput:
    def test_a_cell_without_a_figure(self, tmp_path):
        (tmp_path / "slides").mkdir()
        (tmp_path / "slides" / "index.md").write_text("# A\n\n![what](../03_average_aupimo.ipynb#cell-07)\n")
        with pytest.raises(InputError, match=r"no figure of cell cell-07 in .*03_average_aupimo\.ipynb: execute"):
            write_slides(tmp_path / "slides", ROOT / "notebooks", tmp_path / "decks")
        assert [file.name for file in tmp_path.iterdir()] == ["slides"]

    def test_no_texts(self, tmp_path):
        with pytest.raises(MissingError, match="no texts of slides in"):
            write_slides(tmp_path, ROOT / "notebooks", tmp_path / "decks")

    def test_the_folder_is_there(self, tmp_path):
        with pytest.raises(InputError, match="exists already"):
            write_slides(TEXTS, ROOT / "notebooks", tmp_path)
