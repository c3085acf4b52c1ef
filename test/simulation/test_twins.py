"""Scenes with several objects of one colour and shape: which is meant, and that one can tell."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.expert import observe
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.layout import sample_layout, scene_rng
from vla_humanoid_control.simulation.twins import APART_M, APART_RAD, meant
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')


@pytest.fixture(scope='module')
def world():
    world = World(ROBOT)
    yield world
    world.close()


def test_scenes_without_twins_are_what_they_were():
    """Suites and data sets name scenes by their seed: none may change, nor what is drawn later."""
    drawn = hashlib.sha256()
    for seed in range(20):
        for key in (None, 'go_to:red:box', 'reach:blue:cup', 'move:left', 'stop', 'gesture:wave',
                    'turn:around', 'move:forward=2m', 'go_to:green:ball+turn:left'):
            rng = scene_rng(seed)
            layout = sample_layout(rng, None if key is None else Task.from_key(key))
            numbers = [*layout.base_pose, *layout.tables.ravel()]
            for placed in layout.objects:
                drawn.update(f'{placed.slot} {placed.colour} {placed.shape} '
                             f'{placed.on_table}'.encode())
                numbers.extend(placed.position)
            drawn.update(' '.join(f'{n:.6f}' for n in numbers).encode())
            drawn.update(str(rng.integers(2 ** 40)).encode())
    assert drawn.hexdigest() == (
        'eb703e72b03e117c011321e37091cc79670cf9975d13e89cda50f3519502030b')


def seen_from_the_base(layout, indices):
    offsets = [rotate(*(layout.objects[i].position[:2] - layout.base_pose[:2]),
                      -layout.base_pose[2]) for i in indices]
    return (np.array([np.arctan2(y, x) for x, y in offsets]),
            np.array([np.hypot(x, y) for x, y in offsets]))


@pytest.mark.parametrize('twins', [1, 2])
@pytest.mark.parametrize('key', ['go_to:red:box', 'go_to:blue:ball@left', 'go_to:green:cup@right',
                                 'go_to:red:cone@near', 'go_to:yellow:cup@far', 'reach:red:cup',
                                 'reach:blue:box@left', 'reach:green:ball@right'])
def test_the_meant_one_stands_apart_from_the_others(key, twins):
    task = replace(Task.from_key(key), twins=twins)
    for seed in range(5):
        layout = sample_layout(scene_rng(seed), task)
        alike = [i for i, p in enumerate(layout.objects) if (p.colour, p.shape) == task.arguments]
        assert len(alike) == 1 + twins
        assert all((layout.objects[i].on_table is None) == (task.family == 'go_to')
                   for i in alike)
        goals = meant(layout.objects, layout.base_pose, task)
        bearings, distances = seen_from_the_base(layout, alike)
        if task.which is None:
            assert goals == tuple(alike)
            assert np.diff(np.sort(bearings)).min() >= APART_RAD
            continue
        (goal,) = goals
        others = [alike.index(i) for i in alike if i != goal]
        bearing, distance = bearings[alike.index(goal)], distances[alike.index(goal)]
        lead = {'left': bearing - bearings[others], 'right': bearings[others] - bearing,
                'near': distances[others] - distance,
                'far': distance - distances[others]}[task.which]
        assert lead.min() >= (APART_M if task.which in ('near', 'far') else APART_RAD)


@pytest.mark.parametrize('key', ['go_to:red:box', 'go_to:blue:ball@far'])
def test_all_of_them_are_in_view_from_the_start(world, key):
    for seed in range(8):
        task = replace(Task.from_key(key), twins=1 + seed % 2)
        world.reset(seed, task)
        alike = [i for i, p in enumerate(world.objects) if (p.colour, p.shape) == task.arguments]
        assert len(alike) == 1 + task.twins
        assert all(world.sees(i) for i in alike)


@pytest.mark.parametrize('which', ['left', 'right', 'near', 'far'])
def test_only_the_meant_one_is_right(world, which):
    task = Task.from_key(f'go_to:red:box@{which}')
    for seed in range(4):
        world.reset(seed, task)
        monitor = TaskMonitor(task, world)
        (goal,) = meant(world.objects, world.layout.base_pose, task)
        for index, placed in enumerate(world.objects):
            if (placed.colour, placed.shape) == ('red', 'box'):
                world.place_base(np.array([*placed.position[:2] - (0.6, 0), 0.0]))
                monitor.update(world)
                assert monitor.success(world) is (index == goal)


def test_where_it_is_left_open_each_of_them_is_right(world):
    task = replace(Task.from_key('go_to:red:box'), twins=1)
    world.reset(1, task)
    monitor = TaskMonitor(task, world)
    for placed in world.objects:
        world.place_base(np.array([*placed.position[:2] - (0.6, 0), 0.0]))
        named = (placed.colour, placed.shape) == task.arguments
        assert placed.on_table is not None or monitor.success(world) is named


def test_the_expert_goes_to_the_meant_one(world):
    for which in ('left', 'right'):
        task = Task.from_key(f'go_to:red:box@{which}')
        world.reset(3, task)
        (goal,) = meant(world.objects, world.layout.base_pose, task)
        target = observe(world, task, 0.0, np.zeros(3)).target
        assert target is not None
        expected = world.objects[goal].position[:2] - world.base_pose()[:2]
        assert np.hypot(*target.position[:2]) == pytest.approx(np.hypot(*expected))


def test_what_has_no_room_is_refused():
    crowded = Task('go_to', ('red', 'box'), twins=4)
    with pytest.raises(UserError, match='fewer'):
        sample_layout(scene_rng(0), crowded)
