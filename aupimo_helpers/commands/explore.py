"""``aupimo explore``: a page with a slider for the shared FPR, from the course's model."""

import argparse
from pathlib import Path

from aupimo_helpers.commands.options import add_data, add_fpr_bounds, add_model, model_options
from aupimo_helpers.commands.run import choose_sound_data
from aupimo_helpers.files import require_writable


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``aupimo explore`` to the parser."""
    parser = subparsers.add_parser(
        "explore",
        help="write a page with a slider for the threshold, and what the model then marks",
        description="Write one HTML page that needs no network: a slider for the shared FPR shows what the model "
        "marks in each image. The model is trained first, if no notebook and no other command has done that. "
        "For maps of other models: `aupimo score --explore`.",
    )
    add_data(parser)
    add_model(parser)
    add_fpr_bounds(parser)
    text = "where to write the page; by default explorer.html in the folder of the results"
    parser.add_argument("-o", "--output", metavar="FILE.html", type=Path, help=text)
    parser.set_defaults(handler=_explore)


def _explore(options: argparse.Namespace) -> int:
    from aupimo_helpers.course.notebook import notebooks_folder

    home = notebooks_folder(options.notebooks).parent
    results = Path(options.results or home / "results").absolute()
    output = options.output or results / "explorer.html"
    require_writable(output)
    dataset, data_root = choose_sound_data(options, home / "datasets")

    from aupimo_helpers.course.explorer import scored_predictions, write_explorer
    from aupimo_helpers.model import PadimSettings, predict

    predictions = predict(dataset, data_root, results, PadimSettings(**model_options(options)))
    write_explorer(output, dataset, scored_predictions(predictions, data_root, tuple(options.fpr_bounds)))
    print(f"Open it: {output} ({output.stat().st_size / 1e6:.1f} MB)")
    return 0
