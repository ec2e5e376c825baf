"""``aupimo data``: make, fetch, check and import data sets."""

import argparse

from aupimo_helpers.commands import own_data


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo data`` to the parser."""
    parser = subparsers.add_parser(
        "data", help="make, fetch, check or import a data set", description="Make, fetch, check or import a data set."
    )
    data_subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    make = data_subparsers.add_parser(
        "make",
        help="make an embedded data set or fetch one of MVTec AD",
        description="Make an embedded data set or fetch one of MVTec AD. One that is there is left as it is.",
    )
    make.add_argument(
        "dataset", metavar="SOURCE/CATEGORY", help="such as synthetic/leather, photos/brick, mvtec/leather"
    )
    make.add_argument(
        "--data-root", default="datasets", metavar="PATH", help="where data sets lie (default: datasets)"
    )
    make.add_argument("--seed", type=int, metavar="N", help="seed of an embedded data set (default: 0)")
    make.add_argument(
        "--from-folder", metavar="PATH", help="mvtec/... only: copy from an unpacked MVTec AD, download nothing"
    )
    make.set_defaults(handler=_make)

    check = data_subparsers.add_parser(
        "check",
        help="name what is wrong with a folder in MVTec AD's layout",
        description="Name what is wrong with a folder in MVTec AD's layout. Exits with 1 if anything is.",
    )
    check.add_argument("path", metavar="PATH", help="the category's folder, the one that holds train and test")
    check.add_argument(
        "--fpr-bounds",
        nargs=2,
        type=float,
        default=(1e-5, 1e-4),
        metavar=("LOWER", "UPPER"),
        help="bounds of AUPIMO's integral (default: 1e-5 1e-4)",
    )
    check.add_argument(
        "--image-size",
        nargs=2,
        type=int,
        default=(256, 256),
        metavar=("HEIGHT", "WIDTH"),
        help="size in pixels at which images are evaluated (default: 256 256)",
    )
    check.set_defaults(handler=_check)

    own_data.add_parser(data_subparsers)


def _make(options: argparse.Namespace) -> int:
    from aupimo_helpers import data

    path = data.make(options.dataset, options.data_root, seed=options.seed, from_folder=options.from_folder)
    print(f"{options.dataset} lies in {path}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from pathlib import Path

    from aupimo_helpers.data_check import check

    problems = check(Path(options.path), fpr_bounds=tuple(options.fpr_bounds), image_size=tuple(options.image_size))
    for problem in problems:
        print(problem)
    if problems:
        print(f"{options.path}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
        return 1
    print(f"{options.path}: nothing wrong")
    return 0
