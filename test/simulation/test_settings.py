"""Harder scenes: read from suites, drawn so that the task can be done, and done by the expert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import StepsMonitor
from vla_humanoid_control.simulation.layout import Layout, sample_layout, scene_rng
from vla_humanoid_control.simulation.obstacles import OBSTACLES
from vla_humanoid_control.simulation.rooms import ROOMS, TRAINED_ROOMS
from vla_humanoid_control.simulation.scene import workplace
from vla_humanoid_control.simulation.settings import (
    BEHIND,
    HALF_HIDDEN,
    PLAIN,
    Setting,
    draw_setting,
)
from vla_humanoid_control.simulation.spots import discs_of, in_rectangle
from vla_humanoid_control.simulation.twins import locate_from
from vla_humanoid_control.simulation.ways import is_clear
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import advance
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
NAMES = [j.name for j in ROBOT.controlled]
BOX = Task.from_key('go_to:red:box')


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    one = World(ROBOT)
    yield one
    one.close()


def drawn(seed: int, setting: Setting, task: Task = BOX) -> Layout:
    return sample_layout(scene_rng(seed), task, workplace(ROBOT), setting)


@pytest.mark.parametrize('scene', [
    {'room': 'cellar'}, {'obstacles': 9}, {'obstacles': True}, {'target': 'gone'}, {'light': 1},
    'long', {'obstacles': -1}])
def test_what_is_no_setting_is_refused(scene: Any) -> None:
    with pytest.raises(UserError):
        Setting.from_mapping(scene, BOX)


@pytest.mark.parametrize(('key', 'scene'), [
    ('reach:red:box', {'target': BEHIND}), ('move:forward=2m', {'obstacles': 1}),
    ('turn:left+gesture:wave', {'room': 'long'})])
def test_a_setting_that_the_task_cannot_have_is_refused(key: str, scene: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Setting.from_mapping(scene, Task.from_key(key))


@pytest.mark.parametrize('setting', [
    PLAIN, Setting('corner'), Setting('long', 2), Setting(target=BEHIND)])
def test_it_is_read_as_it_was_written(setting: Setting) -> None:
    assert Setting.from_mapping(setting.to_mapping(), BOX) == setting


@pytest.mark.parametrize('room', ROOMS)
def test_obstacles_are_in_the_straight_way_and_leave_another(room: str) -> None:
    for seed in range(6):
        layout = drawn(seed, Setting(room, 2))
        goal = next(p for p in layout.objects if (p.colour, p.shape) == BOX.arguments)
        discs = discs_of((), layout.obstacles)
        start = layout.base_pose[:2]
        assert len(layout.obstacles) == 2
        assert not is_clear(start, goal.position[None, :2], discs)
        assert all(np.hypot(*(o.position - start)) > o.radius + 0.5 for o in layout.obstacles)


def test_what_is_behind_is_behind_and_what_hides_stands_before_it() -> None:
    for seed in range(6):
        layout = drawn(seed, Setting(target=BEHIND))
        goal = next(p for p in layout.objects if (p.colour, p.shape) == BOX.arguments)
        ahead, _ = locate_from(layout.base_pose, goal.position)
        assert ahead < 0
        layout = drawn(seed, Setting(target=HALF_HIDDEN))
        goal = next(p for p in layout.objects if (p.colour, p.shape) == BOX.arguments)
        post, = layout.obstacles
        way = goal.position[:2] - layout.base_pose[:2]
        along = (post.position - layout.base_pose[:2]) @ way / np.hypot(*way)
        assert 0.5 < along < np.hypot(*way) - 0.5


@pytest.mark.parametrize('room', ROOMS)
def test_everything_stands_inside_the_room_and_outside_its_walls(room: str) -> None:
    for seed in range(8):
        layout = drawn(seed, Setting(room))
        spots = [layout.base_pose[:2], *(p.position[:2] for p in layout.objects)]
        for spot in spots:
            assert (np.abs(spot) < ROOMS[room].half_m).all()
            assert not any(in_rectangle(spot, inner, 0.0) for inner in ROOMS[room].inner)


def test_what_is_drawn_to_learn_from_has_room_and_no_room_that_judges() -> None:
    rng = np.random.default_rng(0)
    settings = [draw_setting(rng, BOX) for _ in range(60)]
    assert {s.room for s in settings} == set(TRAINED_ROOMS)
    assert 20 < settings.count(PLAIN) < 40
    for seed, setting in enumerate(settings):
        drawn(seed, setting)


def test_a_scene_that_is_put_away_leaves_nothing_behind(world: World) -> None:
    world.reset(3, BOX)
    plain, scan = world.render(), world.scan_reading().ranges_m
    world.reset(4, BOX, setting=Setting('long', 3, HALF_HIDDEN))
    shown = [world.model.geom_group[world.model.geom(f'obstacle_{k}').id] for k in OBSTACLES]
    assert shown == [0] * len(OBSTACLES)
    walls = world.scan_reading().ranges_m
    assert np.isfinite(walls).all()
    world.reset(3, BOX)
    assert (world.render() == plain).all()
    assert (world.scan_reading().ranges_m == scan).all()


def test_the_laser_sees_an_obstacle(world: World) -> None:
    world.reset(7, BOX, setting=Setting(obstacles=1))
    obstacle, = world.layout.obstacles
    ahead, left = locate_from(world.base_pose(), obstacle.position)
    bearing, away = np.arctan2(left, ahead), np.hypot(ahead, left)
    scan = world.scan_reading()
    ray = round((bearing - scan.angle_min_rad) / scan.angle_increment_rad) % len(scan.ranges_m)
    assert away - 0.4 < scan.ranges_m[ray] < away


@pytest.mark.parametrize('setting', [
    Setting(obstacles=3), Setting('divided', 1), Setting('corner', 2, BEHIND),
    Setting('long', 0, HALF_HIDDEN)])
def test_the_expert_gets_there_and_keeps_its_distance(world: World, setting: Setting) -> None:
    world.reset(11, BOX, setting=setting)
    expert, monitor = Expert(ROBOT), StepsMonitor(BOX, world)
    travelled: Any = np.zeros(3)
    for step in range(400):
        state = observe(world, BOX, step * 0.1, travelled)
        action = expert.act(BOX, state)
        if action.progress >= 1:
            break
        for _ in range(5):
            world.apply(action.twist, action.joints)
            world.advance(0.02)
            travelled = advance(travelled, action.twist, 0.02)
            monitor.update(world)
        assert world.scan_reading().ranges_m.min() > 0.35
    assert monitor.success(world), monitor.problem(world)
