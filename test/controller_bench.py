"""A controller that is driven by hand: senses every 20 ms, a tick at every fifth, an open gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scripted_robot import ScriptedRobot

from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.control.inference import Outcome, Request
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.types import JointReading, OdometryReading, RobotChunk

ROBOT = load_robot('humanoid')
SPEC = ScriptedRobot(ROBOT).spec
HOME = {j.name: j.home for j in ROBOT.joints}
STEP_S = 0.02


class ControllerBench:
    """What the benches of single files have in common.

    Args:
        robot: What is controlled.
        config: Of the controller.
        others: Further arguments of `Controller`.
    """

    def __init__(self, robot: RobotSpec = ROBOT, config: ControllerConfig | None = None,
                 **others: Any) -> None:
        self.controller = Controller(SPEC, robot, config or ControllerConfig(), FrameLimits(),
                                     TaskConfig(), **others)
        self.now_s, self.steps, self.random = 100.0, 0, np.random.default_rng(0)

    @property
    def stamp_ns(self) -> int:
        return int(self.now_s * 1e9)

    def step(self, joints: Mapping[str, float] = HOME, odometry: OdometryReading | None = None
             ) -> None:
        """Let 20 ms pass. Without a reading the base says that it stands where it began."""
        self.begin_step(joints)
        self.controller.on_odometry(odometry or OdometryReading(
            self.stamp_ns, np.zeros(3), np.zeros(3)), self.now_s)
        self.end_step()

    def begin_step(self, joints: Mapping[str, float] = HOME) -> None:
        self.now_s, self.steps = self.now_s + STEP_S, self.steps + 1
        self.controller.on_joints(JointReading(self.stamp_ns, joints), self.now_s)

    def end_step(self) -> None:
        if self.steps % 5 == 0:
            self.controller.tick(self.now_s)
        image = self.random.integers(0, 256, (8, 8, 3), np.uint8)
        self.controller.on_frame('head', image, self.stamp_ns, self.stamp_ns, self.now_s)

    def give(self, request: Request, actions: NDArray[np.float32], progress: float) -> None:
        """The policy answers, and the gate is open."""
        chunk = RobotChunk(SPEC.channels, actions, SPEC.dt_s, 0.9, progress)
        self.controller.on_outcome(Outcome(request, chunk, '', False, 0.01), self.now_s)
        self.controller.on_gated(True, '', self.now_s)

    def forward(self, request: Request, speed: float, progress: float = 0.1) -> None:
        """The policy answers with a base speed ahead [m/s]."""
        actions = np.zeros((SPEC.horizon, len(SPEC.channels)), np.float32)
        actions[:, 0] = speed
        self.give(request, actions, progress)
