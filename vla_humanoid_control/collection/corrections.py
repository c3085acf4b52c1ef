"""Lets a trained policy act while the expert labels the states that it gets into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.tasks.phrasings import phrasings
from vla_humanoid_control.types import BASE_CHANNELS, RobotObservation


class PolicyDriver:
    """A `collect.Driver` around a checkpoint."""

    def __init__(self, checkpoint: str, robot: RobotSpec) -> None:
        self._policy = load_policy(checkpoint, robot)
        self._rng = np.random.default_rng(0)

    def begin(self, key: str, seed: int) -> None:
        """Begin a task, in one of its training phrasings."""
        self._rng = np.random.default_rng(seed)
        self._policy.reset(str(self._rng.choice(phrasings(key, 'train'))))

    def act(self, observation: RobotObservation) -> tuple[NDArray[np.float64], dict[str, float]]:
        """The first action of the policy's chunk: base twist [3] and joint targets."""
        chunk = self._policy.infer(observation)
        joints = dict(zip(chunk.channels, chunk.actions[0].astype(float).tolist()))
        twist = np.array([joints.pop(channel, 0.0) for channel in BASE_CHANNELS])
        return twist, joints
