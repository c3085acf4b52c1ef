"""The G1 with fingers stands and walks, and its hands open and close."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('mujoco')

from g1 import needs_g1

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.world import World

OPEN_FLOOR = np.array([-25.0, 0.0, 0.0])


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    world = World(load_robot('unitree_g1_hands'))
    yield world
    world.close()


def walk(world: World, twist: tuple[float, float, float], seconds: float) -> np.ndarray:
    """How far the base came in the world: x, y, turned."""
    before = world.base_pose()
    for _ in range(round(seconds / 0.02)):
        world.apply(np.array(twist), {})
        world.advance(0.02)
    return world.base_pose() - before


@needs_g1
def test_its_file_has_43_joints_within_those_of_the_model_and_fingers_on_both_hands(
        world: World) -> None:
    robot = world.robot
    assert len(robot.joints) == 43 and len(robot.controlled) == 28
    assert robot.grasps == ('left', 'right') and not load_robot('unitree_g1').grasps
    for joint in robot.joints:
        lower, upper = world.model.joint(joint.name).range
        assert lower - 1e-4 <= joint.lower <= joint.home <= joint.upper <= upper + 1e-4


@needs_g1
def test_it_walks_stops_and_stands_with_hands_that_open_and_close(world: World) -> None:
    world.reset(1)
    world.place_base(OPEN_FLOOR)
    walk(world, (0.5, 0.0, 0.0), 2.0)
    grip = {n: v for side in world.robot.grasps
            for n, v in world.robot.end_effectors[side].grip.items()}
    world.apply(np.zeros(3), grip)
    assert walk(world, (0.5, 0.0, 0.0), 6.0)[0] / 6.0 == pytest.approx(0.5, rel=0.15)
    now = world.joint_reading().positions
    assert all(abs(now[name] - value) < 0.1 for name, value in grip.items())
    assert np.hypot(*walk(world, (0.0, 0.0, 0.0), 1.0)[:2]) < 0.6
    assert np.hypot(*walk(world, (0.0, 0.0, 0.0), 20.0)[:2]) < 0.03
    assert not world.fallen and world.tilt_rad < 0.1
