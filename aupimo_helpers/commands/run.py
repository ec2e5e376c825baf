"""``aupimo run``: execute the whole course."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aupimo_helpers.model import PadimSettings

from aupimo_helpers.commands.options import seed
from aupimo_helpers.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo run`` to the parser."""
    parser = subparsers.add_parser(
        "run",
        help="make the data, execute the course's notebooks and write them as web pages",
        description="Execute copies of the course's notebooks, on the embedded data or on your own, and write them "
        "as notebooks and web pages with an index.html. The notebooks themselves stay as they are.",
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

    from aupimo_helpers import data
    from aupimo_helpers.course.notebook import course, notebooks_folder
    from aupimo_helpers.course.report import Report, write_report
    from aupimo_helpers.course.run import run_course, summary
    from aupimo_helpers.data.paths import require_readable_by_anomalib
    from aupimo_helpers.model import PadimSettings

    folder = notebooks_folder(options.notebooks)
    notebooks = course(folder, options.only)
    results = Path(options.results).absolute() if options.results else folder.parent / "results"
    dataset, data_root = _choose_data(options, folder.parent / "datasets")
    # The notebooks find the default folder beside themselves: then it does not matter where the course lies.
    default = data_root == folder.parent / "datasets"
    require_readable_by_anomalib(Path("../datasets" if default else data_root, dataset))
    data.make(dataset, data_root)
    if options.dataset not in (None, *data.available()) or (options.data_root and not options.dataset):
        _require_sound(data_root / dataset)

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
    report = Report(dataset)
    run = run_course(notebooks, results, parameters, report=report, console=console)
    write_report(run.index, replace(report, rows=run.every, **_results(dataset, data_root, results, settings)))
    console.print()
    console.print(summary(run))
    for row in run.rows:
        if row.message:
            console.print(f"{row.name}: {row.message}", highlight=False, soft_wrap=True)
    console.print(f"\nRead it: {run.index}", highlight=False, soft_wrap=True)
    return 0 if run.passed else 1


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
    if options.dataset is not None and options.category is not None:
        raise InputError(
            "--category names a part of your own folder, and --dataset a whole data set: give one of them."
        )
    if options.dataset is not None or options.data_root is None:
        root = Path(options.data_root).absolute() if options.data_root else default_root
        return options.dataset or "synthetic/leather", root
    from aupimo_helpers.data import locate

    return locate(Path(options.data_root).absolute(), options.category, default_root)


def _require_sound(folder: Path) -> None:
    """Stop at what would spoil the results of a data set that is not the course's own."""
    from aupimo_helpers.data import check

    problems = check(folder)
    if problems:
        for problem in problems:
            print(problem, file=sys.stderr)
        number = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{folder} has {number}, named above: mend that, and run again.")
