"""The book of the committed notebooks, built once and not executed, and one of a toy notebook with hostile names."""

import html
import re
import shutil
import time
import warnings
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest

from aupimo_helpers.course.book import figure_alts, write_book
from aupimo_helpers.course.notebook import Row, course, heading, read
from aupimo_helpers.course.report import Report
from aupimo_helpers.errors import AupimoWarning, InputError, WriteError
from aupimo_helpers.metrics.exact import NormalScores
from aupimo_helpers.scores.maps import Scored

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


def report(paths, name="own/<b>*set*"):
    rows = [Row(path.stem, heading(read(path), path.name).title, "Why?", "passed", 12.0, 1.0) for path in paths]
    ramp = np.linspace(0, 1, 256).reshape(16, 16)
    results = Scored(
        paths=["cut/0.png", "cut/1.png", "good/0.png"],
        aupimos=np.array([0.2, 0.8, np.nan]),
        fpr_bounds=(1e-5, 1e-4),
        threshold_bounds=(0.5, 0.6),
        normal=[NormalScores(256, ramp.ravel())],
        of_masks=[ramp[ramp > 0.7], ramp[ramp > 0.7], ramp[:0].ravel()],
        read=lambda _: (ramp, ramp > 0.7),
        image=None,
    )
    return Report(
        name, results, notes=[("Worth a look", ["a mask is large"])], rows=[*rows, Row("15_later", "Later", "When?")]
    )


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for path in course(NOTEBOOKS):
        shutil.copy(path, folder)
    (folder / "explorer.html").write_text("<!DOCTYPE html><html lang=en><title>Explorer</title><p>slider</html>")
    begin = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error", AupimoWarning)  # Sphinx has nothing to say
        front = write_book(folder / "book", report(course(NOTEBOOKS)), folder, NOTEBOOKS)
    assert time.monotonic() - begin < 60  # 9 s on a quiet machine
    return front.parent


def pages(book):
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(book.glob("*.html"))}


def test_every_notebook_is_a_page(book):
    assert {f"{path.stem}.html" for path in course(NOTEBOOKS)} < set(pages(book))


def test_every_link_inside_the_book_leads_somewhere(book):
    every = {name: text for name, text in pages(book).items() if name not in ("search.html", "explorer.html")}
    ids = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages(book).items()}
    checked, broken = 0, []
    for name, text in every.items():
        for link in re.findall(r'\b(?:href|src)="([^"]*)"', text):
            parts = urlsplit(html.unescape(link))
            if parts.scheme in ("http", "https", "data", "mailto") or link == "#":
                continue
            target = unquote(parts.path) or name
            checked += 1
            if not (book / target).is_file() or (
                parts.fragment and target in ids and parts.fragment not in ids[target] | {"top"}
            ):
                broken.append((name, link))
    assert not broken
    assert checked > 500


def test_the_front_page_lists_the_notebooks_and_the_sidebar_the_parts(book):
    front = pages(book)["index.html"]
    assert "own/&lt;b&gt;*set*" in front
    assert '<a href="03_average_aupimo.html">Average AUPIMO</a>' in front
    assert "15_later.html" not in front
    captions = re.findall(r'class="caption-text">(\w+)<', front)
    assert captions[:3] == ["Core", "Advanced", "More"]
    sidebar = front[front.index('class="caption-text">More') :]
    assert sidebar.index("TROUBLESHOOTING.html") < sidebar.index("explore.html")
    assert "slider" in (book / "explorer.html").read_text()


def test_solutions_stay_folded_and_formulas_are_mathml(book):
    page = pages(book)["03_average_aupimo.html"]
    solution = re.search(r"<details><summary>Solution</summary>(.*?)</details>", page, re.DOTALL)[1]
    assert "<strong>b</strong>" in solution
    assert "<math" in page
    assert "highlight-python" in solution or "highlight-ipython" in solution
    assert not re.search(r"\$\$|\\frac", re.sub(r"(?s)<pre>.*?</pre>", "", page))
    assert not any(
        re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="https?:', text) for text in pages(book).values()
    )


def test_every_picture_of_a_page_has_an_alternative_text_and_none_is_made_up(book):
    texts = [path.read_text(encoding="utf-8") for path in NOTEBOOKS.iterdir() if path.suffix in (".md", ".ipynb")]
    assert not [text for text in texts if re.search(r"!\[\s*\]\(", text)]
    for name, text in pages(book).items():
        assert "No description has been provided" not in text
        assert all("alt=" in tag for tag in re.findall(r"<img\b[^>]*>", text)), name


@pytest.mark.parametrize("path", course(NOTEBOOKS), ids=lambda path: path.stem[:2])
def test_every_figure_of_a_notebook_has_an_alternative_text(path):
    alts = figure_alts(read(path))
    missing = [digest for digest, alt in alts.items() if len(alt) < 15 or re.fullmatch(r"\S+\.(png|jpe?g)", alt)]
    assert not missing, (
        f"{len(missing)} of {len(alts)} figures of {path.name} have none: aupimo refresh {path.stem[:2]}"
    )


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_keyboard_and_names(book, browser, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme)
    requested = []
    options = {"preload": False, "resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]}
    page.on("request", lambda request: requested.append(request.url))
    for name in ("index", "03_average_aupimo", "05_statistics_and_plots"):
        page.goto((book / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.wait_for_timeout(300)  # the theme makes what scrolls focusable
        found = axe.run(page, options=options).response["violations"]
        grave = [
            (one["id"], node["html"])
            for one in found
            for node in one["nodes"]
            if one["impact"] in ("serious", "critical")
        ]
        assert not grave, name
    assert requested
    assert not [url for url in requested if not url.startswith(("file:", "data:"))]
    page.close()


def test_a_phone_scrolls_no_page_sideways_and_search_works_from_a_folder(book, browser):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    for name in pages(book):
        page.goto((book / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.goto((book / "search.html").as_uri() + "?q=bootstrap")
    page.wait_for_selector("#search-results li a")
    assert "05" in page.inner_text("#search-results")
    page.close()


def test_paper_is_light(book, browser):
    page = browser.new_page(color_scheme="dark")
    page.goto((book / "index.html").as_uri())
    page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = document.documentElement.dataset.theme; })"
    )
    page.pdf()
    assert page.evaluate("[window.printed, document.documentElement.dataset.theme]") == ["light", "dark"]
    page.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A book whose tables, one of them styled, streams, data set and figure have a hostile name in every place."""
    results = tmp_path_factory.mktemp("hostile")
    table = pd.DataFrame(
        {HOSTILE: [HOSTILE, "cut"]}, index=pd.Index([HOSTILE, r"$\href{javascript:0}{x}$"], name="d")
    )
    outputs = [table.style.format(na_rep="-").set_caption("Scores").to_html(), table.to_html(), f"<b>{HOSTILE}</b>"]
    cell = nbformat.v4.new_code_cell("table")
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": text}) for text in outputs]
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    cell.outputs += [
        nbformat.v4.new_output("display_data", {"application/javascript": "document.title='run'"}),
        nbformat.v4.new_output(
            "display_data", {"image/png": picture}, metadata={"image/png": {"alt": f'"{HOSTILE}'}}
        ),
        nbformat.v4.new_output("stream", text=HOSTILE),
    ]
    first = (
        "# 01 · A toy\n\n**Does it run?**\n\n[there](02_other.ipynb), [home](README.md), [law](../LICENSE), `a[i](x)`"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(first), cell])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"a": {}}}}
    nbformat.write(notebook, results / "01_toy.ipynb")
    before = (results / "01_toy.ipynb").read_bytes()
    rows = [Row("01_toy", HOSTILE, "Why?", "FAILED", 1.0, 1.0, HOSTILE)]
    (results / "empty").mkdir()
    write_book(results / "book", Report(f"own/{HOSTILE}", rows=rows), results, results / "empty")
    assert (results / "01_toy.ipynb").read_bytes() == before
    return results / "book"


def test_names_in_outputs_are_text(hostile):
    page = pages(hostile)["01_toy.html"]
    assert "<script>document" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror") + page.count('&lt;img onerror="document') >= 6
    assert "<caption>Scores</caption>" in page
    assert "<style" not in page[page.index("<caption>") - 200 : page.index("<caption>")]
    assert "unpkg" not in page


def test_a_notebook_that_failed_is_named_first_and_says_so_itself(hostile, book):
    front, page = pages(hostile)["index.html"], pages(hostile)["01_toy.html"]
    assert front.index("Not run to the end:") < front.index("The notebooks</h2>")
    assert page.index("This notebook was not run to its end") < page.index("<caption>Scores</caption>")
    assert not [
        name for name, text in pages(book).items() if "run to its end" in text or "Not run to the end" in text
    ]


def test_no_script_in_a_name_runs_in_a_browser(hostile, browser, tmp_path):
    page = browser.new_page()
    (tmp_path / "page.html").write_text(f"<title>01_toy</title>{HOSTILE}")
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_timeout(300)
    assert page.title() == "run"  # the browser would run it
    for name in ("01_toy.html", "index.html"):
        page.goto((hostile / name).as_uri())
        page.wait_for_timeout(300)
        assert page.title() != "run"
    page.close()


def test_links_to_what_is_not_in_the_book_are_text(hostile):
    page = pages(hostile)["01_toy.html"]
    assert re.search(r"<p>there, <a [^>]*index\.html[^>]*>.*?home.*?</a>, law, <code.*a\[i\]\(x\)", page, re.DOTALL)


def test_a_figure_of_the_project_is_shown(tmp_path):
    for folder in ("course", "figures"):
        (tmp_path / folder).mkdir()
    (tmp_path / "course" / "PAGE.md").write_text("# A page\n\n![a curve](../figures/curve.svg)\n")
    (tmp_path / "figures" / "curve.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    write_book(tmp_path / "book", Report("a/b"), tmp_path, tmp_path / "course")
    assert 'alt="a curve" src="_images/curve.svg"' in pages(tmp_path / "book")["PAGE.html"]
    assert (tmp_path / "book" / "_images" / "curve.svg").is_file()


def test_what_is_wrong_with_a_page_is_one_sentence_and_the_old_book_goes_as_a_whole(tmp_path):
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "PAGE.md").write_text("# A page\n\n```{nosuch}\n```\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "old.html").write_text("")
    with pytest.warns(AupimoWarning, match=r"Sphinx warned of 1 thing.*PAGE\.md.*nosuch"):
        write_book(tmp_path / "book", Report("a/b"), tmp_path, tmp_path / "course")
    assert not (tmp_path / "book" / "old.html").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"book", "course"}


def test_a_book_that_cannot_be_built_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "book").mkdir()
    monkeypatch.setitem(write_book.__globals__["_SETTINGS"], "html_theme", "no_such_theme")
    with pytest.raises(InputError, match=r"The book was not written: .*no_such_theme"):
        write_book(tmp_path / "book", Report("a/b"), tmp_path, NOTEBOOKS)
    assert [path.name for path in tmp_path.iterdir()] == ["book"]
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="a file is where a folder must be"):
        write_book(tmp_path / "file" / "book", Report("a/b"), tmp_path, NOTEBOOKS)
