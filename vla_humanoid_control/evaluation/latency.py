"""How long a policy takes to answer on this machine, to be played back in simulated time."""

from __future__ import annotations

import statistics
import time

import numpy as np

from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotObservation

INFERENCES = 40
WARM_UP = 5
LONGEST_S = 10.0
"""A latency beyond this is refused: no task could be done in time."""


def measure_latency_s(policy: RobotPolicy, robot: RobotSpec) -> float:
    """Median time of one inference, camera image to chunk, on an otherwise idle process [s].

    Args:
        policy: Is reset afterwards by whoever uses it next.
        robot: Whose posture and cameras it is shown.
    """
    noise = np.random.default_rng(0)
    policy.reset('walk forward')
    taken_s = []
    for index in range(WARM_UP + INFERENCES):
        observation = noise_observation(policy, robot, noise, index)
        began_s = time.perf_counter()
        policy.infer(observation)
        taken_s.append(time.perf_counter() - began_s)
    return statistics.median(taken_s[WARM_UP:])


def noise_observation(policy: RobotPolicy, robot: RobotSpec, noise: np.random.Generator,
                      index: int = 0) -> RobotObservation:
    """A robot at home whose cameras show noise: what any policy can be asked about."""
    width, height = policy.spec.image_size
    images = {camera: noise.integers(0, 256, (2 * height, 2 * width, 3), np.uint8)
              for camera in policy.spec.cameras}
    positions = np.array([robot.joint(n).home for n in policy.spec.joint_names])
    return RobotObservation(int((index + 1) * policy.spec.dt_s * 1e9), images, positions)


def read_latency(text: str) -> float | None:
    """What `--latency` says: seconds; None for 'measured'.

    Raises:
        UserError: It is neither.
    """
    if text == 'measured':
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= LONGEST_S:
        raise UserError(f"--latency must be 'measured' or 0 to {LONGEST_S:g} seconds, got {text}.")
    return seconds
