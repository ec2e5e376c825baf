"""Decks of slides in HTML, without a network: the texts in ``notebooks/slides`` with outputs of the notebooks."""

import html
import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from docutils.utils.math.latex2mathml import tex2mathml

from aupimo_helpers.course.notebook import read
from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.files import atomic_folder

# ![what it shows](../03_average_aupimo.ipynb#cell-14) is the figure of that cell, and without ! what it printed.
_OUTPUT = re.compile(r"(!?)\[([^\]]*)\]\(\.\./(\d\d_\w+\.ipynb)#([\w-]+)\)")
_FORMULA = re.compile(r"(\$\$?)([^$]+)\1")
_CONFIGURATION = {
    "extensions": ["myst_parser", "sphinx_revealjs"],
    "source_suffix": {".md": "markdown"},  # Sphinx changes its default for the whole process
    "root_doc": "index",
    "suppress_warnings": ["toc.not_included"],  # the front page links the decks itself
    "html_copy_source": False,
    "html_use_index": False,
    "smartquotes": False,
    "revealjs_style_theme": "white",
    "revealjs_static_path": ["_static"],
    "revealjs_css_files": ["slides.css"],
    "revealjs_script_conf": {"width": 1280, "height": 720, "center": False, "hash": True, "slideNumber": "c/t"},
    "revealjs_script_plugins": [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}],
}


def write_slides(texts: Path, notebooks: Path, folder: Path) -> None:
    """Write a deck per text, with outputs of ``notebooks`` (the course, or a run's results), into a new folder."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    if not (texts / "index.md").is_file():
        raise MissingError(f"There are no texts of slides in {texts}: give the folder of the course's notebooks.")
    if folder.exists():
        raise InputError(f"{folder} exists already: name a new folder for the slides.")
    filled = {file.stem: _filled(file.read_text(encoding="utf-8"), notebooks) for file in texts.glob("*.md")}
    warnings = io.StringIO()
    with atomic_folder(folder) as new, TemporaryDirectory() as doctrees, patch_docutils(), docutils_namespace():
        app = Sphinx(texts, None, new, doctrees, "revealjs", _CONFIGURATION, status=None, warning=warnings)
        app.connect("source-read", lambda _app, name, source: source.__setitem__(0, filled[name]))
        app.build()
        if warnings.getvalue():
            raise InputError(f"The slides were not written: {warnings.getvalue().strip().splitlines()[0]}.")


def _filled(text: str, notebooks: Path) -> str:
    """Put formulas and outputs into the text of a deck."""
    text = _FORMULA.sub(lambda found: tex2mathml(found[2], as_block=found[1] == "$$"), text)
    return _OUTPUT.sub(lambda found: _output(notebooks / found[3], found[4], found[2] if found[1] else None), text)


def _output(path: Path, cell_id: str, alt: str | None) -> str:
    """Give a cell's figure as a Markdown image, or, without ``alt``, what the cell printed."""
    for output in (output for cell in read(path).cells if cell.id == cell_id for output in cell.get("outputs", [])):
        if alt is None and "text" in output:
            return f'<p class="printed">{html.escape(" ".join(output.text.split()))}</p>'
        for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})) if alt is not None else ():
            return f"![{alt}](data:{kind};base64,{''.join(output.data[kind].split())})"
    what = "printed text" if alt is None else "figure"
    raise InputError(f"There is no {what} of cell {cell_id} in {path}: execute the notebook, as it is now.")
