"""``aupimo data import``."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``import`` to the sub-commands of ``aupimo data``."""
    parser = subparsers.add_parser(
        "import",
        help="make a data set of your own pictures",
        description="Copy your own pictures into MVTec AD's layout, as the data set own/NAME that the whole course "
        "reads. The source is only read. Importing an unchanged source again does nothing.",
        epilog="layouts: mvtec (train/good, test/good, test/<defect>, ground_truth/<defect>); folders (normal, "
        "abnormal or abnormal/<defect>, masks, and, if you like, normal_test); csv (a file with the columns image, "
        "label or defect, and, if you like, split and mask); labelme (images with JSON polygons beside them).",
    )
    parser.add_argument("source", metavar="SOURCE", help="folder with your pictures, or a CSV file that lists them")
    parser.add_argument("--name", metavar="NAME", help="name of the new data set (default: from the source's name)")
    parser.add_argument(
        "--data-root", default="datasets", metavar="PATH", help="where data sets lie (default: datasets)"
    )
    parser.add_argument(
        "--layout",
        default="auto",
        choices=("auto", "mvtec", "folders", "csv", "labelme"),
        help="how the source is arranged (default: auto, tell from the names)",
    )
    parser.add_argument(
        "--test-share",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="share of the normal pictures that goes into the test where the source does not say (default: 0.3)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of that draw (default: 0)")
    parser.add_argument(
        "--mask-threshold",
        type=float,
        metavar="GREY",
        help="grey value from which a mask's pixel is defect, for masks with smooth edges (such as 128)",
    )
    parser.add_argument(
        "--line-width", type=float, metavar="PIXELS", help="width given to lines drawn in labelme (default: refuse)"
    )
    parser.add_argument(
        "--without-mask",
        default="error",
        choices=("error", "skip"),
        help="an image with a defect but no mask is an error, or left out (default: error)",
    )
    parser.add_argument(
        "--unlabelled",
        default="error",
        choices=("error", "normal"),
        help="layout labelme: an image without JSON is an error, or normal (default: error)",
    )
    parser.set_defaults(handler=_import)


def _import(options: argparse.Namespace) -> int:
    from collections import Counter

    from aupimo_helpers.own_data import import_folder, read_record

    folder = import_folder(
        options.source,
        options.name,
        options.data_root,
        layout=options.layout,
        test_share=options.test_share,
        seed=options.seed,
        mask_threshold=options.mask_threshold,
        line_width=options.line_width,
        without_mask=options.without_mask,
        unlabelled=options.unlabelled,
    )
    record = read_record(folder)
    counts = Counter(entry["path"].rpartition("/")[0] for entry in record["images"])
    print(f"own/{folder.name} lies in {folder} (layout: {record['layout']})")
    for group, count in sorted(counts.items(), key=lambda item: (item[0] != "train/good", item[0])):
        print(f"  {group}: {count} image{'s' if count > 1 else ''}")
    if record["left_out"]:
        print(f"  left out, because they have no mask: {', '.join(record['left_out'])}")
    if record["bits"]:
        print(f"  16-bit pictures were taken as {record['bits']} bits deep and reduced to 8")
    print(f"next: aupimo data check {folder}")
    return 0
