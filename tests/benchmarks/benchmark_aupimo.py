"""Time and memory of the exact AUPIMO, of anomalib's, and of one ``numpy.max`` pass, side by side.

    python tests/benchmarks/benchmark_aupimo.py                           # the table; about 9 minutes, 9 GB
    python tests/benchmarks/benchmark_aupimo.py --json tests/benchmarks/results.json
    python tests/benchmarks/benchmark_aupimo.py --without-anomalib        # 3 minutes, 5 GB

Each figure is measured in processes of its own, five for what takes milliseconds: where a process's memory lies
makes a pass over it up to twice as fast. They take turns. The time is the median of all calls, the memory the highest
resident set during the first of them less that before it (Linux). The class is made once, and each call feeds it in
batches, computes and resets it, as Lightning does. anomalib's time includes the curves of all images at all
thresholds; "difference" is the largest one of an image's score to the exact score.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

NUM_NORMAL, NUM_ANOMALOUS, BATCH = 32, 92, 32
ONE_PASS, FUNCTION, CLASS, CURVES = "numpy.max", "ours", "ours, class", "ours, class with curves"
ANOMALIB, COARSE = "anomalib", "anomalib, 30,000 thresholds"
PROCESSES = {ONE_PASS: 5, FUNCTION: 5, CLASS: 5}  # one for the others
REPEATS = {ONE_PASS: 41, FUNCTION: 41, CLASS: 41, CURVES: 15, COARSE: 3, ANOMALIB: 3}
TARGETS = {
    256: {f"{FUNCTION} / {ONE_PASS}": 4, f"{CLASS} / {ONE_PASS}": 5},
    512: {f"{FUNCTION} / {ONE_PASS}": 4},
    1024: {f"{FUNCTION} / {ONE_PASS}": 4, f"{CLASS} / {ONE_PASS}": 3.5},
}


def make_maps(size, factor=1, seed=0):
    """Maps as a model gives them: smooth texture, 32 normal images, 92 with a defect from invisible to obvious.

    Defects cover 1.5 % of the image on average. With a ``factor``, the set is repeated that many times, each time
    with slightly higher scores.
    """
    random = np.random.default_rng(seed)
    number = NUM_NORMAL + NUM_ANOMALOUS
    maps = np.empty((factor * number, size, size), dtype=np.float32)
    masks = np.zeros((factor * number, size, size), dtype=bool)
    for index, (image, mask) in enumerate(zip(maps[:number], masks[:number], strict=True)):
        coarse = random.standard_normal((size // 8, size // 8), dtype=np.float32)
        image[:] = np.kron(coarse, np.ones((8, 8), dtype=np.float32))
        image += 0.3 * random.standard_normal((size, size), dtype=np.float32)
        if index >= NUM_NORMAL:
            height, width = random.integers(size // 12, size // 6, 2)
            top, left = random.integers(0, size * 3 // 4, 2)
            mask[top : top + height, left : left + width] = True
            image[top : top + height, left : left + width] += random.uniform(0, 7)
    for copy in range(1, factor):
        rows = slice(copy * number, (copy + 1) * number)
        np.add(maps[:number], np.float32(copy * 1e-4), out=maps[rows])
        masks[rows] = masks[:number]
    return maps, masks


def peak_memory():
    """Highest resident set of this process since the last reset, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def prepare(what, maps, masks):
    """Give the function to measure: it returns scores per image, an average, or nothing of use."""
    if what == ONE_PASS:
        return maps.max
    if what == FUNCTION:
        from aupimo_helpers.metrics import aupimo_scores

        return lambda: aupimo_scores(maps, masks, force=True)
    import torch

    maps, masks = torch.from_numpy(maps), torch.from_numpy(masks)
    if what in (CLASS, CURVES):
        from aupimo_helpers.metrics.metric import _ExactAUPIMO

        metric = _ExactAUPIMO(return_average=what == CLASS, force=True)

        def call():
            for start in range(0, len(maps), BATCH):
                metric.update(maps[start : start + BATCH], masks[start : start + BATCH])
            computed = metric.compute()
            if "bytes" not in state:
                state["bytes"] = metric.memory.nbytes
            metric.reset()
            return computed if what == CLASS else computed[1].aupimos

        return call
    from anomalib.metrics.pimo import functional

    number = 30_000 if what == COARSE else 300_000
    return lambda: functional.aupimo_scores(maps, masks, num_thresholds=number, force=True)[4]


state = {}


def measure(what, size, factor, repeats):
    """Measure one function in this process."""
    maps, masks = make_maps(size, factor)
    if what not in (ANOMALIB, COARSE):
        prepare(what, *make_maps(64, 1))()  # first calls load libraries, threads and their stacks
    call = prepare(what, maps, masks)
    state.clear()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            memory = peak_memory() - before
    scores = np.atleast_1d(np.asarray(result, dtype=np.float64))
    print(
        json.dumps(
            {
                "seconds": seconds,
                "extra_bytes": memory,
                "maps_bytes": maps.nbytes,
                "state_bytes": state.get("bytes"),
                "average": float(np.nanmean(scores)),
                "scores": scores.tolist(),
            }
        )
    )


def measured(what, size, factor=1, repeats=None):
    """Measure one function in a new process."""
    command = [sys.executable, __file__, "--measure", what, str(size), str(factor), str(repeats or REPEATS[what])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{what} at {size} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def summed_up(runs):
    """Put what several processes measured into one row: times of all, the rest of the first."""
    seconds = np.concatenate([run["seconds"] for run in runs])
    times = {
        "seconds": float(np.median(seconds)),
        "quartiles": np.quantile(seconds, [0.25, 0.75]).tolist(),
        "of_processes": [float(np.median(run["seconds"])) for run in runs],
        "calls": len(seconds),
    }
    return {**runs[0], **times}


def table(size, names):
    """Measure and print the rows of one size."""
    runs = {name: [] for name in names}
    for turn in range(max(PROCESSES.values())):
        for name in names:
            if turn < PROCESSES.get(name, 1):
                runs[name].append(measured(name, size))
    rows = {name: summed_up(of_name) for name, of_name in runs.items()}
    exact = np.array(rows[FUNCTION]["scores"])
    for name, row in rows.items():
        scores = np.array(row.pop("scores"))
        row["difference"] = float(np.nanmax(np.abs(scores - exact))) if len(scores) == len(exact) else None
        low, high = (1e3 * value for value in row["quartiles"])
        difference = "" if row["difference"] is None else f"{row['difference']:.1e}"
        print(
            f"{size:>5}  {name:28} {row['seconds'] * 1e3:>9.1f} ms ({low:.1f} to {high:.1f}) "
            f"{row['extra_bytes'] / 2**20:>8.1f} MiB {row['extra_bytes'] / row['maps_bytes']:>8.2%}  {difference}"
        )
    return rows


def markdown(sizes):
    """The README's table: medians, quartiles, memory beyond the maps, for sizes that anomalib was measured at."""
    names = {
        ANOMALIB: "anomalib, curves at 300,000 thresholds (its default)",
        COARSE: "anomalib, curves at 30,000 thresholds",
        CURVES: "the class `AUPIMO`, with curves",
        CLASS: "the class `AUPIMO`, the average",
        FUNCTION: "`aupimo_scores`",
        ONE_PASS: "one `numpy.max` over the maps",
    }
    sizes = {size: rows for size, rows in sizes.items() if ANOMALIB in rows}
    lines = ["| | " + " | ".join(f"{size} x {size}" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name, text in names.items():
        cells = []
        for rows in sizes.values():
            row = rows[name]
            factor, unit = (1, "s") if row["seconds"] > 0.5 else (1e3, "ms")
            middle, low, high = (f"{factor * value:.3g}" for value in (row["seconds"], *row["quartiles"]))
            cells.append(f"{middle} {unit} ({low} to {high}), {row['extra_bytes'] / 1e6:,.1f} MB")
        lines.append(f"| {text} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--without-anomalib", action="store_true", help="leave out the slow one")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, *numbers = options.measure
        measure(what, *map(int, numbers))
        return
    names = [ONE_PASS, FUNCTION, CLASS, CURVES] + ([] if options.without_anomalib else [COARSE, ANOMALIB])
    processor = next(
        (line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    content = {
        "command": " ".join(["python", "tests/benchmarks/benchmark_aupimo.py", *sys.argv[1:]]),
        "machine": {
            "processor": processor.strip(),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.system(),
            "load": os.getloadavg()[0],
        },
        "versions": {name: version(name) for name in ("anomalib", "torch", "numpy")},
        "images": {"normal": NUM_NORMAL, "anomalous": NUM_ANOMALOUS},
        "sizes": {},
        "growth": {},
    }
    print(f"{content['machine']}; {NUM_NORMAL} + {NUM_ANOMALOUS} maps")
    print(f"\n{'size':>5}  {'':28} {'time: median (quartiles)':>24} {'extra memory, of the maps':>26}  difference")
    for size in TARGETS:
        # anomalib's own needs more memory than it is worth for the size in between
        content["sizes"][str(size)] = table(size, names if size != 512 else names[:4])
    print(f"\n{'size':>5}  {'ratio of times':40} {'measured':>10}  target")
    for size, targets in TARGETS.items():
        rows = content["sizes"][str(size)]
        pairs = [(FUNCTION, ONE_PASS), (CLASS, ONE_PASS), (CURVES, ONE_PASS)]
        pairs += [(name, CURVES) for name in (COARSE, ANOMALIB) if name in rows]
        ratios = {f"{one} / {other}": rows[one]["seconds"] / rows[other]["seconds"] for one, other in pairs}
        for name, ratio in ratios.items():
            print(f"{size:>5}  {name:40} {ratio:>10.2f}  {f'<= {targets[name]}' if name in targets else ''}")
        rows["ratios"] = ratios
    print(f"\n{'size':>5}  growth with the number of images ('{FUNCTION}')")
    for size, factors in {256: (1, 2, 4, 8), 1024: (1, 2, 4, 8)}.items():
        rows = {factor: summed_up([measured(FUNCTION, size, factor, 7)]) for factor in factors}
        for factor, row in rows.items():
            del row["scores"]
            slower = row["seconds"] / rows[1]["seconds"]
            print(
                f"{size:>5}  x{factor}: {row['seconds'] * 1e3:8.1f} ms ({slower:5.2f} x), "
                f"{row['extra_bytes'] / 2**20:6.1f} MiB ({row['extra_bytes'] / row['maps_bytes']:.2%} of the maps)"
            )
        content["growth"][str(size)] = {str(factor): row for factor, row in rows.items()}
    if not options.without_anomalib:
        print("\nfor the README:\n\n" + markdown(content["sizes"]))
    if options.json:
        options.json.write_text(json.dumps(content, indent=2) + "\n")
        print(f"\nwritten: {options.json}")


if __name__ == "__main__":
    main()
