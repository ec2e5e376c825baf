"""Execute the course's notebooks in place, for committing, and write their index."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from aupimo_helpers.course.notebook import KERNEL, course, execute, heading, read
from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_file
from aupimo_helpers.session import versions

MAX_BYTES = 1_000_000
# Kept in a notebook's metadata and shown in the index: what its outputs depend on.
PACKAGES = ("anomalib", "torch", "numpy", "matplotlib")
_MEASURED = re.compile(r"^\*\*Measured:\*\*.*$", re.MULTILINE)
_TABLE = re.compile(r"(<!-- notebooks: [^>]*-->)\n.*?(<!-- /notebooks -->)", re.DOTALL)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


def refresh(path: Path) -> bool:
    """Execute a notebook in place; write it, if every cell ran and all in it may be published; say if it changed."""
    before = path.read_bytes()
    notebook = read(path)
    old = notebook.metadata.get("aupimo", {})
    heading(notebook, path.name)
    execution = execute(notebook, path.parent)
    if execution.failure is not None:
        raise InputError(f"{path.name} was not written: {execution.failure}")
    memory = round(execution.peak_memory_gb, 1)
    record = {
        "seconds": round(execution.seconds),
        "peak_memory_gb": int(memory) if memory.is_integer() else memory,  # JupyterLab writes 1.0 as 1
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": versions(PACKAGES),
    }
    _clean(notebook, dict(old) if _about_the_same(old, record) else record)
    problem = next(problems(notebook), None)
    if problem is not None:
        raise InputError(f"{path.name} was not written: {problem}.")
    text = nbformat.writes(notebook) + "\n"
    if text.encode() == before:
        return False
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return True


def _about_the_same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if not old or any(old.get(key) != new[key] for key in ("versions", "cores")):
        return False
    seconds, memory = old["seconds"], old["peak_memory_gb"]
    return abs(new["seconds"] - seconds) <= max(3, 0.3 * seconds) and abs(new["peak_memory_gb"] - memory) <= max(
        0.2, 0.1 * memory
    )


def _clean(notebook: NotebookNode, record: dict[str, Any]) -> None:
    """Keep nothing that depends on the run; number the cells; write what was measured."""
    # With the kernel's name and language as JupyterLab stores them, saving a notebook there changes nothing.
    notebook.metadata = NotebookNode(aupimo=record, kernelspec=KERNEL, language_info=notebook.metadata.language_info)
    count = 0
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
            found = output.get("data", {})
            if len(found) > 1 and "text/plain" in found:  # something richer is shown in its place
                found["text/plain"] = _ADDRESS.sub("", found["text/plain"]).replace(" >", ">")
            if any(kind.startswith("image/") for kind in found):  # a widget without its kernel would hide its picture
                found.pop("application/vnd.jupyter.widget-view+json", None)
            if "text/html" in found:  # pandas draws the name of a styled table at random
                found["text/html"] = re.sub(r"\bT_[0-9a-f]{5}(?=[_\" ])", f"T_{number:05x}", found["text/html"])
    measured = (
        f"**Measured:** {record['seconds']} s and {record['peak_memory_gb']:.1f} GB on {record['cores']} cores "
        f"(Python {record['versions']['python'].rpartition('.')[0]}, anomalib {record['versions']['anomalib']})"
    )
    notebook.cells[0].source = _MEASURED.sub(measured, notebook.cells[0].source, count=1)


def machine_paths() -> list[str]:
    """List the folders whose names tell on which machine a notebook was run."""
    folders = {Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix), Path(__file__).resolve().parents[2]}
    return sorted(str(folder) for folder in folders if len(folder.parts) > 1)


def problems(notebook: NotebookNode) -> Iterator[str]:
    """Say what in an executed notebook must not be published."""
    if not _MEASURED.search(notebook.cells[0].source):
        yield "its first cell has no line that begins with **Measured:**"
    size = len(nbformat.writes(notebook).encode()) + 1
    if size > MAX_BYTES:
        yield f"it is {size / 1e6:.2f} MB, more than 1 MB"
    # Those of this machine, and where others have theirs: a committed notebook may come from another one.
    here = "|".join(rf"(?<![\w.-]){re.escape(path)}(?![\w-])" for path in machine_paths())
    paths = re.compile(rf"{here}|(?<![^\s\"'=(])/(?:home|root|tmp|work|Users|usr)/")
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"cell {number} fails: {output.ename}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {number} writes to stderr: {output.text.strip().splitlines()[0]}"
                continue
            if any("widget" in kind for kind in output.get("data", {})):
                yield f"cell {number} shows a widget"
            for text in _texts(output):
                if found := paths.search(text):
                    line = next(line for line in text.splitlines() if found[0] in line)
                    yield f"cell {number} shows a path of this machine: {line.strip()[:200]}"
                if found := _ADDRESS.search(text):
                    yield f"cell {number} shows a memory address: {found[0]}"
                if output.output_type == "stream" and "Warning" in text:
                    yield f"cell {number} shows a warning"


def _texts(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "stream":
        yield output.text
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield content


def write_index(folder: Path) -> bool:
    """Write the notebooks' ``README.md`` and the table in the project's, one folder up; say whether one changed."""
    notebooks = course(folder)
    changed = _write_if_new(folder / "README.md", index_text(notebooks))
    project = folder.parent / "README.md"
    if project.exists():
        text = project.read_text(encoding="utf-8")
        table = "\n".join(_rows(notebooks, folder.name + "/", with_versions=False))
        changed |= _write_if_new(project, _TABLE.sub(lambda found: f"{found[1]}\n\n{table}\n\n{found[2]}", text))
    return changed


def _write_if_new(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return True


def index_text(notebooks: Sequence[Path]) -> str:
    """Compose the index as Markdown: each notebook's question, time, memory, and the versions it last ran with."""
    lines = [
        "<!-- Written by `aupimo refresh`, from the notebooks' first cells and measurements. -->",
        "",
        "# The course",
        "",
        "Read the notebooks in this order. Time is from the start of the kernel to the last cell; memory is the "
        "kernel's largest. Notebook 02 always trains the model; the others take its predictions from the cache once "
        "one of them has made them. Terms: [glossary](GLOSSARY.md). For teachers: [how to teach](TEACHING.md).",
        "",
        *_rows(notebooks, "", with_versions=True),
    ]
    return "\n".join(lines) + "\n"


def _rows(notebooks: Sequence[Path], prefix: str, *, with_versions: bool) -> list[str]:
    """Compose the table, one row per notebook; ``prefix`` leads from the table's file to the notebooks."""
    last = " Last passed with |" if with_versions else ""
    rows = [f"| | Notebook | Question | Time | Memory |{last}", "|---|---|---|---|---|" + ("---|" if last else "")]
    for path in notebooks:
        notebook = read(path)
        top = heading(notebook, path.name)
        record = notebook.metadata.get("aupimo")
        numbers, passed = "not yet | not yet", "not yet measured"
        if record:
            numbers = f"{record['seconds']} s | {record['peak_memory_gb']:.1f} GB"
            names = sorted(record["versions"], key=lambda name: name != "python")
            passed = ", ".join(f"{name.replace('python', 'Python')} {record['versions'][name]}" for name in names)
        question = top.question.replace("|", "&#124;")
        row = f"| {top.number} | [{top.title}]({prefix}{path.name}) | {question} | {numbers} |"
        rows.append(f"{row} {passed} |" if with_versions else row)
    return rows
