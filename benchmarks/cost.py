"""What a model costs: parameters, milliseconds of an answer, memory. One process each.

    python -m benchmarks.cost MODEL OUT

With random weights, at the size that learns on two cores.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vla_humanoid_control.evaluation.latency import measure_latency_s
from vla_humanoid_control.models.checkpoint import save_untrained
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.policy.native import CheckpointPolicy
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot


def main() -> int:
    """Write the figures as JSON."""
    robot = load_robot('humanoid')
    with TemporaryDirectory() as folder:
        save_untrained(Path(folder), load_model_config(sys.argv[1], demo=True), robot)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        policy = load_policy(folder, robot, trust=None)
    assert isinstance(policy.policy, CheckpointPolicy)
    figures: dict[str, float] = {
        'parameters': sum(p.numel() for p in policy.policy.model.parameters())}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        figures[f'ms_{threads}'] = 1000 * measure_latency_s(policy, robot)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Path(sys.argv[2]).write_text(json.dumps({**figures, 'memory_mb': (after - before) / 1024}),
                                 encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
