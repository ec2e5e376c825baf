"""Executed notebooks as web pages that need no network; formulas become MathML, which browsers draw themselves."""

import base64
import copy
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import DictLoader, pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

# RequireJS, Mermaid and MathJax come from a CDN, and nothing here needs them.
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
"""
# Names of files and folders come into outputs, some as they are: nothing of an output but this is taken for HTML.
_TAGS = ["a", "b", "br", "caption", "code", "div", "em", "hr", "i", "li", "ol", "p", "pre", "small", "span", "strong"]
_TAGS += ["table", "tbody", "td", "th", "thead", "tr", "ul"]
_ATTRIBUTES = ["border", "class", "colspan", "href", "id", "rowspan", "scope"]
_STYLE = re.compile(r"\A(<div>\s*)?<style[^<>]*>[^<]*</style>")  # pandas' own; the page has a style for tables
_IMAGE = re.compile(r'(<img\b[^>]*?\bsrc=)"([^"]+)"')


class _Renderer(IPythonRenderer):
    """Markdown as nbconvert renders it, formulas as MathML."""

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def multiline_math(self, text: str) -> str:
        return convert(text, display="block")


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:  # noqa: ANN401
        renderer = _Renderer(escape=False, attachments=context.get("cell", {}).get("attachments", {}))
        return MarkdownWithMath(renderer=renderer).render(source)


def notebook_page(notebook: NotebookNode, name: str, folder: Path, pages: Sequence[str]) -> str:
    """Render an executed notebook as one page, with the images of ``folder`` in it; link to ``pages`` beside it."""
    notebook = _harmless(notebook)
    exporter = _Exporter(extra_loaders=[DictLoader({"course.html.j2": _TEMPLATE})], template_file="course.html.j2")
    resources = {"metadata": {"name": name, "path": str(folder)}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    # nbconvert's own embed_images would close a <details> before what it folds.
    page = _IMAGE.sub(lambda found: f'{found[1]}"{_inlined(found[2], folder)}"', page)
    for other in pages:
        page = page.replace(f'href="{other}.ipynb', f'href="{other}.html')
    return page


def _harmless(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook; what its outputs bring as HTML is shown, but runs no script."""
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    cleaner = SanitizeHTML(tags=_TAGS, attributes=_ATTRIBUTES)
    notebook = copy.deepcopy(notebook)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if html := output.get("data", {}).get("text/html"):
            output.data["text/html"] = _STYLE.sub(r"\1", html)
        cleaner.sanitize_code_outputs([output])
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
