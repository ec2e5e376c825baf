"""torchmetrics' own synchronisation: two processes give the bits of one."""

import json
import math
import subprocess
import sys
from pathlib import Path

import torch

from aupimo_helpers.metrics import aupimo_scores

WORKER = Path(__file__).with_name("distributed_worker.py")


# uneven, the second process has no normal images; and uneven, it has no images at all
SPLITS = ["0:11,11:16", "0:16,16:16"]


def test_two_processes_give_the_bits_of_one(test_set, tmp_path):
    maps, masks = test_set()
    torch.save((maps, masks), tmp_path / "data.pt")
    shared = [str(tmp_path / name) for name in ("rendezvous", "data.pt", "result")]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER), rank, *shared, *SPLITS], stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=300)
            assert worker.returncode == 0, errors
    finally:
        for worker in workers:
            worker.kill()
    expected = aupimo_scores(maps, masks)
    for rank in (0, 1):
        results = json.loads((tmp_path / f"result.{rank}").read_text())
        for split in SPLITS:
            assert results[split]["each"] == [value.hex() for value in expected.nan_to_num(-1).tolist()]
            assert results[split]["average"] == [(math.fsum(expected[8:].tolist()) / 8).hex()]
            start, end = map(int, split.split(",")[rank].split(":"))
            assert results[split]["own images"] == end - start
