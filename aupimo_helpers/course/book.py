"""The book: executed notebooks, the pages beside them and the report, as a web site that needs no network."""

import copy
import hashlib
import io
import re
import shutil
import tempfile
import warnings
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from docutils.utils.math import latex2mathml
from nbformat import NotebookNode

from aupimo_helpers.course.notebook import read
from aupimo_helpers.course.report import Report, report_html
from aupimo_helpers.errors import AupimoWarning, InputError, brief
from aupimo_helpers.files import explain_write_errors

# Paper is light: the colours of the dark theme could not be read on it.
_PRINT = """{ const root = document.documentElement; let shown;
addEventListener("beforeprint", () => { shown = root.dataset.theme; root.dataset.theme = "light"; });
addEventListener("afterprint", () => { root.dataset.theme = shown; }); }"""
_SETTINGS: dict[str, Any] = {
    "project": "AUPIMO",
    "extensions": ["myst_nb", "aupimo_helpers.course.book"],
    "source_suffix": {".md": "myst-nb", ".ipynb": "myst-nb"},  # Sphinx changes its default for the whole process
    "html_theme": "sphinx_book_theme",
    "html_title": "AUPIMO, image by image",
    "html_css_files": ["book.css"],
    "html_js_files": [(None, {"body": _PRINT})],
    "html_static_path": ["_static"],
    "html_extra_path": ["_extra"],
    "html_use_index": False,
    "html_context": {"default_mode": "auto"},
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_show_search_summary": False,  # it would fetch the pages, which browsers refuse from file://
    "html_math_renderer": "mathml",
    "html_theme_options": {
        "home_page_in_toc": True,
        "footer_content_items": [],
        "use_download_button": False,
        "pygments_light_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
    },
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_ipywidgets_js": {},  # they come from a CDN
}
# Names of files and folders come into outputs, some as they are: nothing of an output but this is taken for HTML.
_TAGS = ["a", "b", "br", "caption", "code", "div", "em", "hr", "i", "li", "ol", "p", "pre", "small", "span", "strong"]
_TAGS += ["table", "tbody", "td", "th", "thead", "tr", "ul"]
_ATTRIBUTES = ["border", "class", "colspan", "href", "id", "rowspan", "scope"]
_STYLE = re.compile(r"\A(<div>\s*)?<style[^<>]*>[^<]*</style>")  # pandas' own; the page has a style for tables
_EXPLORER = """# The threshold explorer

<a href="explorer.html">Open it alone</a>

<iframe class="explorer" src="explorer.html" title="The threshold explorer"></iframe>
"""
_BROKEN = """```{warning}
This notebook was not run to its end: what follows the cell that failed has no output.
```"""
# Code comes first, since `rows[i](x)` is no link.
_LINK = re.compile(r"```.*?```|`[^`]*`|(?<!!)\[([^\[\]]+)\]\((?!https?:|#)([^()\s#]+)([^()\s]*)\)", re.DOTALL)


def write_book(book: Path, report: Report, executed: Path, course: Path) -> Path:
    """Build the book of the report, the copies in ``executed`` and the pages of ``course``; give its front page."""
    with explain_write_errors(book):
        book.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=book.parent, prefix=".book.", suffix=".tmp") as folder:
            source, built = Path(folder, "source"), Path(folder, "html")
            alts = _write_source(source, report, executed, course)
            _build(source, built, alts)
            if book.exists():
                book.rename(Path(folder, "old"))
            built.rename(book)
    return book / "index.html"


def setup(app: Any) -> dict[str, bool]:  # noqa: ANN401
    """Register with Sphinx that formulas become MathML, which browsers draw themselves."""

    def visit(writer: Any, node: nodes.Element) -> None:  # noqa: ANN401
        block = isinstance(node, nodes.math_block)
        formula = latex2mathml.tex2mathml(node.astext(), as_block=block)
        writer.body.append(f'<div class="formula" tabindex="0">{formula}</div>' if block else formula)
        raise nodes.SkipNode

    app.add_html_math_renderer("mathml", (visit, None), (visit, None))
    return {"parallel_read_safe": True}


def _build(source: Path, built: Path, alts: dict[str, str]) -> None:
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    def name_figures(_: Sphinx, page: nodes.document) -> None:
        for image in page.findall(nodes.image):
            with suppress(KeyError):  # a picture of the text brings its own
                image["alt"] = alts[Path(image["uri"]).stem]

    said = io.StringIO()
    try:
        with patch_docutils(), docutils_namespace():
            trees = source.with_name("trees")
            app = Sphinx(source, None, built, trees, "html", _SETTINGS, status=None, warning=said, freshenv=True)
            app.connect("doctree-read", name_figures)
            app.build()
    except OSError:
        raise
    except Exception as error:  # Sphinx and its extensions raise all kinds of errors
        raise InputError(
            f"The book was not written: {brief(error)}. The executed notebooks are kept; mend the page that it names."
        ) from error
    if lines := re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).replace(f"{source}/", "").strip().splitlines():
        count = f"{len(lines)} thing{'s' if len(lines) != 1 else ''}"
        warnings.warn(f"Sphinx warned of {count} in the book, first: {lines[0]}", AupimoWarning, stacklevel=2)


def _write_source(source: Path, report: Report, executed: Path, course: Path) -> dict[str, str]:
    """Lay out what Sphinx reads; give the alternative texts of the notebooks' figures by the hash of their bytes."""
    (source / "_static").mkdir(parents=True)
    (source / "_extra").mkdir()
    if (figures := course.parent / "figures").is_dir():
        shutil.copytree(figures, source.with_name("figures"))  # where the pages' ../figures leads from there
    shutil.copy(Path(__file__).with_name("book.css"), source / "_static")
    (source / "report.html").write_text(report_html(report, page=False), encoding="utf-8")
    chapters = {row.name: read(executed / f"{row.name}.ipynb") for row in report.rows if row.seconds is not None}
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted(course.glob("[A-Z]*.md"))}
    pages.pop("README", None)  # its table is on the front page
    if (executed / "explorer.html").is_file():
        shutil.copy(executed / "explorer.html", source / "_extra")
        pages["explore"] = _EXPLORER
    alts: dict[str, str] = {}
    known = {*(f"{name}.ipynb" for name in chapters), *(f"{name}.md" for name in pages)}

    def mended(text: str) -> str:
        return _LINK.sub(lambda found: _linked(known, found), text)

    for name, notebook in chapters.items():
        notebook = _harmless(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = mended(cell.source)
        alts |= figure_alts(notebook)
        if any(row.name == name and row.failed for row in report.rows):
            notebook.cells.insert(1, nbformat.v4.new_markdown_cell(_BROKEN, id="not-run-to-the-end"))
        nbformat.write(notebook, source / f"{name}.ipynb")
    for name, text in pages.items():
        (source / f"{name}.md").write_text(mended(text), encoding="utf-8")
    core = [name for name in chapters if name < "06"]
    parts = {"Core": core, "Advanced": [name for name in chapters if name not in core], "More": list(pages)}
    # no name in the title: the theme's sidebar would take it for HTML
    index = ["# The report\n", "```{raw} html\n:file: report.html\n```"]
    for caption, names in parts.items():
        if names:
            index.append("\n".join(["```{toctree}", f":caption: {caption}", ":hidden:", "", *names, "```"]))
    (source / "index.md").write_text("\n".join(index), encoding="utf-8")
    return alts


def figure_alts(notebook: NotebookNode) -> dict[str, str]:
    """The alternative texts of a notebook's figures, by the hash of their bytes, as MyST-NB names the files."""
    return {
        hashlib.sha256(b64decode(output.data[kind])).hexdigest(): output.metadata.get(kind, {}).get("alt", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in ("image/png", "image/jpeg")
        if kind in output.get("data", {})
    }


def _linked(known: Iterable[str], found: re.Match[str]) -> str:
    """Keep a link to a page of the book, and code; of a link to a file that is not in it, keep the text."""
    text, target, _ = found.groups()
    if target == "README.md":
        return f"[{text}](index.md)"
    return found[0] if target is None or target in known else text


def _harmless(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook; what its outputs bring as HTML is shown, but runs no script."""
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    cleaner = SanitizeHTML(tags=_TAGS, attributes=_ATTRIBUTES)
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if html := output.get("data", {}).get("text/html"):
            output.data["text/html"] = _STYLE.sub(r"\1", html)
        cleaner.sanitize_code_outputs([output])
    return notebook
