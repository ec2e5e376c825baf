"""``aupimo run``: execute the whole course."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aupimo_helpers.model import PadimSettings

from aupimo_helpers.commands.options import add_data, add_model, model_options
from aupimo_helpers.errors import InputError, noting


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo run`` to the parser."""
    parser = subparsers.add_parser(
        "run",
        help="make the data, execute the course's notebooks and make a book of them",
        description="Execute copies of the course's notebooks, on the embedded data or on your own, and make a book "
        "of them with a report of the scores as its front page: book/index.html in the folder of the results, which "
        "needs no network. The notebooks themselves stay as they are.",
    )
    add_data(parser)
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="numbers of notebooks, such as 03 04")
    text = "how many run at a time (default: 2 with two cores and 10 GB of free memory, else 1)"
    parser.add_argument("--jobs", type=int, metavar="N", help=text)
    add_model(parser)
    parser.set_defaults(handler=_run)


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from aupimo_helpers.course.book import write_book
    from aupimo_helpers.course.notebook import course, notebooks_folder
    from aupimo_helpers.course.report import Report
    from aupimo_helpers.course.run import run_course, summary
    from aupimo_helpers.model import PadimSettings

    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs must be 1 or more, got {options.jobs}.")
    folder = notebooks_folder(options.notebooks)
    notebooks = course(folder, options.only)
    results = Path(options.results).absolute() if options.results else folder.parent / "results"
    with noting() as warned:
        dataset, data_root = choose_sound_data(options, folder.parent / "datasets")
    default = data_root == folder.parent / "datasets"

    # What is as in the notebooks is not injected, so that the copies read like the sources.
    parameters: dict[str, Any] = {"DATASET": dataset} if dataset != "synthetic/leather" else {}
    if not default:
        parameters["DATA_ROOT"] = data_root.as_posix()
    if results != folder.parent / "results":
        parameters["RESULTS_DIR"] = results.as_posix()
    chosen = model_options(options)
    settings = PadimSettings(**chosen)
    if options.backbone is not None:  # whose layers are not those that the notebooks name
        chosen |= {"layers": list(settings.layers), "n_features": settings.n_features}
    parameters |= {name.upper(): value for name, value in chosen.items()}

    console = Console(markup=False, emoji=False)
    notes = {"Worth a look": warned, **_left_out(data_root / dataset)}
    report = Report(dataset, notes=[(heading, lines) for heading, lines in notes.items() if lines])
    at_once = options.jobs or _jobs()
    run = run_course(notebooks, results, parameters, report=report, console=console, at_once=at_once)
    told = replace(report, rows=run.every, **_results(dataset, data_root, results, settings))
    front = write_book(run.book, told, results, folder)
    console.print()
    console.print(summary(run))
    for row in run.rows:
        if row.message:
            console.print(f"{row.name}: {row.message}", highlight=False, soft_wrap=True)
    console.print(f"\nRead it: {front}", highlight=False, soft_wrap=True)
    return 0 if run.passed else 1


def _jobs() -> int:
    import psutil

    return 2 if (os.cpu_count() or 1) > 1 and psutil.virtual_memory().available > 10e9 else 1


def choose_sound_data(options: argparse.Namespace, default_root: Path) -> tuple[str, Path]:
    """Find or make the data, and stop at what would spoil the results of a set that is not the course's own."""
    from aupimo_helpers import data
    from aupimo_helpers.data.paths import require_readable_by_anomalib
    from aupimo_helpers.data.problems import all_in_a_table
    from aupimo_helpers.data.writing import RECORD
    from aupimo_helpers.errors import ProblemError

    imported = None
    try:
        dataset, root = _choose_data(options, default_root)
        if options.data_root and (root / dataset).resolve() != Path(options.data_root).resolve():
            imported = root / dataset
        # The notebooks find the default folder beside themselves: then it does not matter where the course lies.
        require_readable_by_anomalib(Path("../datasets" if root == default_root else root, dataset))
        data.make(dataset, root)
        given = options.dataset or options.data_root
        if given and options.dataset not in data.available() and (problems := data.check(root / dataset)):
            raise ProblemError(problems)
    except ProblemError as error:
        images = Path(options.data_root or default_root, options.dataset or "")
        first = f"delete {imported}, and add " if imported and (imported / RECORD).is_file() else ""
        skip = "" if options.dataset else f"\nTo leave these out: {first}--skip-problems"
        raise InputError(str(error) + all_in_a_table(error.problems, images) + skip) from error
    return dataset, root


def _left_out(folder: Path) -> dict[str, list[str]]:
    """What an import left out of a data set, for the report."""
    from aupimo_helpers.data.writing import RECORD, read_record

    record = read_record(folder) if (folder / RECORD).is_file() else {}
    return {
        "Left out: they cannot be used": [f"{entry['file']} {entry['what']}" for entry in record.get("skipped", [])],
        "Left out: they show a defect and have no mask": record.get("left_out", []),
    }


def _results(dataset: str, data_root: Path, results: Path, settings: "PadimSettings") -> dict[str, Any]:
    """What the report tells of the scores, or why it tells nothing; write the explorer of what it tells."""
    from aupimo_helpers.course.explorer import scored_predictions, write_explorer
    from aupimo_helpers.errors import AupimoError
    from aupimo_helpers.model import kept_predictions

    explorer, bounds = results / "explorer.html", (1e-5, 1e-4)
    explorer.unlink(missing_ok=True)  # of an earlier run, maybe on other data
    predictions = kept_predictions(dataset, data_root, results, settings)
    if predictions is None:
        return {"why_no_scores": "none of the notebooks of this run has got as far as predicting the test images."}
    try:
        scored = scored_predictions(predictions, data_root, bounds)
    except AupimoError as error:  # the run's own failures say the same; the report must be there all the more
        return {"why_no_scores": str(error)}
    write_explorer(explorer, dataset, scored)
    return {"results": scored}


def _choose_data(options: argparse.Namespace, default_root: Path) -> tuple[str, Path]:
    """Find which data set is meant: its name, and the folder of the data sets."""
    if options.dataset is not None and (options.category is not None or options.skip_problems):
        raise InputError(
            "--category and --skip-problems are for images that are imported, and --dataset names a data set: give "
            "the images' folder with --data-root alone."
        )
    if options.dataset is not None or options.data_root is None:
        root = Path(options.data_root).absolute() if options.data_root else default_root
        return options.dataset or "synthetic/leather", root
    from aupimo_helpers.data import locate

    images = Path(options.data_root).absolute()
    return locate(images, options.category, default_root, skip_problems=options.skip_problems)
