"""Time and memory of each notebook of the course on a made folder of photographs, and of the whole.

    python tests/benchmarks/benchmark_course.py                      # 700 for training, 700 for the test
    python tests/benchmarks/benchmark_course.py --images 50 50       # a short trial

The photographs are grey JPEG of three sizes; a few of the normal test images are odd (black, too bright, out of
focus, striped). ``aupimo run`` imports them, fits the model and executes everything, with nothing cached.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "notebooks"))
import numpy as np
from notebook_runs import take_pictures

from aupimo_helpers.commands import main

ODD = 4


def make_pictures(folder, training, test):
    """Of the test images, three in seven are normal."""
    rng = np.random.default_rng(0)
    take_pictures(folder / "ok", rng, training)
    take_pictures(folder / "ok_test", rng, 3 * test // 7, odd=ODD)
    for defect in ("scratch", "spot"):
        take_pictures(folder / "ng" / defect, rng, 2 * test // 7, defect=defect, masks=folder / "masks" / defect)


def benchmark():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = "for the training and for the test"
    parser.add_argument("--images", type=int, nargs=2, default=[700, 700], metavar=("TRAINING", "TEST"), help=text)
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="numbers of notebooks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder, "photographs"), *options.images)
        start = time.perf_counter()
        code = main(["data", "import", str(Path(folder, "photographs")), "--data-root", folder])
        command = ["run", "--data-root", str(Path(folder, "own", "photographs"))]
        command += ["--results", str(Path(folder, "results"))]
        code = code or main(command + (["--only", *options.only] if options.only else []))
        print(f"{time.perf_counter() - start:.0f} s in all, with the import")
    return code


if __name__ == "__main__":
    sys.exit(benchmark())
