"""``aupimo data``: make, fetch, check and import data sets."""

import argparse
import re
from pathlib import Path

from aupimo_helpers.commands.options import add_fpr_bounds, seed
from aupimo_helpers.data.paths import LAYOUTS


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo data`` to the parser."""
    text = "make, fetch, check or import a data set"
    parser = subparsers.add_parser("data", help=text, description=f"{text.capitalize()}.")
    data_subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_make(data_subparsers)
    _add_check(data_subparsers)
    _add_import(data_subparsers)


def _add_data_root(parser: argparse.ArgumentParser) -> None:
    text = "where data sets lie (default: datasets)"
    parser.add_argument("--data-root", default="datasets", metavar="PATH", help=text)


def _add_make(subparsers: argparse._SubParsersAction) -> None:
    text = "make an embedded data set, or fetch one of MVTec AD or VisA"
    more = f"M{text[1:]}. One that is there stays as it is."
    parser = subparsers.add_parser("make", help=text, description=more)
    text = "such as synthetic/leather, photos/brick, mvtec/leather, visa/candle"
    parser.add_argument("dataset", metavar="SOURCE/CATEGORY", help=text)
    _add_data_root(parser)
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of an embedded data set (default: 0)")
    text = "mvtec/... and visa/... only: take it from the unpacked archive"
    parser.add_argument("--from-folder", metavar="PATH", help=text)
    parser.set_defaults(handler=_make)


def _add_check(subparsers: argparse._SubParsersAction) -> None:
    text = "name what is wrong with a folder in MVTec AD's layout"
    more = f"N{text[1:]}. Exits with 1 if anything is."
    parser = subparsers.add_parser("check", help=text, description=more)
    parser.add_argument("path", metavar="PATH", help="the category's folder, the one that holds train and test")
    add_fpr_bounds(parser)
    text = "size in pixels at which images are evaluated (default: 256 256)"
    size = ("HEIGHT", "WIDTH")
    parser.add_argument("--image-size", nargs=2, type=int, default=(256, 256), metavar=size, help=text)
    parser.set_defaults(handler=_check)


def _add_import(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "import",
        help="make a data set of your own pictures",
        description="Copy your own pictures into MVTec AD's layout, as the data set own/NAME that the whole course "
        "reads. The source is only read. Importing an unchanged source again does nothing.",
        epilog=f"layouts: {LAYOUTS}.",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="folder with your pictures, or a CSV file that lists them")
    add("--name", metavar="NAME", help="name of the new data set (default: from the source's name)")
    _add_data_root(parser)
    layouts = ("auto", *re.findall(r"(\w+) \(", LAYOUTS))
    text = "how the source is arranged (default: auto, tell from the names)"
    add("--layout", default="auto", choices=layouts, help=text)
    text = "share of the normal pictures that goes into the test where the source does not say (default: 0.3)"
    add("--test-share", type=float, default=0.3, metavar="SHARE", help=text)
    add("--seed", type=seed, default=0, metavar="N", help="seed of that draw (default: 0)")
    text = "grey value from which a mask's pixel is defect, for masks with smooth edges (such as 128)"
    add("--mask-threshold", type=float, metavar="GREY", help=text)
    text = "width given to lines drawn in labelme (default: refuse)"
    add("--line-width", type=float, metavar="PIXELS", help=text)
    text = "an image with a defect but no mask is an error, or left out (default: error)"
    add("--without-mask", default="error", choices=("error", "skip"), help=text)
    text = "drawn layouts: an image without annotation is an error, or normal (default: error)"
    add("--unlabelled", default="error", choices=("error", "normal"), help=text)
    text = "leave out, and list, files that cannot be used and images that aupimo data check would name"
    add("--skip-problems", action="store_true", help=text)
    parser.set_defaults(handler=_import)


def _make(options: argparse.Namespace) -> int:
    from aupimo_helpers import data

    path = data.make(options.dataset, options.data_root, seed=options.seed, from_folder=options.from_folder)
    print(f"{options.dataset} lies in {path}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from aupimo_helpers.data.problems import all_in_a_table, check
    from aupimo_helpers.errors import listed

    problems = check(options.path, fpr_bounds=tuple(options.fpr_bounds), image_size=tuple(options.image_size))
    if problems:
        print(listed(problems) + all_in_a_table(problems, Path(options.path)))
        return 1
    print(f"{options.path}: nothing wrong")
    return 0


def _import(options: argparse.Namespace) -> int:
    from collections import Counter

    from aupimo_helpers.data import import_folder
    from aupimo_helpers.data.problems import all_in_a_table
    from aupimo_helpers.data.writing import RECORD, read_record
    from aupimo_helpers.errors import InputError, ProblemError

    try:
        names = ("layout", "test_share", "seed", "mask_threshold", "line_width", "without_mask", "unlabelled")
        chosen = {name: getattr(options, name) for name in (*names, "skip_problems")}
        folder = import_folder(options.source, options.name, options.data_root, **chosen)
    except ProblemError as error:
        table = Path(options.name or Path(options.source).resolve().name)
        raise InputError(str(error) + all_in_a_table(error.problems, table)) from error
    record = read_record(folder)
    counts = Counter(entry["path"].rpartition("/")[0] for entry in record["images"])
    print(f"own/{folder.name} lies in {folder} (layout: {record['layout']})")
    for group, count in sorted(counts.items(), key=lambda item: (item[0] != "train/good", item[0])):
        print(f"  {group}: {count} image{'s' if count > 1 else ''}")
    if record["left_out"]:
        print(f"  left out, because they have no mask: {', '.join(record['left_out'])}")
    if skipped := record.get("skipped"):
        print(f"  skipped {len(skipped)} files, listed in {folder / RECORD}:")
        for entry in skipped[:20]:
            print(f"    {entry['file']} {entry['what']}")
    if record["bits"]:
        print(f"  16-bit pictures were taken as {record['bits']} bits deep and reduced to 8")
    print(f"next: aupimo data check {folder}")
    return 0
