"""Which body a robot has, by its file."""

from __future__ import annotations

import mujoco

from vla_humanoid_control.robot.anatomy import SimulationSpec
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.body import Body
from vla_humanoid_control.simulation.planar import PlanarBody


def make_body(robot: RobotSpec, simulation: SimulationSpec, model: mujoco.MjModel,
              data: mujoco.MjData) -> Body:
    """The body of a robot that is in a model.

    Raises:
        UserError: What its walking needs is not installed.
    """
    if not robot.walks:
        return PlanarBody(robot, model, data)
    # Here, so that robots without legs need nothing of what it imports.
    from vla_humanoid_control.simulation.legged import LeggedBody
    return LeggedBody(robot, simulation, model, data)
