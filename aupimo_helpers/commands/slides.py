"""``aupimo slides``: decks of slides for teaching, with the notebooks' own figures."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo slides`` to the parser."""
    parser = subparsers.add_parser(
        "slides",
        help="write decks of slides for the core notebooks, to show in a browser without a network (for teachers)",
        description="Write a deck of slides for each core notebook, with its figures and printed results.",
    )
    parser.add_argument("folder", metavar="DEST", type=Path, help="a new folder; open its index.html")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where the notebooks are, with the texts in slides/")
    parser.add_argument(
        "--results", metavar="FOLDER", type=Path, help="take figures from the notebooks that a run put here"
    )
    parser.set_defaults(handler=_slides)


def _slides(options: argparse.Namespace) -> int:
    from aupimo_helpers.course.notebook import notebooks_folder
    from aupimo_helpers.course.slides import write_slides

    notebooks = notebooks_folder(options.notebooks)
    write_slides(notebooks / "slides", options.results or notebooks, options.folder)
    print(f"The slides: {options.folder / 'index.html'}")
    return 0
