"""``aupimo compare``: the comparison of notebook 09, from saved score files or from score maps."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aupimo_helpers.commands.options import add_fpr_bounds, add_masks, seed, which_are_normal
from aupimo_helpers.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from aupimo_helpers.scores.maps import Scored
    from aupimo_helpers.stats import ManyComparison

_DRAWS = 1000  # of the normal images, as in notebook 09


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo compare`` to the parser."""
    parser = subparsers.add_parser(
        "compare",
        help="compare models from their saved scores or their score maps: a table and a figure",
        description="Compare two models or more on the same test set: a table in the terminal and a figure. Either "
        "from their files of scores (as `aupimo score` and notebook 04 write them): aupimo compare a.json b.json. Or "
        "from their folders of score maps: aupimo compare maps/a maps/b --masks masks. Only maps tell how much the "
        "normal images matter, which set the thresholds of all scores: then the intervals allow for other images of "
        "both kinds, and the differences without one normal image are shown.",
    )
    text = "of each model its file of scores; or of each its folder of score maps, as `aupimo score --maps` takes it"
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help=text)
    output, text = Path("comparison.png"), "the figure (default: %(default)s)"
    parser.add_argument("-o", "--output", type=Path, default=output, metavar="PNG", help=text)
    parser.add_argument("--names", nargs="+", metavar="NAME", help="names of the models, in the same order")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the bootstrap (default: %(default)s)")
    maps = parser.add_argument_group("for folders of score maps")
    add_masks(maps)
    add_fpr_bounds(maps)
    parser.set_defaults(handler=_compare, fpr_bounds=None)  # to know whether they were given


def model_names(paths: Sequence[Path]) -> list[str]:
    """Name models by their files' or folders' names where those differ, else by what differs in the paths."""
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"{path} is given twice: give one file or folder per model.")
        seen.add(path.resolve())
    parts = [(path.resolve() if path.is_dir() else path.resolve().with_suffix("")).parts for path in paths]
    names = [each[-1] for each in parts]
    if len(set(names)) == len(names):
        return names
    longest = max(map(len, parts))
    # Aligned at the file's end: models are usually folders some levels above it.
    aligned = [("",) * (longest - len(each)) + each for each in parts]
    telling = [i for i in range(longest) if len({each[i] for each in aligned}) > 1]
    return ["/".join(each[i] for i in telling if each[i]) for each in aligned]


def _are_folders(options: argparse.Namespace) -> bool:
    """Tell folders of score maps from files of scores, and refuse what does not fit together."""
    folders = [path for path in options.models if path.is_dir()]
    files = [path for path in options.models if not path.is_dir()]
    if folders and files:
        raise InputError(
            f"There is no file of scores at {folders[0]} but a folder: give of each model its file of scores, or of "
            "each its folder of score maps."
        )
    if folders and not options.masks:
        raise InputError(f"{folders[0]} is a folder of score maps: say where the masks are, with --masks DIR.")
    if files and (options.masks or options.fpr_bounds):
        raise InputError(
            f"--masks and --fpr-bounds are for folders of score maps, but {files[0]} is none: give folders, or leave "
            "these out."
        )
    return bool(folders)


def without_formats(table: "pd.DataFrame") -> "pd.DataFrame":
    """Name images by what the formats and layouts of their maps leave alike, unless two would get one name."""
    short = [os.path.splitext(path.removeprefix("test/"))[0] for path in table["image_path"]]  # noqa: PTH122
    return table.assign(image_path=short) if len(set(short)) == len(short) else table


def _compare(options: argparse.Namespace) -> int:
    paths: list[Path] = options.models
    names: list[str] = options.names or model_names(paths)
    from_maps = _are_folders(options)
    if len(names) != len(paths) or len(set(names)) != len(names):
        each = "folder" if from_maps else "file"
        raise InputError(f"--names needs {len(paths)} different names, one per {each}, got: {' '.join(names)}.")

    import matplotlib as mpl

    mpl.use("agg")  # no window, so no display is needed
    import matplotlib.pyplot as plt

    from aupimo_helpers.files import atomic_file, require_writable
    from aupimo_helpers.plots import use_style
    from aupimo_helpers.plots.models import comparison_figure
    from aupimo_helpers.scores import load_scores, score_table
    from aupimo_helpers.scores.maps import score_files
    from aupimo_helpers.stats import compare_many, compare_pairs, pair_scores

    formats = plt.figure().canvas.get_supported_filetypes()
    if options.output.suffix.lstrip(".").lower() not in formats:
        raise InputError(f"Cannot draw {options.output}: its name must end in one of .{', .'.join(sorted(formats))}.")
    require_writable(options.output)
    scored: dict[str, Scored] = {}
    if from_maps:
        given = {**which_are_normal(options), "keep_highest": True}
        for name, path in zip(names, paths, strict=True):
            scored[name] = score_files(path, options.masks, tuple(options.fpr_bounds or (1e-5, 1e-4)), **given)
        tables = {name: score_table(each.aupimos, each.paths) for name, each in scored.items()}
    else:
        tables = {name: load_scores(path) for name, path in zip(names, paths, strict=True)}
    tables = {name: without_formats(table) for name, table in tables.items()}
    scores = pair_scores(tables)
    pairs = compare_pairs(scores, seed=options.seed)
    if from_maps:
        pairs = with_normal_images(pairs, scored, options.seed)
    many = compare_many(scores) if len(names) > 2 else None

    _print_models(scores, many)
    _print_pairs(pairs)
    use_style()
    defects = tables[names[0]].set_index("image_path")["defect"]
    figure = comparison_figure(scores, pairs, many, defects=defects)
    with atomic_file(options.output) as temporary:
        figure.savefig(temporary)
    plt.close("all")
    print(f"Figure: {options.output}")
    return 0


def with_normal_images(pairs: "pd.DataFrame", scored: "Mapping[str, Scored]", seed: int) -> "pd.DataFrame":
    """Put the two-way interval into each pair's row, and the range of its difference without one normal image."""
    import numpy as np

    from aupimo_helpers.stats import two_way_interval

    number = len(next(iter(scored.values())).normal)
    if number == 1:
        raise InputError("There is only one normal image: add others, or compare files of scores.")
    draws = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=_DRAWS)
    drawn, left_out = {}, {}
    for name, each in scored.items():
        drawn[name] = each.reweighted(draws)[:, ~np.isnan(each.aupimos)]
        left_out[name] = each.means_without_each()
    rows = []
    for a, b, mean, level in pairs[["a", "b", "mean_difference", "confidence"]].itertuples(index=False):
        without = left_out[a] - left_out[b]
        turned = np.sign(without.round(12)) != np.sign(np.round(mean, 12))
        low, high = two_way_interval(drawn[a] - drawn[b], confidence=level, seed=seed)
        rows.append((low, high, without.min(), without.max(), turned.sum(), number))
    names = ["ci_low", "ci_high", "without_low", "without_high", "turned", "num_normal"]
    return pairs.assign(**dict(zip(names, zip(*rows, strict=True), strict=True)))


def _print_models(scores: "pd.DataFrame", many: "ManyComparison | None") -> None:
    numbers = scores.describe().T[["mean", "25%", "50%", "75%"]]
    numbers.columns = ["mean", "lower\nquartile", "median", "upper\nquartile"]
    numbers = numbers.sort_values("mean", ascending=False, kind="stable")
    columns = {"model": list(numbers.index)}
    columns |= {name: [f"{100 * number:.1f} %" for number in numbers[name]] for name in numbers}
    if many:
        columns["mean\nrank"] = [f"{many.mean_ranks[name]:.2f}" for name in numbers.index]
    _print_table(f"AUPIMO on {len(scores)} anomalous images, best mean first", columns)
    if many:
        print(f"Friedman test, could all models be alike? p = {many.friedman_p:.2g}\n")


def _print_pairs(pairs: "pd.DataFrame") -> None:
    rows: list[Any] = list(pairs.itertuples())
    names = [f"{row.a}\n-\u00a0{row.b}" for row in rows]
    adjusted = ", p-values adjusted for the number of pairs (Holm)" if rows[1:] else ""
    if "turned" in pairs:
        whose = (
            "Intervals: over other images of both kinds (two-way bootstrap). Tests: of other anomalous images only."
        )
    else:
        whose = (
            "Intervals and tests speak of other anomalous images only: how much the normal images matter cannot be "
            "seen in score files (give folders of score maps to see it)."
        )
    _print_table(
        f"Differences in percentage points with {100 * rows[0].confidence:.0f} % bootstrap confidence intervals",
        {
            "pair, better mean first": names,
            "difference": [
                f"{_points(row.mean_difference)} ({_points(row.ci_low)} to {_points(row.ci_high)})" for row in rows
            ],
            "win / tie\n/ loss": [f"{row.wins}/{row.ties}/{row.losses}" for row in rows],
            "permutation\np": [f"{row.permutation_p:.2g}" for row in rows],
            "Wilcoxon\np": [f"{row.wilcoxon_p_holm:.2g}" for row in rows],
        },
        "Permutation test: of the mean difference. Wilcoxon test: of scores rounded to 0.1 percentage points"
        f"{adjusted}. {whose}",
    )
    if "turned" in pairs:
        _print_table(
            f"Differences without one of {rows[0].num_normal} normal images, each in turn",
            {
                "pair, better mean first": names,
                "lowest": [_points(row.without_low) for row in rows],
                "highest": [_points(row.without_high) for row in rows],
                "the other is\nahead, or none": [
                    f"{row.turned} of {row.num_normal}" if row.turned else "never" for row in rows
                ],
            },
        )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _print_table(title: str, columns: "Mapping[str, Sequence[str]]", caption: str | None = None) -> None:
    """Print a table; the first column holds names, which may be long."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    first, *others = columns
    table.add_column(first, overflow="fold")
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)
