"""Executed notebooks as web pages that need no network; formulas become MathML, which browsers draw themselves."""

import base64
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
    exporter = _Exporter(extra_loaders=[DictLoader({"course.html.j2": _TEMPLATE})], template_file="course.html.j2")
    resources = {"metadata": {"name": name, "path": str(folder)}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    # nbconvert's own embed_images would close a <details> before what it folds.
    page = _IMAGE.sub(lambda found: f'{found[1]}"{_inlined(found[2], folder)}"', page)
    for other in pages:
        page = page.replace(f'href="{other}.ipynb', f'href="{other}.html')
    return page


def _inlined(source: str, folder: Path) -> str:
    """Turn a relative path of an image into a data URL; leave what is no file here as it is."""
    file = folder / unquote(source)
    if source.startswith(("data:", "http:", "https:")) or not file.is_file():
        return source
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
