"""Executed notebooks as web pages: one page each, and an index. They need no network, except for formulas."""

import base64
import copy
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from jinja2 import DictLoader, Environment
from nbformat import NotebookNode

from aupimo_helpers.course.notebook import Row

# RequireJS and Mermaid come from a CDN and nothing here needs them; MathJax too, but formulas do.
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- if resources.has_formulas -%}{{ super() }}{%- endif -%}{%- endblock -%}
"""
# Names of files and folders come into outputs, some as they are: nothing of an output but this is taken for HTML.
_TAGS = ["a", "b", "br", "caption", "code", "div", "em", "hr", "i", "li", "ol", "p", "pre", "small", "span", "strong"]
_TAGS += ["table", "tbody", "td", "th", "thead", "tr", "ul"]
_ATTRIBUTES = ["border", "class", "colspan", "href", "id", "rowspan", "scope"]
_STYLE = re.compile(r"\A(<div>\s*)?<style[^<>]*>[^<]*</style>")  # pandas' own; the page has a style for tables
_IMAGE = re.compile(r'(<img\b[^>]*?\bsrc=)"([^"]+)"')
_FORMULA = re.compile(r"\$[^$\n]+\$|\$\$|\\begin\{")


def notebook_page(notebook: NotebookNode, name: str, folder: Path, pages: Sequence[str]) -> str:
    """Render an executed notebook as one page, with the images of ``folder`` in it; link to ``pages`` beside it."""
    from nbconvert import HTMLExporter

    notebook = _harmless(notebook)
    exporter = HTMLExporter(extra_loaders=[DictLoader({"course.html.j2": _TEMPLATE})], template_file="course.html.j2")
    has_formulas = any(cell.cell_type == "markdown" and _FORMULA.search(cell.source) for cell in notebook.cells)
    resources = {"metadata": {"name": name, "path": str(folder)}, "has_formulas": has_formulas}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    # nbconvert's own embed_images would close a <details> before what it folds.
    page = _IMAGE.sub(lambda found: f'{found[1]}"{_inlined(found[2], folder)}"', page)
    for other in pages:
        page = page.replace(f'href="{other}.ipynb', f'href="{other}.html')
    return page


def _harmless(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook; what its outputs bring as HTML is shown, but runs no script, and no formula is set in it."""
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    cleaner = SanitizeHTML(tags=_TAGS, attributes=_ATTRIBUTES)
    notebook = copy.deepcopy(notebook)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if html := output.get("data", {}).get("text/html"):
            output.data["text/html"] = _STYLE.sub(r"\1", html)
        cleaner.sanitize_code_outputs([output])
        if html:
            output.data["text/html"] = f'<div class="tex2jax_ignore mathjax_ignore">{output.data["text/html"]}</div>'
    return notebook


def _inlined(source: str, folder: Path) -> str:
    """Turn a relative path of a picture of the course into a data URL; leave any other source as it is."""
    if source.startswith(("data:", "http:", "https:")):
        return source
    file = (folder / unquote(source)).resolve()
    if not any(root.resolve() in file.parents for root in (folder, folder.parent / "figures")) or not file.is_file():
        return source
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>AUPIMO, the course: {{ dataset }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .6rem; border-bottom: 1px solid #ddd; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td small { color: #555; }
.passed { color: #00674d; } .failed { color: #a83c00; font-weight: 600; }
.message { font-weight: normal; }
footer { color: #555; font-size: .9rem; margin-top: 2rem; }
</style>
</head>
<body>
<h1>AUPIMO, the course</h1>
<p>One score per image: how much of its defect does a model find, if it must almost never fire on a normal image?
These notebooks ran on the data set <b>{{ dataset }}</b>.</p>
<table>
<thead>
<tr><th></th><th>Notebook</th><th>Status</th><th class="number">Time</th><th class="number">Peak memory</th></tr>
</thead>
<tbody>
{% for row in rows -%}
<tr>
<td>{{ row.name[:2] }}</td>
{% if row.seconds is none -%}
<td>{{ row.title }}<br><small>{{ row.question }}</small></td><td>{{ row.status }}</td><td></td><td></td>
{%- else -%}
<td><a href="{{ row.name }}.html">{{ row.title }}</a><br><small>{{ row.question }}</small></td>
<td class="{{ 'passed' if row.status == 'passed' else 'failed' }}">{{ row.status }}
<br><small class="message">{{ row.message }}</small></td>
<td class="number">{{ "%.0f" % row.seconds }} s</td>
<td class="number">{{ "%.1f" % row.peak_memory_gb }} GB</td>
{%- endif %}
</tr>
{% endfor -%}
</tbody>
</table>
<footer>{{ versions }}</footer>
</body>
</html>
"""


def index_page(rows: Sequence[Row], dataset: str, versions: str) -> str:
    """Render the index of a run: a row links to ``NAME.html`` beside it if its notebook ran."""
    template = Environment(autoescape=True, keep_trailing_newline=True).from_string(_INDEX)
    return template.render(rows=rows, dataset=dataset, versions=versions)
