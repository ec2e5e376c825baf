"""``aupimo score``: AUPIMO from score maps on disk, whatever framework wrote them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from aupimo_helpers.commands.options import add_fpr_bounds, add_maps, which_are_normal
from aupimo_helpers.errors import InputError, noting
from aupimo_helpers.files import atomic_file, require_writable

if TYPE_CHECKING:
    import pandas as pd


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo score`` to the parser."""
    parser = subparsers.add_parser(
        "score",
        help="compute AUPIMO from score maps and masks on disk",
        description="Compute the exact AUPIMO of each image from anomaly score maps and masks on disk, from any "
        "framework. A map color/000.npy has the mask color/000.png or, as in MVTec AD, color/000_mask.png.",
    )
    add_maps(parser)
    text = "where to write the scores; FILE.csv goes beside it"
    parser.add_argument("-o", "--output", required=True, metavar="FILE.json", help=text)
    add_fpr_bounds(parser)
    parser.add_argument("--report", metavar="DIR", type=Path, help="write a report, DIR/index.html, too")
    text = "write a page with a slider for the threshold, and what is then marked, too"
    parser.add_argument("--explore", metavar="FILE.html", type=Path, help=text)
    text = "for the report and the page: the images, named as their maps, of any size"
    parser.add_argument("--images", metavar="DIR", type=Path, help=text)
    parser.set_defaults(handler=_score)


def _score(options: argparse.Namespace) -> int:
    output = Path(options.output)
    if output.suffix.lower() != ".json":
        raise InputError(f"Expected the output file to end in .json, but got {output}.")
    if options.images and not (options.report or options.explore):
        raise InputError(
            "--images are shown in the report: say where it goes, with --report DIR or --explore FILE.html."
        )
    page = options.report and options.report / "index.html"
    for path in (output, output.with_suffix(".csv"), *filter(None, (page, options.explore))):
        require_writable(path)
    from aupimo_helpers.scores.maps import score_files
    from aupimo_helpers.scores.table import save_scores, score_table, write_csv

    with noting() as notes:
        scores = score_files(
            options.maps,
            options.masks,
            tuple(options.fpr_bounds),
            **which_are_normal(options),
            images_folder=options.images,
            keep_highest=bool(page or options.explore),
        )
    table = score_table(scores.aupimos, scores.paths)
    with atomic_file(output.with_suffix(".csv")) as temporary:  # both files, or none
        write_csv(table, temporary)
        save_scores(
            output,
            scores.aupimos,
            scores.paths,
            fpr_bounds=scores.fpr_bounds,
            threshold_bounds=scores.threshold_bounds,
            num_thresholds=scores.num_thresholds,
        )
    _print(table, output)
    if page:
        from aupimo_helpers.course.report import Report, write_report

        name = Path(options.maps).resolve().name
        write_report(page, Report(name, scores, notes=[("Worth a look", notes)] if notes else []))
        print(f"Read it: {page}")
    if options.explore:
        from aupimo_helpers.course.explorer import write_explorer

        write_explorer(options.explore, Path(options.maps).resolve().name, scores)
        print(f"Open it: {options.explore}")
    return 0


def _print(table: "pd.DataFrame", output: Path) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(markup=False, emoji=False, highlight=False)
    anomalous = table.dropna(subset="aupimo").sort_values("aupimo", kind="stable")
    console.print(f"{len(table) - len(anomalous)} normal and {len(anomalous)} anomalous images")
    summary = Table("AUPIMO", "", title="Anomalous images", title_justify="left")
    summary.add_row("mean", f"{anomalous['aupimo'].mean():.4f}")
    for name, share in {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}.items():
        summary.add_row(name, f"{anomalous['aupimo'].quantile(share):.4f}")
    console.print(summary)
    worst = Table(Column("image", overflow="fold"), "AUPIMO", title="The worst five", title_justify="left")
    for path, score in anomalous[["image_path", "aupimo"]].head(5).itertuples(index=False):
        worst.add_row(path, f"{score:.4f}")
    console.print(worst)
    console.print(f"Written: {output} and {output.with_suffix('.csv')}", soft_wrap=True)
