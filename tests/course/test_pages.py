import re

from aupimo_helpers.course.notebook import read
from aupimo_helpers.course.pages import notebook_page


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
