"""What a checkpoint costs: parameters, milliseconds of an answer, memory. One process each.

    python -m benchmarks.cost CHECKPOINT OUT
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from vla_humanoid_control.interfaces import Observation, Prompt
from vla_humanoid_control.policy.native import CheckpointPolicy

_ANSWERS = 30


def main() -> int:
    """Write the figures as JSON."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    policy = CheckpointPolicy.load(Path(sys.argv[1]))
    rng = np.random.default_rng(0)
    seen = Observation(
        0, {f.role: rng.integers(0, 255, (len(f.times_s), f.size[1], f.size[0], 3), np.uint8)
            for f in policy.spec.images},
        {s.name: np.zeros((1, len(s.channels))) for s in policy.spec.states})
    policy.reset(Prompt('go to the red box'))
    figures = {'parameters': sum(p.numel() for p in policy.model.parameters())}
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(_ANSWERS):  # in turns, so that a slow moment of the machine hits both
        for threads, spent in times.items():
            torch.set_num_threads(threads)
            began = time.perf_counter()
            policy.infer(seen)
            if turn >= 3:
                spent.append(time.perf_counter() - began)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    Path(sys.argv[2]).write_text(json.dumps(
        {**figures, **{f'ms_{t}': 1000 * float(np.median(v)) for t, v in times.items()},
         'memory_mb': memory}), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
