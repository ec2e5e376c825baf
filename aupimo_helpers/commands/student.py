"""``aupimo student``: copies of the notebooks without the solutions."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo student`` to the parser."""
    parser = subparsers.add_parser(
        "student",
        help="write copies of the notebooks without the solutions of their exercises (for teachers)",
        description="Write copies of the notebooks without solutions and outputs into a new folder. The answers are "
        "still checked, by the notebooks that you keep beside the installed package.",
    )
    parser.add_argument("folder", metavar="DEST", type=Path, help="a new folder; it gets notebooks/ and figures/")
    parser.add_argument("--outputs", action="store_true", help="keep the outputs of the executed cells")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="numbers of notebooks, such as 03 04")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where the notebooks are")
    parser.set_defaults(handler=_student)


def _student(options: argparse.Namespace) -> int:
    from aupimo_helpers.course.notebook import course, notebooks_folder
    from aupimo_helpers.course.student import write_student_copies

    notebooks = course(notebooks_folder(options.notebooks), options.only)
    write_student_copies(notebooks, options.folder, outputs=options.outputs)
    print(f"{len(notebooks)} notebooks without solutions lie in {options.folder / 'notebooks'}")
    return 0
