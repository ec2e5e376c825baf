"""``aupimo refresh``: execute the notebooks in place, for committing."""

import argparse
import sys
from pathlib import Path

from aupimo_helpers.errors import AupimoError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo refresh`` to the parser."""
    parser = subparsers.add_parser(
        "refresh",
        help="execute the notebooks in place and rewrite their index (for those who change the course)",
        description="Execute notebooks in place, write measured time and memory into them, and rewrite "
        "notebooks/README.md. A notebook is written only if every cell ran and no output holds stderr, a path of "
        "this machine, a memory address or a widget.",
    )
    parser.add_argument("only", nargs="*", metavar="NN", help="numbers of notebooks, such as 03 04; all by default")
    parser.add_argument("--index-only", action="store_true", help="only rewrite the index")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where the notebooks are")
    parser.set_defaults(handler=_refresh)


def _refresh(options: argparse.Namespace) -> int:
    from aupimo_helpers.course.notebook import course, notebooks_folder
    from aupimo_helpers.course.refresh import write_index

    folder = notebooks_folder(options.notebooks)
    notebooks = [] if options.index_only else course(folder, options.only)
    written = [_refresh_one(path) for path in notebooks]
    print(f"README.md: {'written' if write_index(folder) else 'unchanged'}")
    return 0 if all(written) else 1


def _refresh_one(path: Path) -> bool:
    """Refresh one notebook and say what became of it; the others do not depend on it."""
    from aupimo_helpers.course.refresh import refresh

    try:
        changed = refresh(path)
    except AupimoError as error:
        print(f"aupimo: {error}", file=sys.stderr)
        return False
    print(f"{path.name}: {'written' if changed else 'unchanged'}", flush=True)
    return True
