"""``aupimo run``: execute the whole course."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aupimo_helpers.model import PadimSettings

from aupimo_helpers.commands.options import seed
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
    parser.add_argument("--dataset", metavar="SOURCE/CATEGORY", help="data set; synthetic/leather by default")
    parser.add_argument(
        "--data-root",
        metavar="PATH",
        help="with --dataset: the folder of the data sets. Without: your own images, a folder in MVTec AD's layout "
        "or any layout that `aupimo data import` understands, or a folder that holds several of these",
    )
    parser.add_argument(
        "--category", metavar="NAME", help="which one, where your own folder holds several; else a name for it"
    )
    text = "import your own images without those that cannot be used; the report lists them"
    parser.add_argument("--skip-problems", action="store_true", help=text)
    parser.add_argument("--results", metavar="FOLDER", help="where results go; by default results/ beside notebooks/")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="numbers of notebooks, such as 03 04")
    parser.add_argument("--backbone", metavar="NAME", help="a timm model, such as resnet18")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", help="of the backbone, such as layer1")
    parser.add_argument("--n-features", type=int, metavar="N", help="how many of the layers' channels are kept")
    parser.add_argument("--pre-trained", action=argparse.BooleanOptionalAction, help="ImageNet weights, the default")
    parser.add_argument("--seed", type=seed, help="of the choice of channels and of random weights; 0 by default")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where the notebooks are")
    parser.set_defaults(handler=_run)


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from aupimo_helpers.course.book import write_book
    from aupimo_helpers.course.notebook import course, notebooks_folder
    from aupimo_helpers.course.report import Report
    from aupimo_helpers.course.run import run_course, summary
    from aupimo_helpers.model import PadimSettings

    folder = notebooks_folder(options.notebooks)
    notebooks = course(folder, options.only)
    results = Path(options.results).absolute() if options.results else folder.parent / "results"
    with noting() as warned:
        dataset, data_root = _choose_sound_data(options, folder.parent / "datasets")
    default = data_root == folder.parent / "datasets"

    # What is as in the notebooks is not injected, so that the copies read like the sources.
    parameters: dict[str, Any] = {"DATASET": dataset} if dataset != "synthetic/leather" else {}
    if not default:
        parameters["DATA_ROOT"] = data_root.as_posix()
    if results != folder.parent / "results":
        parameters["RESULTS_DIR"] = results.as_posix()
    names = ("backbone", "layers", "n_features", "pre_trained", "seed")
    chosen = {name: value for name in names if (value := getattr(options, name)) is not None}
    settings = PadimSettings(**chosen)
    if options.backbone is not None:  # whose layers are not those that the notebooks name
        chosen |= {"layers": list(settings.layers), "n_features": settings.n_features}
    parameters |= {name.upper(): value for name, value in chosen.items()}

    console = Console(markup=False, emoji=False)
    notes = {"Worth a look": warned, **_left_out(data_root / dataset)}
    report = Report(dataset, notes=[(heading, lines) for heading, lines in notes.items() if lines])
    run = run_course(notebooks, results, parameters, report=report, console=console)
    told = replace(report, rows=run.every, **_results(dataset, data_root, results, settings))
    front = write_book(run.book, told, results, folder)
    console.print()
    console.print(summary(run))
    for row in run.rows:
        if row.message:
            console.print(f"{row.name}: {row.message}", highlight=False, soft_wrap=True)
    console.print(f"\nRead it: {front}", highlight=False, soft_wrap=True)
    return 0 if run.passed else 1


def _choose_sound_data(options: argparse.Namespace, default_root: Path) -> tuple[str, Path]:
    """Find or make the data, and stop at what would spoil the results of a set that is not the course's own."""
    from aupimo_helpers import data
    from aupimo_helpers.data.paths import require_readable_by_anomalib
    from aupimo_helpers.data.problems import all_in_a_table
    from aupimo_helpers.errors import ProblemError

    try:
        dataset, root = _choose_data(options, default_root)
        # The notebooks find the default folder beside themselves: then it does not matter where the course lies.
        require_readable_by_anomalib(Path("../datasets" if root == default_root else root, dataset))
        data.make(dataset, root)
        given = options.dataset or options.data_root
        if given and options.dataset not in data.available() and (problems := data.check(root / dataset)):
            raise ProblemError(problems)
    except ProblemError as error:
        images = Path(options.data_root or default_root, options.dataset or "")
        skip = "" if options.dataset else "\nTo leave these out: --skip-problems"
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
    """What the report tells of the scores, or why it tells nothing."""
    from aupimo_helpers.course.report import results_of
    from aupimo_helpers.errors import AupimoError
    from aupimo_helpers.model import kept_predictions

    predictions = kept_predictions(dataset, data_root, results, settings)
    if predictions is None:
        return {"why_no_scores": "none of the notebooks of this run has got as far as predicting the test images."}
    try:
        return {"results": results_of(predictions, data_root, (1e-5, 1e-4))}
    except AupimoError as error:  # the run's own failures say the same; the report must be there all the more
        return {"why_no_scores": str(error)}


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
