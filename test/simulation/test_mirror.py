"""A world that follows another one is judged as that one is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import mujoco
import numpy as np
import pytest
from g1 import needs_g1

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.mirror import Mirror, object_name
from vla_humanoid_control.simulation.settings import Setting
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
SETTING = Setting('long', 2)


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    world = World(ROBOT)
    yield world
    world.close()


def base(world: World) -> np.ndarray:
    """Position and quaternion of a base that slides."""
    x, y, yaw = world.base_pose()
    return np.array([x, y, 0.0, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])


def copy(world: World, mirror: Mirror, later_s: float = 100.0) -> None:
    """What another simulator would tell: its own time, and yaw within half a turn."""
    mirror.follow(world.time_s + later_s, base(world), world.base_twist(),
                  world.joint_reading().positions,
                  {object_name(p): pose for p, pose in zip(world.objects, world.object_poses())})


@pytest.mark.parametrize('key', ['move:backward', 'turn:around', 'gesture:wave',
                                 'gesture:raise_left', 'go_to:red:box', 'reach:blue:cup'])
def test_a_task_succeeds_here_when_it_does_there(world: World, key: str) -> None:
    task = Task.from_key(key)
    world.reset(3, task, setting=SETTING.of(task))
    mirror = Mirror(ROBOT, 3, task, SETTING.of(task))
    assert mirror.names == tuple(object_name(p) for p in world.objects)
    copy(world, mirror)
    expert = Expert(ROBOT)
    there, here = TaskMonitor(task, world), TaskMonitor(task, mirror.world)
    verdicts, travelled = set(), np.zeros(3)
    while world.time_s < task.time_limit_s and verdicts != {False, True}:
        action = expert.act(task, observe(world, task, world.time_s, travelled))
        world.apply(action.twist, action.joints)
        for _ in range(5):
            before = world.base_pose()
            world.advance(0.02)
            travelled = travelled + abs(world.base_pose() - before)
            copy(world, mirror)
            there.update(world)
            here.update(mirror.world)
        assert here.success(mirror.world) == there.success(world)
        verdicts.add(here.success(mirror.world))
    mirror.close()
    assert verdicts == {False, True}


def test_what_falls_over_there_has_fallen_here(world: World) -> None:
    task = Task.from_key('go_to:red:box')
    world.reset(5, task)
    mirror = Mirror(ROBOT, 5, task)
    copy(world, mirror)
    monitor = TaskMonitor(task, mirror.world)
    index = next(i for i, p in enumerate(world.objects) if p.shape != 'ball')
    name, pose = mirror.names[index], world.object_poses()[index]
    pose[3:] = (np.cos(0.4), np.sin(0.4), 0, 0)
    assert not monitor.knocked_over(mirror.world)
    mirror.follow(101.0, base(world), np.zeros(3), {}, {name: pose})
    assert monitor.knocked_over(mirror.world)
    pose[0] += 0.1
    mirror.follow(101.5, base(world), np.zeros(3), {}, {name: pose})
    assert mirror.world.object_speed(index) == pytest.approx(0.2)
    mirror.close()


@needs_g1
def test_a_robot_that_walks_is_followed_with_its_sway_until_it_falls() -> None:
    robot, task = load_robot('unitree_g1'), Task.from_key('move:forward')
    with closing(World(robot)) as world, closing(Mirror(robot, 2, task)) as mirror:
        world.reset(2, task)
        hand = robot.end_effectors['left'].site
        root = world.model.body_rootid[world.model.body('torso_link').id]
        there, here = TaskMonitor(task, world), TaskMonitor(task, mirror.world)
        leans = []
        for step in range(220):
            world.apply(np.array([0.4, 0.0, 0.0]), {'left_elbow_joint': 1.0})
            if step == 200:  # thrown over
                world.data.qvel[3:6] = (0.0, 12.0, 0.0)
            world.advance(0.02)
            mujoco.mj_kinematics(world.model, world.data)
            turn = world.data.xmat[root].reshape(3, 3)
            pose = np.array([*world.data.xpos[root] - turn @ world.model.body_pos[root],
                             *world.data.xquat[root]])
            mirror.follow(world.time_s, pose, world.base_twist(),
                          world.joint_reading().positions, {})
            np.testing.assert_allclose(mirror.world.data.site(hand).xpos,
                                       world.data.site(hand).xpos, atol=1e-6)
            there.update(world)
            here.update(mirror.world)
            assert here.success(mirror.world) == there.success(world)
            assert mirror.world.tilt_rad == pytest.approx(world.tilt_rad, abs=1e-6)
            leans.append(mirror.world.tilt_rad)
            if step == 199:
                assert not mirror.world.fallen and max(leans) > 0.02
        np.testing.assert_allclose(mirror.world.base_pose(), world.base_pose(), atol=1e-6)
