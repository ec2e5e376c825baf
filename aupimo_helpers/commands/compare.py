"""``aupimo compare``: the comparison of notebook 09 from saved score files."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aupimo_helpers.commands.options import seed
from aupimo_helpers.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from aupimo_helpers.stats import ManyComparison


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo compare`` to the parser."""
    parser = subparsers.add_parser(
        "compare",
        help="compare models from their saved scores: a table and a figure",
        description="Compare two models or more from their saved per-image scores on the same test set (as `aupimo "
        "score` and notebook 04 write them): a table in the terminal and a figure.",
    )
    parser.add_argument("scores", nargs="+", type=Path, metavar="SCORES.json", help="one file of scores per model")
    output, text = Path("comparison.png"), "the figure (default: %(default)s)"
    parser.add_argument("-o", "--output", type=Path, default=output, metavar="PNG", help=text)
    parser.add_argument("--names", nargs="+", metavar="NAME", help="names of the models, in the files' order")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the bootstrap (default: %(default)s)")
    parser.set_defaults(handler=_compare)


def model_names(paths: Sequence[Path]) -> list[str]:
    """Name models by their files' names where those differ, else by the folders in which the paths differ."""
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"{path} is given twice: give one file per model.")
        seen.add(path.resolve())
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    parts = [path.resolve().with_suffix("").parts for path in paths]
    longest = max(map(len, parts))
    # Aligned at the file's end: models are usually folders some levels above it.
    aligned = [("",) * (longest - len(each)) + each for each in parts]
    telling = [i for i in range(longest) if len({each[i] for each in aligned}) > 1]
    return ["/".join(each[i] for i in telling if each[i]) for each in aligned]


def _compare(options: argparse.Namespace) -> int:
    paths: list[Path] = options.scores
    names: list[str] = options.names or model_names(paths)
    if len(names) != len(paths) or len(set(names)) != len(names):
        raise InputError(f"--names needs {len(paths)} different names, one per file, got: {' '.join(names)}.")

    import matplotlib as mpl
    from rich.console import Console

    mpl.use("agg")  # no window, so no display is needed
    import matplotlib.pyplot as plt

    from aupimo_helpers.files import atomic_file, require_writable
    from aupimo_helpers.plots import use_style
    from aupimo_helpers.plots.models import comparison_figure
    from aupimo_helpers.scores import load_scores
    from aupimo_helpers.stats import compare_many, compare_pairs, pair_scores

    formats = plt.figure().canvas.get_supported_filetypes()
    if options.output.suffix.lstrip(".").lower() not in formats:
        raise InputError(f"Cannot draw {options.output}: its name must end in one of .{', .'.join(sorted(formats))}.")
    require_writable(options.output)
    tables = {name: load_scores(path) for name, path in zip(names, paths, strict=True)}
    scores = pair_scores(tables)
    pairs = compare_pairs(scores, seed=options.seed)
    many = compare_many(scores) if len(names) > 2 else None

    console = Console(markup=False, emoji=False)
    _print_models(console, scores, many)
    _print_pairs(console, pairs)
    use_style()
    defects = tables[names[0]].set_index("image_path")["defect"]
    figure = comparison_figure(scores, pairs, many, defects=defects)
    with atomic_file(options.output) as temporary:
        figure.savefig(temporary)
    plt.close("all")
    console.print(f"Figure: {options.output}", soft_wrap=True, highlight=False)
    return 0


def _print_models(console: "Console", scores: "pd.DataFrame", many: "ManyComparison | None") -> None:
    table = _table(f"AUPIMO on {len(scores)} anomalous images, best mean first")
    table.add_column("model", overflow="fold")
    for header in ("mean", "lower\nquartile", "median", "upper\nquartile", *(["mean\nrank"] if many else [])):
        table.add_column(header, justify="right", no_wrap=True)
    for name in scores.mean().sort_values(ascending=False, kind="stable").index:
        numbers = [scores[name].mean(), *scores[name].quantile([0.25, 0.5, 0.75])]
        ranks = [f"{many.mean_ranks[name]:.2f}"] if many else []
        table.add_row(name, *(f"{100 * number:.1f} %" for number in numbers), *ranks)
    console.print(table)
    if many:
        console.print(f"Friedman test, could all models be alike? p = {many.friedman_p:.2g}\n", highlight=False)


def _print_pairs(console: "Console", pairs: "pd.DataFrame") -> None:
    rows = pairs.to_dict("records")
    table = _table(
        f"Differences in percentage points with {100 * rows[0]['confidence']:.0f} % bootstrap confidence intervals",
        "Permutation test: of the mean difference. Wilcoxon test: of scores rounded to 0.1 percentage points"
        + (", p-values adjusted for the number of pairs (Holm). " if rows[1:] else ". ")
        + "Intervals and tests speak of other anomalous images only: how much the normal images matter cannot be "
        "seen in score files (notebook 09 finds it from the maps).",
    )
    table.add_column("pair, better mean first", overflow="fold")
    for header in ("difference", "win / tie\n/ loss", "permutation\np", "Wilcoxon\np"):
        table.add_column(header, justify="right", no_wrap=True)
    for pair in rows:
        table.add_row(
            f"{pair['a']}\n-\u00a0{pair['b']}",
            f"{100 * pair['mean_difference']:+.1f} ({100 * pair['ci_low']:+.1f} to {100 * pair['ci_high']:+.1f})",
            f"{pair['wins']}/{pair['ties']}/{pair['losses']}",
            f"{pair['permutation_p']:.2g}",
            f"{pair['wilcoxon_p_holm']:.2g}",
        )
    console.print(table)


def _table(title: str, caption: str | None = None) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
