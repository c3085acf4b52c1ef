"""The simulated body stands in for one robot, and says so to the file of another."""

from dataclasses import replace

import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.robot import RobotSpec, SensorSpec, load_robot
from vla_humanoid_control.simulation.world import World

ROBOT = load_robot('humanoid')


@pytest.mark.parametrize(('robot', 'what'), [
    (replace(ROBOT, joints=(*ROBOT.joints, replace(ROBOT.joints[0], name='tail'))), 'joint tail'),
    (replace(ROBOT, cameras={**ROBOT.cameras, 'wrist': SensorSpec('/wrist', 1.0)}),
     'camera wrist')])
def test_robot_that_the_body_does_not_fit_is_refused(robot: RobotSpec, what: str) -> None:
    """It used to end in a KeyError, or in a camera thread that died."""
    with pytest.raises(UserError, match=what):
        World(robot)
