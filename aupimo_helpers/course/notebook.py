"""The course's notebooks: find, read and execute them, measured, from any folder, without touching the sources."""

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode

from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.files import reading

NAME = re.compile(r"\d\d_\w+\.ipynb")
# glibc gives large arrays back to the system and has the next ones zeroed again: with batches of 32 images PyTorch
# spends two thirds of its time so. Kernels keep what is freed, up to a limit.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**29), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Heading:
    """What the first cell of a notebook says; the number has two digits."""

    number: str
    title: str
    question: str


@dataclass(frozen=True)
class Execution:
    """An executed notebook, wall time in seconds, the largest memory in GB (1e9 bytes); None or why it failed."""

    notebook: NotebookNode
    seconds: float
    peak_memory_gb: float
    failure: str | None = None


@dataclass(frozen=True)
class Row:
    """What became of one notebook in a run of the course: ``status`` in a word or two, ``message`` in one line."""

    name: str
    title: str
    question: str
    status: str = "not run"
    seconds: float | None = None
    peak_memory_gb: float | None = None
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether it was begun and did not come to its end."""
        return self.seconds is not None and self.status != "passed"


def notebooks_folder(folder: str | Path | None = None) -> Path:
    """Find the course's notebooks: in ``folder``, else beside the package or in the current folder."""
    if folder is not None:
        candidates = [Path(folder)]
    else:
        candidates = [Path(__file__).resolve().parents[2] / "notebooks", Path.cwd() / "notebooks", Path.cwd()]
    for candidate in candidates:
        if candidate.is_dir() and any(NAME.fullmatch(path.name) for path in candidate.iterdir()):
            return candidate.resolve()
    if folder is not None:
        raise MissingError(f"There are no course notebooks (01_....ipynb) in {folder}: give the folder with them.")
    raise MissingError(
        "The course notebooks were not found beside the package nor in the current folder: run this from the "
        "repository, or name their folder with --notebooks."
    )


def course(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """List the notebooks in reading order; ``only`` has numbers or beginnings of names (``3``, ``03_average``)."""
    every = sorted(path for path in folder.glob("*.ipynb") if NAME.fullmatch(path.name))
    if not only:
        return every
    chosen = set()
    for wanted in only:
        start = wanted.zfill(2) if wanted.isdigit() else wanted
        fitting = [path for path in every if path.name.startswith(start)]
        if not fitting:
            there = f": there are {', '.join(path.stem for path in every)}" if every else ""
            raise MissingError(f"There is no notebook {wanted} in {folder}{there}.")
        chosen.update(fitting)
    return sorted(chosen)


def read(path: str | Path) -> NotebookNode:
    """Read a notebook, upgraded to the newest format."""
    with reading(path, "notebook", "Remove it, or restore it from the repository"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    notebook.metadata.setdefault("kernelspec", NotebookNode(KERNEL))  # papermill does not go without
    return notebook


def heading(notebook: NotebookNode, name: str) -> Heading:
    """Read number, title and question from the first cell; ``name`` is that of the file, for messages."""
    source = notebook.cells[0].source if notebook.cells else ""
    first = re.match(r"# (\d\d) · (.+)", source)
    question = re.search(r"^\*\*(.+\?)\*\*$", source, re.MULTILINE)
    if first is None or question is None:
        raise InputError(f"The first cell of {name} needs a line '# NN · Title' and a line '**Question?**'.")
    return Heading(first[1], first[2].strip(), question[1])


def parameter_names(notebook: NotebookNode) -> list[str]:
    """List the names assigned in the cell tagged ``parameters``; empty if there is no such cell."""
    from papermill import inspect_notebook

    return list(inspect_notebook(notebook))


def read_with_parameters(path: Path, parameters: Mapping[str, Any]) -> NotebookNode:
    """Read a notebook and put values in, as a cell after its parameters cell."""
    notebook = read(path)
    known = parameter_names(notebook)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise InputError(f"{path.name} has no parameter {unknown[0]}: it has {', '.join(known) or 'none'}.")
    if not parameters:
        return notebook
    from papermill.parameterize import parameterize_notebook

    notebook.metadata.setdefault("papermill", NotebookNode())  # papermill expects these two to be there
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    return parameterize_notebook(notebook, dict(parameters), kernel_name="python3", language="python")


class Running:
    """A notebook that is being executed: in a new kernel that starts in ``folder``, watched from this thread."""

    def __init__(
        self,
        notebook: NotebookNode,
        folder: Path,
        *,
        timeout: int = 600,
        on_cell: Callable[[int, int], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        from nbclient import NotebookClient

        for cell in notebook.cells:
            if cell.cell_type == "code":  # below a cell that fails, nothing of an earlier run is left
                cell.outputs, cell.execution_count = [], None
        self._notebook, self._on_cell = notebook, on_cell
        self._current = self._peak = 0
        self._errors: list[BaseException] = []
        self._client: Any = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=[
                "--IPKernelApp.log_level=40",  # it warns of unencrypted TCP, which stays on this machine
                "--IPKernelApp.extra_extensions=aupimo_helpers.session",  # alternative texts of figures
            ],
            resources={"metadata": {"path": str(folder.resolve())}},
            on_cell_start=self._starts,
        )
        self._environment = {**_KEEP_MEMORY, **(environment or {}), **os.environ}
        self._begin = time.perf_counter()
        # nbclient itself, in the main thread, would take Ctrl-C for a kernel that died.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._client.async_execute(env=self._environment))
        except BaseException as error:  # handed to whoever polls
            self._errors.append(error)

    def _starts(self, cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG002
        self._current = cell_index + 1
        if self._on_cell is not None:
            self._on_cell(self._current, len(self._notebook.cells))

    def poll(self) -> Execution | None:
        """Wait a moment and look at the kernel's memory; once the notebook has ended, say what became of it."""
        self._thread.join(0.1)
        self._peak = max(self._peak, sum(_resident(process) for process in self._processes()))
        if self._thread.is_alive():
            return None
        failure = _in_one_line(self._errors[0]) if self._errors else None
        if failure and self._current:
            failure = f"cell {self._current}: {failure}"
        return Execution(self._notebook, time.perf_counter() - self._begin, self._peak / 1e9, failure)

    def kill(self) -> None:
        """Stop the kernel and its children at once."""
        for process in self._processes():
            process.kill()
        self._thread.join(10)

    def _processes(self) -> list[psutil.Process]:
        pid = getattr(getattr(self._client.km, "provisioner", None), "pid", None)
        if pid is None:
            return []
        try:
            process = psutil.Process(pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def execute(notebook: NotebookNode, folder: Path, **options: Any) -> Execution:  # noqa: ANN401
    """Execute one notebook (options: those of `Running`); a cell that fails ends in ``failure``."""
    running = Running(notebook, folder, **options)
    try:
        while (execution := running.poll()) is None:
            pass
    except BaseException:
        running.kill()
        raise
    return execution


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _in_one_line(error: BaseException) -> str:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    if isinstance(error, CellExecutionError):
        first = (error.evalue.strip() or "no message").splitlines()[0]
        return f"{error.ename}: {first}"
    if isinstance(error, DeadKernelError):
        return "the kernel died, most often because memory ran out"
    if isinstance(error, CellTimeoutError):
        return "the cell took longer than the time limit"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
