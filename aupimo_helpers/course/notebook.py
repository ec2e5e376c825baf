"""Execute the course's notebooks: with parameters, measured, from any folder, without touching the sources."""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode

from aupimo_helpers.errors import InputError, MissingError

NAME = re.compile(r"\d\d_\w+\.ipynb")
_VALUES = "aupimo-values:"
_DETAILS = re.compile(r"<details>.*?</details>", re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not run to its end.

    Attributes:
        cell: Number of the cell, from 1, as counted in the executed notebook; 0 if it was no cell's fault.
        message: One line.
    """

    cell: int
    message: str

    def __str__(self) -> str:
        return f"cell {self.cell}: {self.message}" if self.cell else self.message


@dataclass(frozen=True)
class Execution:
    """An executed notebook and what was measured.

    Attributes:
        name: The notebook's file name without suffix.
        notebook: With the outputs of all cells that ran.
        seconds: Wall time, with the start of the kernel.
        peak_memory_gb: The largest resident memory of the kernel and its child processes together, in GB (1e9 bytes),
            sampled ten times a second.
        failure: None if all cells ran.
        values: The variables that were asked for, as JSON types.
    """

    name: str
    notebook: NotebookNode
    seconds: float
    peak_memory_gb: float
    failure: Failure | None = None
    values: dict[str, Any] = field(default_factory=dict)


def notebooks_folder(folder: str | Path | None = None) -> Path:
    """Find the course's notebooks.

    Args:
        folder: Where they are; by default ``notebooks`` beside the installed package, or in the current folder.

    Returns:
        The folder, absolute.

    Raises:
        MissingError: If there are none.

    Example:
        >>> notebooks_folder("nowhere")
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: There are no course notebooks (01_....ipynb) in nowhere.
    """
    if folder is not None:
        candidates = [Path(folder)]
    else:
        candidates = [Path(__file__).resolve().parents[2] / "notebooks", Path.cwd() / "notebooks", Path.cwd()]
    for candidate in candidates:
        if candidate.is_dir() and any(NAME.fullmatch(path.name) for path in candidate.iterdir()):
            return candidate.resolve()
    if folder is not None:
        msg = f"There are no course notebooks (01_....ipynb) in {folder}."
    else:
        msg = (
            "The course notebooks were not found beside the package nor in the current folder: run this from the "
            "repository, or name their folder with --notebooks."
        )
    raise MissingError(msg)


def course(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """List the notebooks in reading order.

    Args:
        folder: Where they are.
        only: Numbers or beginnings of names (``03``, ``3``, ``03_average``); empty for all.

    Returns:
        Paths, by number.

    Raises:
        MissingError: If an entry of ``only`` fits no notebook.

    Example:
        >>> course(Path("nowhere"), only=["03"])
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: There is no notebook 03 in nowhere.
    """
    every = sorted(path for path in folder.glob("*.ipynb") if NAME.fullmatch(path.name))
    if not only:
        return every
    chosen = set()
    for wanted in only:
        start = wanted.zfill(2) if wanted.isdigit() else wanted
        fitting = [path for path in every if path.name.startswith(start)]
        if not fitting:
            there = f": there are {', '.join(path.stem for path in every)}" if every else ""
            msg = f"There is no notebook {wanted} in {folder}{there}."
            raise MissingError(msg)
        chosen.update(fitting)
    return sorted(chosen)


def read(path: str | Path) -> NotebookNode:
    """Read a notebook.

    Args:
        path: An ``.ipynb`` file.

    Returns:
        The notebook, upgraded to nbformat 4.5.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is not a notebook.

    Example:
        >>> read("nowhere.ipynb")
        Traceback (most recent call last):
        aupimo_helpers.errors.MissingError: There is no notebook nowhere.ipynb.
    """
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError as error:
        msg = f"There is no notebook {path}."
        raise MissingError(msg) from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        msg = f"{path} is not a notebook: {str(error).splitlines()[0]}"
        raise InputError(msg) from error


def parameter_names(notebook: NotebookNode) -> list[str]:
    """List the parameters of a notebook.

    Args:
        notebook: With a cell tagged ``parameters`` that holds assignments.

    Returns:
        The names assigned in that cell; empty if there is no such cell.

    Example:
        >>> cell = nbformat.v4.new_code_cell("SEED = 0  # of the weights", metadata={"tags": ["parameters"]})
        >>> parameter_names(nbformat.v4.new_notebook(cells=[cell]))
        ['SEED']
    """
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            return re.findall(r"^([A-Z][A-Z0-9_]*)\s*(?::[^=]+)?=", cell.source, re.MULTILINE)
    return []


def solutions(notebook: NotebookNode) -> list[str]:
    r"""Collect the code of the exercises' solutions.

    Args:
        notebook: Solutions are fences of ``python`` inside ``<details>`` in markdown cells.

    Returns:
        Source code, one string per fence, in order.

    Example:
        >>> source = "<details><summary>Solution</summary>\n\n```python\nanswer = 42\n```\n\n</details>"
        >>> solutions(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)]))
        ['answer = 42\n']
    """
    return [
        code
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for folded in _DETAILS.findall(cell.source)
        for code in _PYTHON.findall(folded)
    ]


def encode(values: Mapping[str, Any]) -> str:
    """Write variables of a notebook as JSON.

    Args:
        values: Numbers, strings, lists, dictionaries, paths, NumPy arrays, PyTorch tensors, dataclasses, pandas
            series and data frames (as a dictionary of columns). NaN is written as ``NaN``; Python reads that.

    Returns:
        One line of JSON.

    Raises:
        TypeError: If a value is of another type.

    Example:
        >>> import numpy as np
        >>> encode({"x": np.array([1.0, np.nan]), "path": Path("a")})
        '{"x": [1.0, NaN], "path": "a"}'
    """

    def plain(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, Path):
            return value.as_posix()
        if hasattr(value, "columns") and hasattr(value, "to_dict"):
            return {str(name): value[name].tolist() for name in value.columns}
        if hasattr(value, "tolist"):  # NumPy, PyTorch, pandas series
            return value.tolist()
        if hasattr(value, "__dataclass_fields__"):
            return {name: getattr(value, name) for name in value.__dataclass_fields__}
        msg = f"a variable of type {type(value).__name__} cannot be written as JSON"
        raise TypeError(msg)

    return json.dumps(dict(values), default=plain)


def execute(
    path: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    with_solutions: bool = False,
    variables: Sequence[str] = (),
    working_folder: str | Path | None = None,
    timeout: int = 600,
    on_cell: Callable[[int, int], None] | None = None,
) -> Execution:
    """Execute a copy of a notebook in a new kernel; the file stays as it is.

    Args:
        path: The notebook.
        parameters: Values for the names of its parameters cell, injected after that cell by papermill.
        with_solutions: Run the code of the exercises' solutions as cells at the end.
        variables: Names of variables, or expressions, to read at the end, see ``encode``.
        working_folder: Where the kernel runs; by default the notebook's folder, which its relative paths begin at.
        timeout: Seconds that one cell may take.
        on_cell: Called with the number of the cell (from 1) that starts, and the number of cells.

    Returns:
        The executed notebook; a cell that fails is in ``failure``, not raised.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is not a notebook, or has no such parameter.

    Example:
        >>> execution = execute("notebooks/01_data_setup.ipynb", {"SEED": 1})  # doctest: +SKIP
        >>> execution.failure is None  # doctest: +SKIP
        True
    """
    from nbclient import NotebookClient

    path = Path(path)
    notebook = _parametrised(path, dict(parameters or {}))
    if with_solutions:
        notebook.cells += [nbformat.v4.new_code_cell(code) for code in solutions(notebook)]
    number = len(notebook.cells)
    if variables:
        notebook.cells.append(nbformat.v4.new_code_cell(_value_reader(variables)))

    current = 0

    def starts(cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG001
        nonlocal current
        current = cell_index + 1
        if on_cell is not None and current <= number:
            on_cell(current, number)

    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns of unencrypted TCP, which stays on this machine
        resources={"metadata": {"path": str(Path(working_folder or path.parent).resolve())}},
        on_cell_start=starts,
    )
    begin = time.perf_counter()
    error, peak = _watch(client)
    seconds = time.perf_counter() - begin
    failure = None if error is None else Failure(current, _in_one_line(error))
    values = {}
    if variables:
        reader = notebook.cells.pop()
        if failure is None:
            values = _read_values(reader)
    return Execution(path.stem, notebook, seconds, peak / 1e9, failure, values)


def _parametrised(path: Path, parameters: dict[str, Any]) -> NotebookNode:
    notebook = read(path)
    known = parameter_names(notebook)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        msg = f"{path.name} has no parameter {unknown[0]}: it has {', '.join(known) or 'none'}."
        raise InputError(msg)
    if not parameters:
        return notebook
    from papermill.parameterize import parameterize_notebook

    notebook.metadata.setdefault("papermill", NotebookNode())  # papermill expects these two to be there
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    return parameterize_notebook(notebook, parameters, kernel_name="python3", language="python")


def _value_reader(variables: Sequence[str]) -> str:
    items = ", ".join(f"{name!r}: {name}" for name in variables)
    return f"from aupimo_helpers.course.notebook import encode as _encode\nprint({_VALUES!r}, _encode({{{items}}}))"


def _read_values(cell: NotebookNode) -> dict[str, Any]:
    text = "".join(
        output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout"
    )
    return json.loads(text.split(_VALUES, 1)[1])


def _watch(client: Any) -> tuple[BaseException | None, int]:  # noqa: ANN401
    """Run the client in a thread; sample its kernel's memory, and stop it on Ctrl-C, from this one."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            client.execute()
        except BaseException as error:  # handed to the caller
            errors.append(error)

    # nbclient itself, in the main thread, would take Ctrl-C for a kernel that died.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    peak = 0
    try:
        while thread.is_alive():
            thread.join(0.1)
            peak = max(peak, sum(_resident(process) for process in _kernel(client)))
    except BaseException:
        for process in _kernel(client):
            process.kill()
        thread.join(10)
        raise
    return (errors[0] if errors else None), peak


def _kernel(client: Any) -> list[psutil.Process]:  # noqa: ANN401
    """List the kernel's process and its children."""
    pid = getattr(getattr(client.km, "provisioner", None), "pid", None)
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _in_one_line(error: BaseException) -> str:
    exceptions = import_module("nbclient.exceptions")
    if isinstance(error, exceptions.CellExecutionError):
        first = (error.evalue.strip() or "no message").splitlines()[0]
        return f"{error.ename}: {first}"
    if isinstance(error, exceptions.DeadKernelError):
        return "the kernel died, most often because memory ran out"
    if isinstance(error, exceptions.CellTimeoutError):
        return "the cell took longer than the time limit"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
