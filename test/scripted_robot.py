"""The scripted policy, fitted to a robot: what tests run where any policy will do."""

from __future__ import annotations

from vla_humanoid_control.policy.embodiment import Embodiment, FittedPolicy
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.robot.spec import RobotSpec


class ScriptedRobot(FittedPolicy):
    """Subclasses change what it hears, sees or does, in the robot's terms."""

    def __init__(self, robot: RobotSpec) -> None:
        policy = ScriptedPolicy(robot)
        super().__init__(policy, Embodiment.fit(policy.spec, robot))
