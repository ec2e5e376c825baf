import re
import shutil
import subprocess

import nbformat
import pandas as pd
import pytest

from aupimo_helpers.course.notebook import read
from aupimo_helpers.course.pages import notebook_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class TestPages:
    def test_links_images_and_scripts(self, write, folder):
        picture = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
        (folder.parent / "figures").mkdir()
        (folder.parent / "figures" / "a.svg").write_text(picture)
        path = write(folder / "01_toy.ipynb", "# see\n![a picture](../figures/a.svg)")
        page = notebook_page(read(path), "01_toy", folder, ["01_toy", "02_other"])
        assert 'href="02_other.html"' in page
        assert "data:image/svg+xml;base64" in page
        assert "<script src" not in page  # nothing is loaded from elsewhere
        assert "https://cdn" not in page

    def test_solutions_stay_folded(self, write, folder):
        folded = "# Now you\n<details><summary>Solution</summary>\n\nhidden\n\n</details>\n\nseen"
        page = notebook_page(read(write(folder / "01_toy.ipynb", folded)), "01_toy", folder, [])
        assert re.search(r"<details>.*hidden.*</details>.*seen", page, re.DOTALL)

    def test_formulas_need_no_script(self, write, folder):
        path = write(folder / "01_toy.ipynb", "# formula\n$a = b$ and\n\n$$\\frac{1}{2}$$\n\n`$x$`")
        page = notebook_page(read(path), "01_toy", folder, [])
        assert page.count("<math") == 2
        assert "<mfrac>" in page
        assert "<code>$x$</code>" in page
        assert "mathjax.js" not in page.lower()


HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


def hostile_page(write, folder):
    """A page of a notebook whose tables, one of them styled, have a hostile name in every place."""
    notebook = read(write(folder / "01_toy.ipynb", "# formula\n$a = b$", "table"))
    table = pd.DataFrame(
        {HOSTILE: [HOSTILE, "cut"]}, index=pd.Index([HOSTILE, r"$\href{javascript:0}{x}$"], name="d")
    )
    outputs = [table.style.format(na_rep="-").set_caption("Scores").to_html(), table.to_html(), f"<b>{HOSTILE}</b>"]
    notebook.cells[-1].outputs = [nbformat.v4.new_output("display_data", {"text/html": html}) for html in outputs]
    notebook.cells[-1].outputs += [
        nbformat.v4.new_output("display_data", {"application/javascript": "document.title='run'"}),
        nbformat.v4.new_output("stream", text=HOSTILE),
    ]
    before = nbformat.writes(notebook)
    page = notebook_page(notebook, "01_toy", folder, [])
    assert nbformat.writes(notebook) == before
    return page


def test_names_in_outputs_are_text(write, folder):
    page = hostile_page(write, folder)
    assert "<script>document" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror") + page.count('&lt;img onerror="document') >= 6
    assert "<caption>Scores</caption>" in page
    assert "scoped" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_no_script_in_a_name_runs_in_a_browser(write, folder, tmp_path):
    def title(page):
        (tmp_path / "page.html").write_text(page)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
        command = [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
        return re.search("<title>(.*?)</title>", shown)[1]

    assert title(f"<title>01_toy</title>{HOSTILE}") == "run"  # the browser would run it
    assert title(hostile_page(write, folder)) == "01_toy"


def test_only_pictures_of_the_course_are_embedded(write, folder):
    (folder.parent / "figures").mkdir()
    for path in (folder.parent / "secret.svg", folder.parent / "figures" / "a.svg"):
        path.write_text("<svg/>")
    sources = ["../figures/a.svg", "../secret.svg", "..%2Fsecret.svg", "../figures/../secret.svg", "../figures"]
    path = write(folder / "01_toy.ipynb", "# see\n" + "\n".join(f'<img src="{source}">' for source in sources))
    page = notebook_page(read(path), "01_toy", folder, [])
    assert page.count('src="data:image/svg+xml;base64') == 1
    assert page.count('secret.svg"') == 3
