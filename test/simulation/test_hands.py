"""The G1 with fingers stands and walks, picks things up, and is judged by what it holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('mujoco')

from g1 import needs_g1

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.contacts import (
    borne,
    grasped_by,
    hands_at,
    held_by,
)
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS, keys_of

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


def run_expert(world: World, task: Task, seed: int) -> TaskMonitor:
    """Let the expert act until it is done, at the speed that joints have, and settle."""
    world.reset(seed, task)
    expert, monitor = Expert(world.robot), TaskMonitor(task, world)
    speed = {j.name: j.motion.velocity * 0.02 for j in world.robot.controlled}
    done_s = task.time_limit_s
    while world.time_s < done_s + task.settle_s:
        action = expert.act(task, observe(world, task, world.time_s, np.zeros(3)))
        if action.progress >= 1.0:
            done_s = min(done_s, world.time_s)
        for _ in range(5):
            now = world.joint_targets()
            world.apply(action.twist, {n: now[n] + float(np.clip(v - now[n], -speed[n], speed[n]))
                                       for n, v in action.joints.items()})
            world.advance(0.02)
            monitor.update(world)
    return monitor


@needs_g1
def test_the_expert_lifts_a_box_by_friction_and_a_hand_that_opens_drops_it(world: World) -> None:
    task = Task.from_key('pick:red:box')
    monitor = run_expert(world, task, 11)
    assert monitor.success(world) and world.time_s < task.time_limit_s and not world.fallen
    index = world.find('red', 'box')
    held, = held_by(world, index)
    assert grasped_by(world, index) == held
    world.apply(np.zeros(3), dict.fromkeys(world.robot.end_effectors[held].grip, 0.0))
    for _ in range(50):
        world.advance(0.02)
        monitor.update(world)
    assert not held_by(world, index) and not monitor.success(world)


@needs_g1
def test_the_expert_puts_a_box_down_beside_a_cup(world: World) -> None:
    task = Task.from_key('place:red:box:green:cup')
    monitor = run_expert(world, task, 22)
    assert monitor.success(world) and world.time_s < task.time_limit_s and not world.fallen
    box, cup = world.find('red', 'box'), world.find('green', 'cup')
    assert borne(world, box) and not hands_at(world, box)
    before = np.linalg.norm((world.objects[box].position - world.objects[cup].position)[:2])
    now = np.linalg.norm((world.object_poses()[box] - world.object_poses()[cup])[:2])
    assert now < 0.12 < before


@needs_g1
def test_what_is_in_the_air_and_in_no_hand_is_not_picked_up(world: World) -> None:
    task = Task.from_key('pick:blue:cup')
    world.reset(3, task)
    monitor, slot = TaskMonitor(task, world), world.objects[world.find('blue', 'cup')].slot
    joint = world.model.joint(f'object_{slot}')
    high = world.data.qpos[joint.qposadr[0] + 2] + 0.3
    for _ in range(70):
        world.data.qpos[joint.qposadr[0] + 2] = high
        world.data.qvel[joint.dofadr[0]:joint.dofadr[0] + 6] = 0
        world.advance(0.02)
        monitor.update(world)
    assert world.object_poses()[world.find('blue', 'cup')][2] > high - 0.05
    assert not monitor.success(world)


def test_a_robot_without_fingers_is_asked_for_nothing_of_the_kind() -> None:
    world, expert = World(load_robot('humanoid')), Expert(load_robot('humanoid'))
    task = Task.from_key('pick:red:box')
    with pytest.raises(UserError, match='the robot humanoid has no fingers'):
        world.reset(1, task)
    with pytest.raises(UserError, match='needs a robot whose hands have fingers'):
        expert.act(task, observe(world, Task.from_key('stop'), 0.0, np.zeros(3)))
    assert len(TASK_KEYS) == 47 and not set(TASK_KEYS) & set(keys_of('pick'))
    with pytest.raises(UserError, match='place needs two different objects'):
        Task.from_key('place:red:box:red:box')
