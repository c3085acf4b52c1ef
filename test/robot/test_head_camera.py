"""Where the head camera is, by the robot's own model: as in the simulator, whatever the joints."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.robot.head_camera import HeadCamera
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError

ROBOT = load_robot('humanoid')


def test_it_is_where_the_simulators_is():
    """But for how each scene's is mounted: by 6 mm and 0.015 rad."""
    world, camera = World(ROBOT), HeadCamera(ROBOT)
    rng = np.random.default_rng(0)
    assert set(camera.joints) == {'neck_yaw', 'neck_pitch', 'waist_yaw'}
    for seed in range(10):
        joints = {n: rng.uniform(ROBOT.joint(n).lower, ROBOT.joint(n).upper)
                  for n in camera.joints}
        world.reset(seed, posture=joints)
        world.place_base(np.zeros(3))
        pose, index = camera.pose(joints), world.model.cam('head').id
        assert np.abs(pose.position - world.data.cam_xpos[index]).max() < 0.03
        turned = pose.axes.T @ world.data.cam_xmat[index].reshape(3, 3)
        assert np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)) < 0.08
    world.close()


def test_rays_go_through_the_image():
    pose = HeadCamera(ROBOT).pose({'neck_yaw': 0.0, 'neck_pitch': 0.0, 'waist_yaw': 0.0})
    assert pose.ray(0.5, 0.5, 4 / 3) == pytest.approx([1, 0, 0])
    left_edge, bottom = pose.ray(0.0, 0.5, 4 / 3), pose.ray(0.5, 1.0, 4 / 3)
    half = np.tan(np.radians(75 / 2))
    assert left_edge == pytest.approx([1, 4 / 3 * half, 0])
    assert bottom == pytest.approx([1, 0, -half])
    assert pose.position[2] == pytest.approx(1.29, abs=0.01)


def test_what_has_no_camera_is_refused():
    with pytest.raises(UserError, match='no model'):
        HeadCamera(replace(ROBOT, mjcf=None))
    with pytest.raises(UserError, match='no camera wrist'):
        HeadCamera(ROBOT, 'wrist')
