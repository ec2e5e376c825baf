"""The whole course, executed: what ``aupimo run`` does."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from aupimo_helpers.course.book import write_book
from aupimo_helpers.course.notebook import (
    NAME,
    Execution,
    Row,
    Running,
    heading,
    parameter_names,
    read,
    read_with_parameters,
)
from aupimo_helpers.course.report import Report
from aupimo_helpers.errors import InputError
from aupimo_helpers.files import atomic_file, explain_write_errors, reading

_FITS = "02"  # what this notebook fits in its cells, those after it read
KEPT = "aupimo_run"  # in an executed copy's metadata: what it ran on, and its row of the index


@dataclass
class CourseRun:
    """What became of each notebook, the folder of the book, and the rows of earlier runs."""

    rows: list[Row]
    book: Path
    earlier: list[Row] = field(default_factory=list)

    @property
    def every(self) -> list[Row]:
        """The rows of this run and of earlier ones, in reading order."""
        return sorted([*self.rows, *self.earlier], key=lambda row: row.name)

    @property
    def passed(self) -> bool:
        """Whether every notebook ran to its end."""
        return all(row.status == "passed" for row in self.rows)


def run_course(
    notebooks: Sequence[Path],
    results_dir: str | Path,
    parameters: Mapping[str, Any],
    *,
    report: Report,
    console: Console,
    at_once: int = 1,
) -> CourseRun:
    """Execute copies of notebooks and write each as soon as it has run; when stopped, the book of what there is."""
    if not notebooks:
        raise InputError("There is no notebook to run.")
    results_dir = Path(results_dir)
    ran_on = json.loads(json.dumps({"dataset": report.name, "parameters": dict(parameters)}))
    earlier = _earlier(results_dir, {path.name for path in notebooks}, ran_on)
    run = CourseRun([_planned(path) for path in notebooks], results_dir / "book", earlier)
    with explain_write_errors(run.book):  # a folder that cannot be written is known at once
        run.book.mkdir(parents=True, exist_ok=True)
    waiting = _in_order(notebooks, at_once)
    running: dict[int, tuple[Running, tqdm]] = {}
    # one thread for each of several: threads that wait for each other in turn make all of them slower
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // at_once))} if at_once > 1 else {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once and not _must_wait(notebooks[waiting[0]], running, notebooks):
                number = waiting.pop(0)
                place = f"{number + 1}/{len(notebooks)}"
                running[number] = _start(notebooks[number], place, parameters, console, environment)
            for number, (one, cells) in list(running.items()):
                if execution := one.poll():
                    del running[number]
                    cells.close()
                    run.rows[number] = _keep(run.rows[number], execution, results_dir, ran_on)
                    row = run.rows[number]
                    line = f"      {row.name} {row.status} in {row.seconds:.1f} s {row.message}".rstrip()
                    tqdm.write(line, file=console.file)
    except BaseException as error:
        for number, (one, cells) in running.items():
            one.kill()
            cells.close()
            run.rows[number] = replace(run.rows[number], status="stopped")
        if isinstance(error, KeyboardInterrupt):
            stopped = replace(report, rows=run.every, why_no_scores="the run was stopped.")
            write_book(run.book, stopped, results_dir, notebooks[0].parent)
        raise
    return run


def _start(
    path: Path, place: str, parameters: Mapping[str, Any], console: Console, environment: Mapping[str, str]
) -> tuple[Running, tqdm]:
    """Start a notebook, with those of the parameters that it has; a terminal shows its cells as they run."""
    tqdm.write(f"[{place}] {path.stem} ...", file=console.file)
    known = parameter_names(read(path))
    notebook = read_with_parameters(path, {k: v for k, v in parameters.items() if k in known})
    live = {"file": console.file, "disable": not console.is_terminal, "leave": False}
    cells = tqdm(desc=f"{place} {path.stem}", total=len(notebook.cells), unit="cell", **live)
    return Running(notebook, path.parent, on_cell=partial(_advance, cells), environment=environment), cells


def _must_wait(notebook: Path, running: Iterable[int], notebooks: Sequence[Path]) -> bool:
    return notebook.name[:2] > _FITS and any(notebooks[number].name.startswith(_FITS) for number in running)


def _advance(cells: tqdm, *_: int) -> None:
    cells.update()


def _keep(row: Row, execution: Execution, results_dir: Path, ran_on: Mapping[str, Any]) -> Row:
    """Write an executed copy, with what became of it, and give its row of the index."""
    row = replace(
        row,
        status="FAILED" if execution.failure else "passed",
        seconds=execution.seconds,
        peak_memory_gb=execution.peak_memory_gb,
        message=execution.failure or "",
    )
    execution.notebook.metadata[KEPT] = {**ran_on, "row": asdict(row)}
    with atomic_file(results_dir / f"{row.name}.ipynb") as temporary:
        temporary.write_text(nbformat.writes(execution.notebook) + "\n", encoding="utf-8")
    return row


def _in_order(notebooks: Sequence[Path], at_once: int) -> list[int]:
    """Order the notebooks: as one reads them, or, if several run at once, the model first, then the longest first."""
    if at_once == 1:
        return list(range(len(notebooks)))

    def key(number: int) -> tuple[int, float]:
        start = notebooks[number].name[:2]
        took = read(notebooks[number]).metadata.get("aupimo", {}).get("seconds", 0)
        return 0 if start == _FITS else 1 if start < _FITS else 2, -took

    return sorted(range(len(notebooks)), key=key)


def _planned(path: Path) -> Row:
    top = heading(read(path), path.name)
    return Row(path.stem, top.title, re.sub(r"[*_`]", "", top.question))


def _earlier(results_dir: Path, now: set[str], ran_on: dict[str, Any]) -> list[Row]:
    """Read the rows of notebooks that do not run now from the copies that an earlier run left."""
    rows = []
    for path in sorted(results_dir.glob("*.ipynb")):
        if NAME.fullmatch(path.name) and path.name not in now:
            with reading(path, "notebook of an earlier run", "Remove it"):
                kept = read(path).metadata.get(KEPT, {})
                if {key: kept.get(key) for key in ran_on} == ran_on:
                    rows.append(Row(**kept["row"]))
    return rows


def summary(run: CourseRun) -> Table:
    """Make the table that a run ends with; its last line is the sum and the largest."""
    table = Table(show_edge=False)
    table.add_column("Notebook", no_wrap=True)
    table.add_column("Status", overflow="fold")
    table.add_column("Seconds", justify="right")
    table.add_column("Peak memory (GB)", justify="right")
    for row in run.rows:
        table.add_row(
            row.name,
            Text(row.status, style="green" if row.status == "passed" else "red"),
            "" if row.seconds is None else f"{row.seconds:.1f}",
            "" if row.peak_memory_gb is None else f"{row.peak_memory_gb:.2f}",
        )
    table.add_section()
    table.add_row(
        "all",
        "passed" if run.passed else "FAILED",
        f"{sum(row.seconds or 0 for row in run.rows):.1f}",
        f"{max((row.peak_memory_gb or 0 for row in run.rows), default=0):.2f}",
    )
    return table
