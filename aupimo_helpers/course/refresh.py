"""Execute the course's notebooks in place, for committing, and write their index."""

import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from aupimo_helpers.course.notebook import course, execute, read
from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_file

MAX_BYTES = 1_000_000
_MEASURED = re.compile(r"^\*\*Measured:\*\*.*$", re.MULTILINE)
_TABLE = re.compile(r"(<!-- notebooks: [^>]*-->)\n.*?(<!-- /notebooks -->)", re.DOTALL)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
# Kept in a notebook's metadata and shown in the index: what its outputs depend on.
_VERSIONS = ("anomalib", "torch", "numpy", "matplotlib")


@dataclass(frozen=True)
class Heading:
    """What the first cell of a notebook says.

    Attributes:
        number: Two digits.
        title: Without the number.
        question: The question that the notebook answers.
    """

    number: str
    title: str
    question: str


def heading(notebook: NotebookNode, name: str) -> Heading:
    r"""Read a notebook's number, title and question from its first cell.

    Args:
        notebook: Its first cell has the lines ``# NN · Title`` and ``**Question?**``.
        name: Of the file, for messages.

    Returns:
        The three.

    Raises:
        InputError: If the first cell is not of that form.

    Example:
        >>> cell = nbformat.v4.new_markdown_cell("# 04 · One score per image\n\n**How well is it found?**")
        >>> heading(nbformat.v4.new_notebook(cells=[cell]), "04_per_image_aupimo")
        Heading(number='04', title='One score per image', question='How well is it found?')
    """
    source = notebook.cells[0].source if notebook.cells else ""
    first = re.match(r"# (\d\d) · (.+)", source)
    question = re.search(r"^\*\*(.+\?)\*\*$", source, re.MULTILINE)
    if first is None or question is None:
        msg = f"The first cell of {name} needs a line '# NN · Title' and a line '**Question?**'."
        raise InputError(msg)
    return Heading(first[1], first[2].strip(), question[1])


def refresh(path: Path, on_cell: Callable[[int, int], None] | None = None) -> bool:
    """Execute a notebook in place; write it only if every cell ran and its outputs are fit to be published.

    Args:
        path: The notebook.
        on_cell: As for ``notebook_runner.execute``.

    Returns:
        Whether the file changed. Wall time and memory that differ little from those recorded are not a change.

    Raises:
        InputError: If a cell fails, writes to stderr, shows a path of this machine, a memory address or a widget, or
            if the notebook is larger than 1 MB.

    Example:
        >>> refresh(Path("notebooks/01_data_setup.ipynb"))  # doctest: +SKIP
        True
    """
    before = path.read_bytes()
    execution = execute(path, on_cell=on_cell)
    if execution.failure is not None:
        msg = f"{path.name} was not written: {execution.failure}"
        raise InputError(msg)
    notebook = execution.notebook
    _stabilise(notebook)
    problem = next(_problems(notebook, path), None)
    if problem is not None:
        msg = f"{path.name} was not written: {problem}."
        raise InputError(msg)
    old = read(path).metadata.get("aupimo", {})
    record = {
        "seconds": round(execution.seconds),
        "peak_memory_gb": round(execution.peak_memory_gb, 1),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
    if _about_the_same(old, record):
        record = dict(old)
    _clean(notebook, record)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MAX_BYTES:
        msg = f"{path.name} was not written: it is {len(text.encode()) / 1e6:.2f} MB, more than 1 MB."
        raise InputError(msg)
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


def _stabilise(notebook: NotebookNode) -> None:
    """Take out what differs from run to run and no reader sees."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            found = output.get("data", {})
            if len(found) > 1 and "text/plain" in found:  # something richer is shown in its place
                found["text/plain"] = _ADDRESS.sub("", found["text/plain"]).replace(" >", ">")
            if "text/html" in found:  # pandas draws the name of a styled table at random
                found["text/html"] = re.sub(r"\bT_[0-9a-f]{5}(?=[_\" ])", f"T_{number:05x}", found["text/html"])


def _clean(notebook: NotebookNode, record: dict[str, Any]) -> None:
    """Keep nothing that depends on the run or on the editor; number the cells; write what was measured."""
    notebook.metadata = NotebookNode(
        aupimo=record,
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    )
    count = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    measured = (
        f"**Measured:** {record['seconds']} s and {record['peak_memory_gb']} GB on {record['cores']} cores "
        f"(Python {record['versions']['python'].rpartition('.')[0]}, anomalib {record['versions']['anomalib']})"
    )
    notebook.cells[0].source = _MEASURED.sub(measured, notebook.cells[0].source, count=1)


def _texts(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "stream":
        yield output.text
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield content


def machine_paths() -> list[str]:
    """List the folders whose names tell on which machine a notebook was run.

    Returns:
        Home, temporary folder, environment, and the folder that holds the package.

    Example:
        >>> str(Path.home()) in machine_paths()
        True
    """
    folders = {Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix), Path(__file__).resolve().parents[2]}
    return sorted(str(folder) for folder in folders if len(folder.parts) > 1)


def _problems(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Say what in the outputs must not be published."""
    if not _MEASURED.search(notebook.cells[0].source):
        yield "its first cell has no line that begins with **Measured:**"
    heading(notebook, path.name)
    paths = re.compile("|".join(rf"(?<![\w.-]){re.escape(p)}(?![\w-])" for p in machine_paths()))
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {number} writes to stderr: {output.text.strip().splitlines()[0]}"
            if any("widget" in kind for kind in output.get("data", {})):
                yield f"cell {number} shows a widget"
            for text in _texts(output):
                if found := paths.search(text):
                    line = next(line for line in text.splitlines() if found[0] in line)
                    yield f"cell {number} shows a path of this machine: {line.strip()[:200]}"
                if found := _ADDRESS.search(text):
                    yield f"cell {number} shows a memory address: {found[0]}"


def write_index(folder: Path) -> bool:
    """Write ``README.md`` of the notebooks' folder, and the table in that of the project, from the notebooks.

    Args:
        folder: With the notebooks; the project's ``README.md``, one folder up, has the table where it has the two
            comments ``<!-- notebooks: ... -->`` and ``<!-- /notebooks -->``.

    Returns:
        Whether a file changed.

    Raises:
        InputError: If a notebook's first cell is not of the agreed form.

    Example:
        >>> write_index(Path("notebooks"))  # doctest: +SKIP
        False
    """
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
    """Compose the index of the notebooks as Markdown.

    Args:
        notebooks: Paths, in reading order.

    Returns:
        The text: a table with each notebook's question, measured time and memory, and the versions it last ran with.

    Raises:
        InputError: If a notebook's first cell is not of the agreed form.

    Example:
        >>> print(index_text([]).splitlines()[0])
        <!-- Written by `aupimo refresh`, from the notebooks' first cells and measurements. -->
    """
    lines = [
        "<!-- Written by `aupimo refresh`, from the notebooks' first cells and measurements. -->",
        "",
        "# The course",
        "",
        "Read the notebooks in this order. Time is from the start of the kernel to the last cell; memory is the "
        "kernel's largest. Notebook 02 always trains the model; the others take its predictions from the cache once "
        "one of them has made them.",
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
        if record:
            numbers = f"{record['seconds']} s | {record['peak_memory_gb']} GB"
            versions = ", ".join(
                f"{'Python' if name == 'python' else name} {number}"
                for name, number in sorted(record["versions"].items(), key=lambda item: item[0] != "python")
            )
        else:
            numbers, versions = "not yet | not yet", "not yet measured"
        question = top.question.replace("|", "&#124;")
        row = f"| {top.number} | [{top.title}]({prefix}{path.name}) | {question} | {numbers} |"
        rows.append(f"{row} {versions} |" if with_versions else row)
    return rows
