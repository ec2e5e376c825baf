"""Time and memory of the exact AUPIMO, of anomalib's, and of one ``numpy.max`` pass, side by side.

    python tests/benchmarks/benchmark_aupimo.py                           # the table; about 3 minutes, 9 GB
    python tests/benchmarks/benchmark_aupimo.py --json tests/benchmarks/results.json
    python tests/benchmarks/benchmark_aupimo.py --without-anomalib        # 20 seconds, 5 GB

Each figure is measured in a process of its own: the memory is the highest resident set during the call less that
before it (Linux), the time the best of several calls (of one call for anomalib, whose calls take long).
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

NUM_NORMAL, NUM_ANOMALOUS = 32, 92
TARGETS = {
    256: {"anomalib / ours, time": (">=", 1000), "ours / numpy.max, time": ("<=", 3), "extra memory": ("<=", 0.05)},
    1024: {"anomalib / ours, time": (">=", 200), "ours / numpy.max, time": ("<=", 3), "extra memory": ("<=", 0.05)},
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


def measure(what, size, factor, repeats):
    """Measure one function in this process."""
    maps, masks = make_maps(size, factor)
    if what == "numpy.max":
        call = maps.max
    elif what == "ours":
        from aupimo_helpers.metrics import aupimo_scores

        def call():
            return aupimo_scores(maps, masks)
    elif what == "ours, class":
        import torch

        from aupimo_helpers.metrics.metric import _ExactAUPIMO

        def call():
            metric = _ExactAUPIMO()
            for start in range(0, len(maps), 32):
                rows = slice(start, start + 32)
                metric.update(torch.from_numpy(maps[rows]), torch.from_numpy(masks[rows]))
            state["bytes"] = metric.memory.nbytes
            return metric.compute()
    else:
        import torch
        from anomalib.metrics.pimo import functional

        def call():
            return functional.aupimo_scores(torch.from_numpy(maps), torch.from_numpy(masks))[4]

    state = {}
    small = make_maps(64, 1)  # first calls load libraries, threads and their stacks
    if what == "ours":
        aupimo_scores(*small, force=True)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            memory = peak_memory() - before
    print(
        json.dumps(
            {
                "seconds": min(seconds),
                "extra_bytes": memory,
                "maps_bytes": maps.nbytes,
                "state_bytes": state.get("bytes"),
                "average": float(np.nanmean(np.asarray(result))),
            }
        )
    )


def measured(what, size, factor=1, repeats=1):
    """Measure one function in a new process."""
    command = [sys.executable, __file__, "--measure", what, str(size), str(factor), str(repeats)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{what} at {size} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


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
    names = ["numpy.max", "ours", "ours, class"] + ([] if options.without_anomalib else ["anomalib"])
    content = {
        "command": " ".join(["python", "tests/benchmarks/benchmark_aupimo.py", *sys.argv[1:]]),
        "machine": {
            "processor": next(
                (
                    line.split(":")[1].strip()
                    for line in Path("/proc/cpuinfo").read_text().splitlines()
                    if "model name" in line
                ),
                platform.processor(),
            ),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.system(),
        },
        "versions": {name: version(name) for name in ("anomalib", "torch", "numpy")},
        "images": {"normal": NUM_NORMAL, "anomalous": NUM_ANOMALOUS},
        "sizes": {},
        "growth": {},
    }
    print(
        f"{content['machine']['processor']}, {content['machine']['cores']} cores; {NUM_NORMAL} + {NUM_ANOMALOUS} maps"
    )
    print(f"\n{'size':>5}  {'':12} {'time':>12} {'extra memory':>14} {'of the maps':>12} {'average':>8}")
    for size in TARGETS:
        rows = {name: measured(name, size, repeats=1 if name == "anomalib" else 15) for name in names}
        content["sizes"][str(size)] = rows
        for name, row in rows.items():
            share = row["extra_bytes"] / row["maps_bytes"]
            score = "" if name == "numpy.max" else f"{row['average']:.4f}"
            print(
                f"{size:>5}  {name:12} {row['seconds'] * 1e3:>9.1f} ms {row['extra_bytes'] / 2**20:>10.1f} MiB "
                f"{share:>12.2%} {score:>8}"
            )
    print(f"\n{'size':>5}  {'ratio':34} {'measured':>10}  target")
    for size, targets in TARGETS.items():
        rows = content["sizes"][str(size)]
        ratios = {
            "ours / numpy.max, time": rows["ours"]["seconds"] / rows["numpy.max"]["seconds"],
            "extra memory": rows["ours"]["extra_bytes"] / rows["ours"]["maps_bytes"],
            "state of the class": rows["ours, class"]["state_bytes"] / rows["ours"]["maps_bytes"],
        }
        if not options.without_anomalib:
            ratios["anomalib / ours, time"] = rows["anomalib"]["seconds"] / rows["ours"]["seconds"]
            ratios["anomalib / ours, extra memory"] = rows["anomalib"]["extra_bytes"] / max(
                1, rows["ours"]["extra_bytes"]
            )
        content["sizes"][str(size)]["ratios"] = ratios
        for name, ratio in ratios.items():
            sign, target = {**targets, "state of the class": ("<=", 0.03)}.get(name, ("", None))
            shown = f"{ratio:.2%}" if name in ("extra memory", "state of the class") else f"{ratio:.2f}"
            print(f"{size:>5}  {name:34} {shown:>10}  {sign} {'' if target is None else target}")
    print(f"\n{'size':>5}  growth with the number of images ('ours')")
    for size, factors in {256: (1, 2, 4, 8), 1024: (1, 2, 4, 8)}.items():
        rows = {factor: measured("ours", size, factor, 7) for factor in factors}
        content["growth"][str(size)] = {str(factor): row for factor, row in rows.items()}
        for factor, row in rows.items():
            slower = row["seconds"] / rows[1]["seconds"]
            print(
                f"{size:>5}  x{factor}: {row['seconds'] * 1e3:8.1f} ms ({slower:5.2f} x), "
                f"{row['extra_bytes'] / 2**20:6.1f} MiB ({row['extra_bytes'] / row['maps_bytes']:.2%} of the maps)"
            )
    if options.json:
        options.json.write_text(json.dumps(content, indent=2) + "\n")
        print(f"\nwritten: {options.json}")


if __name__ == "__main__":
    main()
