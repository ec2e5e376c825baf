"""One process of the distributed test: ``python distributed_worker.py RANK RENDEZVOUS DATA RESULT SPLIT...``.

A SPLIT says which images each of the two ranks has: "0:11,11:16".
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed

from aupimo_helpers.metrics.metric import _ExactAUPIMO


def score(maps, masks, start, end, **arguments):
    metric = _ExactAUPIMO(**arguments)
    for position in range(start, end, 3):
        chosen = slice(position, min(position + 3, end))
        metric.update(maps[chosen], masks[chosen])
    computed = metric.compute()
    values = computed if metric.return_average else computed[1].aupimos
    dtype = None if metric.return_average else str(computed[0].thresholds.dtype)
    # compute() synchronises for its own duration only: afterwards the metric holds this rank's images again
    return [value.hex() for value in values.nan_to_num(-1).flatten().tolist()], metric.num_images, dtype


def main(rank, rendezvous, data, result, *splits):
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=2)
    maps, masks, budget = torch.load(data, weights_only=True)
    scores = {}
    for split in splits:
        start, end = (int(number) for number in split.split(",")[int(rank)].split(":"))
        average, _, _ = score(maps, masks, start, end, budget=budget)
        each, own, dtype = score(maps, masks, start, end, budget=budget, return_average=False)
        scores[split] = {"average": average, "each": each, "own images": own, "dtype": dtype}
    Path(f"{result}.{rank}").write_text(json.dumps(scores))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
