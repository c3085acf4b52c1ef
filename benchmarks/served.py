"""What a policy server on this machine adds to the same policy in this process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Summary, summarise
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.policy.registry import load_policy, trust_of
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotObservation

WARM_UP = 10  # pairs that are not counted


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
    camera, durations = here.spec.cameras[0], np.zeros((count + WARM_UP, 2))
    with _serving(name, embodiment, robot) as address, \
            closing(load_policy(address, robot, embodiment, known)) as there:
        for policy in (here, there):
            policy.reset(instruction)
        for number in range(len(durations)):
            seen = RobotObservation(number, {camera: frames[number % len(frames)]}, robot.home,
                                    CHUNK_DT_S * number)
            for place, policy in enumerate((here, there)):
                began_ns = time.perf_counter_ns()
                policy.infer(seen)
                durations[number, place] = (time.perf_counter_ns() - began_ns) / 1e6
    counted = durations[WARM_UP:]
    return summarise(counted[:, 1].tolist()), summarise((counted[:, 1] - counted[:, 0]).tolist())


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
