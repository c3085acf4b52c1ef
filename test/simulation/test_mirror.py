"""A world that follows another one is judged as that one is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.mirror import Mirror, object_name
from vla_humanoid_control.simulation.settings import Setting
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import wrap
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
SETTING = Setting('long', 2)


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    world = World(ROBOT)
    yield world
    world.close()


def copy(world: World, mirror: Mirror, later_s: float = 100.0) -> None:
    """What another simulator would tell: its own time, and yaw within half a turn."""
    pose = world.base_pose()
    mirror.follow(world.time_s + later_s, np.array([*pose[:2], wrap(pose[2])]), world.base_twist(),
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
    mirror.follow(101.0, world.base_pose(), np.zeros(3), {}, {name: pose})
    assert monitor.knocked_over(mirror.world)
    pose[0] += 0.1
    mirror.follow(101.5, world.base_pose(), np.zeros(3), {}, {name: pose})
    assert mirror.world.object_speed(index) == pytest.approx(0.2)
    mirror.close()


def test_a_robot_that_walks_is_refused() -> None:
    with pytest.raises(UserError, match=r'unitree_g1 walks'):
        Mirror(load_robot('unitree_g1'), 1, None)
