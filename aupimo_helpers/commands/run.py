"""``aupimo run``: execute the whole course."""

import argparse
from pathlib import Path
from typing import Any


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
        "or any layout that `aupimo data import` understands",
    )
    parser.add_argument("--category", metavar="NAME", help="the category in your own folder")
    parser.add_argument("--results", metavar="FOLDER", help="where results go; by default results/ beside notebooks/")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="numbers of notebooks, such as 03 04")
    parser.add_argument("--pre-trained", action="store_true", help="ImageNet weights, downloaded when missing")
    parser.add_argument("--seed", type=int, help="of the model's random weights; 0 by default")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where the notebooks are")
    parser.set_defaults(handler=_run)


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from aupimo_helpers import data
    from aupimo_helpers.course_run import run_course, summary
    from aupimo_helpers.notebook_runner import course, notebooks_folder

    folder = notebooks_folder(options.notebooks)
    notebooks = course(folder, options.only)
    results = Path(options.results).absolute() if options.results else folder.parent / "results"
    dataset, data_root = _choose_data(options, folder.parent / "datasets")
    data.make(dataset, data_root)

    # What is as in the notebooks is not injected, so that the copies read like the sources.
    parameters: dict[str, Any] = {"DATASET": dataset} if dataset != "synthetic/leather" else {}
    if data_root != folder.parent / "datasets":
        parameters["DATA_ROOT"] = data_root.as_posix()
    if results != folder.parent / "results":
        parameters["RESULTS_DIR"] = results.as_posix()
    if options.pre_trained:
        parameters["PRE_TRAINED"] = True
    if options.seed is not None:
        parameters["SEED"] = options.seed

    console = Console()
    run = run_course(notebooks, results, parameters, dataset=dataset, console=console)
    console.print()
    console.print(summary(run))
    for row in run.rows:
        if row.message:
            console.print(f"{row.name}: {row.message}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nRead it: {run.index}", markup=False, highlight=False, soft_wrap=True)
    return 0 if run.passed else 1


def _choose_data(options: argparse.Namespace, default_root: Path) -> tuple[str, Path]:
    """Find which data set is meant: its name, and the folder of the data sets."""
    if options.dataset is not None and options.category is not None:
        from aupimo_helpers.errors import InputError

        msg = "--category names a part of your own folder, and --dataset a whole data set: give one of them."
        raise InputError(msg)
    if options.dataset is not None or options.data_root is None:
        root = Path(options.data_root).absolute() if options.data_root else default_root
        return options.dataset or "synthetic/leather", root
    return _own_data(Path(options.data_root).absolute(), options.category, default_root)


def _own_data(path: Path, category: str | None, default_root: Path) -> tuple[str, Path]:
    """Take a folder in MVTec AD's layout as it is, and import any other."""
    from aupimo_helpers.errors import InputError, MissingError

    if not path.is_dir():
        msg = f"There is no folder {path}: --data-root names the folder of your images."
        raise MissingError(msg)
    if category is not None and not (path / category).is_dir():
        there = ", ".join(sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")))
        msg = f"There is no category {category} in {path}: it has {there or 'no folders'}."
        raise MissingError(msg)
    candidates = [path / category] if category is not None else [path, *sorted(path.iterdir())]
    ready = [folder for folder in candidates if (folder / "train" / "good").is_dir()]
    if len(ready) > 1:
        names = ", ".join(folder.name for folder in ready)
        msg = f"{path} holds several categories ({names}): choose one with --category."
        raise InputError(msg)
    if ready:
        chosen = ready[0]
        return f"{chosen.parent.name}/{chosen.name}", chosen.parent.parent
    from aupimo_helpers.own_data import import_folder

    chosen = import_folder(candidates[0], data_root=default_root)
    return f"{chosen.parent.name}/{chosen.name}", default_root
