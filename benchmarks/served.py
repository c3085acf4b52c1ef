"""What a policy server on this machine adds to the same policy in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Summary, summarise
from benchmarks.local import passes_ms
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.policy.registry import load_policy, trust_of
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError


def served_pass(name: str, embodiment: str, trust: str, here: RobotPolicy, robot: RobotSpec,
                frames: Sequence[NDArray[np.uint8]], instruction: str, count: int
                ) -> tuple[Summary, Summary]:
    """`infer` behind `vla serve`, and by how much longer it takes than in this process.

    The two are asked in turns about the same frames, so that whatever slows the machine down slows
    both.

    Args:
        name: Of the policy, as on the command line.
        embodiment: Its mapping file, as there.
        trust: Its trust artifact, as there.
        here: The same policy, in this process.
        robot: The robot.
        frames: What it is shown, RGB uint8 [480, 640, 3] each.
        instruction: What it is told.
        count: Pairs.
    """
    artifact = trust_of(name, trust)
    known = str(artifact.folder) if artifact is not None else ''
    with _serving(name, embodiment, robot) as address, \
            closing(load_policy(address, robot, embodiment, known)) as there:
        in_process, served = passes_ms([here, there], robot, frames, instruction, count).T
    return summarise(served.tolist()), summarise((served - in_process).tolist())


@contextmanager
def _serving(name: str, embodiment: str, robot: RobotSpec) -> Iterator[str]:
    """The address of `vla serve` with this policy, in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, '-m', 'vla_humanoid_control.cli.main', 'serve', '--policy', name,
         '--robot', str(robot.file), '--port', '0',
         *(['--embodiment', embodiment] if embodiment else [])],
        stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        said = next((line for line in server.stdout if ' at openpi://' in line), '')
        if not said:
            raise UserError('vla serve has ended before it was ready; its error is above.')
        yield said.rpartition(' ')[2].strip()
    finally:
        server.terminate()
        server.communicate(timeout=30)
