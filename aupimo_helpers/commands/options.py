"""Options that several sub-commands take."""

from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    Namespace,
    _ActionsContainer,
    _MutuallyExclusiveGroup,
)
from typing import Any


def seed(text: str) -> int:
    """Read a seed that every generator of random numbers takes."""
    if not (text.isdecimal() and len(text) < 11 and int(text) < 2**32):
        raise ArgumentTypeError(f"{text[:40]!r} is no seed: give a whole number from 0 to {2**32 - 1}")
    return int(text)


def add_data(parser: ArgumentParser) -> None:
    """Add what says which data set is meant, and where results go."""
    parser.add_argument("--dataset", metavar="SOURCE/CATEGORY", help="data set; synthetic/leather by default")
    parser.add_argument(
        "--data-root",
        metavar="PATH",
        help="with --dataset: the folder of the data sets. Without: your own images, a folder in MVTec AD's layout "
        "or any layout that `aupimo data import` understands, or a folder that holds several of these",
    )
    parser.add_argument(
        "--category", metavar="NAME", help="which one, where your own folder holds several; else a name for it"
    )
    text = "import your own images without those that cannot be used; the report lists them"
    parser.add_argument("--skip-problems", action="store_true", help=text)
    parser.add_argument("--results", metavar="FOLDER", help="where results go; by default results/ beside notebooks/")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where the notebooks are")


def add_model(parser: ArgumentParser) -> None:
    """Add what the course's model is made from; ``model_options`` reads it."""
    parser.add_argument("--backbone", metavar="NAME", help="a timm model, such as resnet18")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", help="of the backbone, such as layer1")
    parser.add_argument("--n-features", type=int, metavar="N", help="how many of the layers' channels are kept")
    parser.add_argument("--pre-trained", action=BooleanOptionalAction, help="ImageNet weights, the default")
    parser.add_argument("--seed", type=seed, help="of the choice of channels and of random weights; 0 by default")


def model_options(options: Namespace) -> dict[str, Any]:
    """Give the settings of the model that were chosen."""
    names = ("backbone", "layers", "n_features", "pre_trained", "seed")
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def add_fpr_bounds(parser: _ActionsContainer) -> None:
    """Add ``--fpr-bounds`` to a sub-command."""
    text = "bounds of the shared FPR, AUPIMO's integral lies between them (default: 1e-5 1e-4)"
    names = ("LOWER", "UPPER")
    parser.add_argument("--fpr-bounds", nargs=2, type=float, default=(1e-5, 1e-4), metavar=names, help=text)


def add_maps(parser: ArgumentParser, instead_of: _MutuallyExclusiveGroup | None = None) -> None:
    """Add ``--maps`` and ``--masks``, required unless it is one of several, and what says which images are normal."""
    text = "score maps, higher is more anomalous: .npy, .npz, .tif(f) (float or 16 bit) or .png (16 bit)"
    (instead_of or parser).add_argument("--maps", required=instead_of is None, metavar="DIR", help=text)
    add_masks(parser, required=instead_of is None)


def add_masks(parser: _ActionsContainer, *, required: bool = False) -> None:
    """Add ``--masks`` and what says which images are normal; ``which_are_normal`` reads it."""
    parser.add_argument("--masks", required=required, metavar="DIR", help="masks: images, black is normal")
    text = "what a map without a mask is: an error (default), or a normal image"
    parser.add_argument("--missing-mask", choices=("error", "normal"), default="error", help=text)
    text = "a folder of maps, all of which are normal although it is not called good; repeat it for others"
    parser.add_argument("--normal-folder", action="append", default=[], metavar="NAME", help=text)


def which_are_normal(options: Namespace) -> dict[str, Any]:
    """Give what was said of the maps without a mask, for ``scores.maps``."""
    return {
        "missing_mask_is_normal": options.missing_mask == "normal",
        "normal_folders": options.normal_folder,
    }
