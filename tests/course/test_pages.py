import re

from aupimo_helpers.course.notebook import Row, read
from aupimo_helpers.course.pages import index_page, notebook_page


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

    def test_formulas_bring_mathjax(self, write, folder):
        path = write(folder / "01_toy.ipynb", "# formula\n$a = b$")
        assert "mathjax" in notebook_page(read(path), "01_toy", folder, []).lower()

    def test_the_index_escapes_and_links_what_ran(self):
        rows = [
            Row("01_a", "A < B", "Why?", "passed", 12.4, 1.26),
            Row("02_b", "C", "How?", "FAILED", 3.0, 0.5, "cell 4: ValueError: <b>"),
            Row("03_c", "D", "When?", "not run"),
        ]
        page = index_page(rows, "own/<x>", "python 3.11")
        assert '<a href="01_a.html">A &lt; B</a>' in page
        assert "12 s" in page
        assert "1.3 GB" in page
        assert "cell 4: ValueError: &lt;b&gt;" in page
        assert "03_c.html" not in page
        assert "own/&lt;x&gt;" in page
