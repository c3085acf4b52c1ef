"""Which tasks are for which robot."""

from __future__ import annotations

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.tasks.vocabulary import keys_of


def keys_for(robot: RobotSpec | None, family: str) -> tuple[str, ...]:
    """Every task key of a family, without gestures that a robot does not know."""
    return tuple(key for key in keys_of(family) if robot is None or family != 'gesture'
                 or robot.knows(key.partition(':')[2]))
