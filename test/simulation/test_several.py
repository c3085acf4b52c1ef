"""Several tasks and amounts: judged on worlds that the test drives, and room for them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import StepsMonitor
from vla_humanoid_control.simulation.layout import Layout, sample_layout, scene_rng
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import locate
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import MOVES, WAVE_S

ROBOT = load_robot('humanoid')
NAMES = [j.name for j in ROBOT.controlled]


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    one = World(ROBOT)
    yield one
    one.close()


def begin(world: World, key: str) -> StepsMonitor:
    task = Task.from_key(key)
    world.reset(5, task)
    return StepsMonitor(task, world)


def shift(world: World, forward: float = 0.0, left: float = 0.0, turn_deg: float = 0.0) -> None:
    """Put the base elsewhere, as seen from where it is [m, m, degrees]."""
    pose = world.base_pose()
    world.place_base(np.array([*locate(pose, forward, left), pose[2] + np.radians(turn_deg)]))


# --- amounts --------------------------------------------------------------------------------


@pytest.mark.parametrize(('key', 'forward', 'left', 'good'), [
    ('move:forward=2m', 2.0, 0.0, True), ('move:forward=2m', 1.72, 0.0, True),
    ('move:forward=2m', 1.68, 0.0, False), ('move:forward=2m', 2.28, 0.0, True),
    ('move:forward=2m', 2.32, 0.0, False), ('move:forward=2m', 2.0, 0.28, True),
    ('move:forward=2m', 2.0, -0.32, False), ('move:forward=2m', -2.0, 0.0, False),
    ('move:backward=1m', -0.9, 0.1, True), ('move:backward=1m', 0.9, 0.0, False),
    ('move:left=0.3m', 0.0, 0.34, True), ('move:left=0.3m', 0.0, 0.36, False),
    ('move:left=0.3m', 0.06, 0.3, False), ('move:forward=0.1m', 0.0, 0.0, False)])
def test_a_way_counts_within_fifteen_percent(world: World, key: str, forward: float, left: float,
                                             good: bool) -> None:
    monitor = begin(world, key)
    for _ in range(4):
        shift(world, forward / 4, left / 4)
        monitor.update(world)
    assert monitor.success(world) is good
    assert bool(monitor.problem(world)) is not good


@pytest.mark.parametrize(('key', 'turned', 'good'), [
    ('turn:left=90deg', 81, True), ('turn:left=90deg', 79, False),
    ('turn:left=90deg', 101, False), ('turn:left=90deg', -90, False),
    ('turn:right=45deg', -54, True), ('turn:left=360deg', 0, False),
    ('turn:left=360deg', 355, True), ('turn:right=450deg', -445, True),
    ('turn:around=360deg', -352, True), ('turn:left=15deg', 0, False)])
def test_a_turn_counts_within_ten_degrees_and_unwrapped(world: World, key: str, turned: float,
                                                        good: bool) -> None:
    monitor = begin(world, key)
    for _ in range(10):
        shift(world, turn_deg=turned / 10)
        monitor.update(world)
    assert monitor.success(world) is good


def test_what_is_wrong_with_an_amount_is_told(world: World) -> None:
    monitor = begin(world, 'move:forward=2m')
    shift(world, 1.31, 0.04)
    monitor.update(world)
    assert monitor.problem(world) \
        == 'declared done, but it was not: moved 1.31 m and 0.04 m across'
    monitor = begin(world, 'turn:right=90deg')
    shift(world, turn_deg=-30)
    monitor.update(world)
    assert monitor.problem(world).endswith('turned 30 degrees to the right')


# --- one after the other --------------------------------------------------------------------

THREE = 'turn:left+move:backward=1m+gesture:look_up'


def turn(world: World) -> None:
    shift(world, turn_deg=85)


def back(world: World) -> None:
    shift(world, forward=-0.95)


def look(world: World) -> None:
    world.place_joints({'neck_pitch': -0.4})


def test_in_order_and_declared_done_is_a_success(world: World) -> None:
    monitor = begin(world, THREE)
    for step, do in enumerate((turn, back, look)):
        monitor.update(world, step)
        do(world)
        monitor.update(world, step)
        assert monitor.success(world) is (step == 2)
    assert monitor.problem(world) == ''


def test_another_order_is_none(world: World) -> None:
    monitor = begin(world, THREE)
    for step, do in enumerate((back, turn, look)):
        monitor.update(world, step)
        do(world)
        monitor.update(world, step)
    assert monitor.problem(world) \
        == 'step 1 of 3 (turn:left) was not achieved when the robot went on'


def test_a_step_that_is_skipped_fails_whatever_comes_after(world: World) -> None:
    monitor = begin(world, THREE)
    turn(world)
    monitor.update(world, 0)
    monitor.update(world, 2)
    look(world)
    monitor.update(world, 2)
    assert monitor.problem(world) == 'from step 1 of 3 (turn:left) the robot went on to step 3'


def test_done_before_the_last_step_is_not_done(world: World) -> None:
    monitor = begin(world, THREE)
    turn(world)
    monitor.update(world, 0)
    back(world)
    monitor.update(world, 1)
    assert monitor.problem(world) == 'declared done at step 2 of 3 (move:backward=1m)'


def test_a_wrong_amount_within_several_steps_is_measured_when_the_robot_goes_on(
        world: World) -> None:
    monitor = begin(world, THREE)
    turn(world)
    monitor.update(world, 1)
    shift(world, forward=-0.6)
    monitor.update(world, 2)
    shift(world, forward=-0.4)  # too late
    look(world)
    monitor.update(world, 2)
    assert monitor.problem(world) == (
        'step 2 of 3 (move:backward=1m) was not achieved when the robot went on: '
        'moved 0.60 m and 0.00 m across')


def test_more_steps_than_were_asked_for_are_no_success(world: World) -> None:
    monitor = begin(world, 'turn:left+gesture:look_up')
    turn(world)
    monitor.update(world, 1)
    look(world)
    monitor.update(world, 2)
    assert 'went on after step 2 of 2 (gesture:look_up)' in monitor.problem(world)


@pytest.mark.parametrize(('waves', 'good'), [(2, True), (1, False)])
def test_each_of_several_waves_is_judged_from_its_own_beginning(world: World, waves: int,
                                                                good: bool) -> None:
    """With one monitor for all of it, the swings of the first wave would do for the second."""
    monitor, expert = begin(world, 'gesture:wave=2times'), Expert(ROBOT)
    wave = Task.from_key('gesture:wave')
    for step in range(2):
        for tick in range(round((WAVE_S + 0.5) / 0.1)):
            if step < waves:
                state = observe(world, wave, 0.1 * tick, np.zeros(3))
                action = expert.act(wave, state)
                world.apply(np.zeros(3), {n: action.joints[n] for n in NAMES})
            for _ in range(5):
                world.advance(0.02)
                monitor.update(world, step)
    assert monitor.success(world) is good


@pytest.mark.parametrize('between', [0.0, -0.4], ids=['home', 'up'])
def test_a_look_that_stays_is_not_a_second_one(world: World, between: float) -> None:
    monitor = begin(world, 'gesture:look_up=2times')
    world.place_joints({'neck_pitch': -0.4})
    monitor.update(world, 0)
    monitor.update(world, 1)
    world.place_joints({'neck_pitch': between})
    monitor.update(world, 1)
    world.place_joints({'neck_pitch': -0.4})
    monitor.update(world, 1)
    assert monitor.success(world) is (between == 0.0)


# --- room for it ----------------------------------------------------------------------------


def scene(key: str, seed: int) -> Layout:
    return sample_layout(scene_rng(seed), Task.from_key(key))


@pytest.mark.parametrize('distractors', [None, 0, 3])
def test_everything_that_the_steps_name_is_where_it_must_be(distractors: int | None) -> None:
    key = 'reach:red:cup+reach:blue:cone+gesture:wave+go_to:green:box+go_to:red:ball'
    task = Task.from_key(key)
    task = Task(task.family, distractors=distractors, steps=task.steps)
    for seed in range(6):
        layout = sample_layout(scene_rng(seed), task)
        placed = {(p.colour, p.shape): p.on_table for p in layout.objects}
        assert len(placed) == len(layout.objects)
        assert placed['red', 'cup'] == placed['blue', 'cone'] == 0
        assert placed['green', 'box'] is placed['red', 'ball'] is None
        assert distractors is None or len(placed) >= 4 + distractors


@pytest.mark.parametrize('key', ['move:forward=3m', 'move:left=2m', 'move:backward=1.5m'])
def test_a_way_is_free_to_its_end(key: str) -> None:
    task = Task.from_key(key)
    assert task.amount is not None
    direction = np.array(MOVES[task.arguments[0]])
    for seed in range(12):
        layout = scene(key, seed)
        for along in np.arange(0.2, task.amount.value + 0.4, 0.05):
            spot = np.array(locate(layout.base_pose, *(direction * along)))
            assert np.abs(spot).max() < 3.5 - 0.55
            for placed in layout.objects:
                if placed.on_table is None:
                    assert np.linalg.norm(spot - placed.position[:2]) > 0.5


def test_each_step_has_room_where_the_one_before_it_ends() -> None:
    for seed in range(6):
        layout = scene('go_to:red:box+go_to:blue:ball', seed)
        first, second = (next(p for p in layout.objects if (p.colour, p.shape) == pair)
                         for pair in (('red', 'box'), ('blue', 'ball')))
        offset = first.position[:2] - layout.base_pose[:2]
        stands = first.position[:2] - 0.66 * offset / np.linalg.norm(offset)
        assert np.linalg.norm(second.position[:2] - stands) >= 1.1  # it is not there already


@pytest.mark.parametrize('key', ['go_to:red:box+move:forward', 'go_to:red:box+go_to:red:box'])
def test_what_has_room_nowhere_is_said(key: str) -> None:
    with pytest.raises(UserError, match=r'has room in none of \d+ scenes'):
        scene(key, 1)


@pytest.mark.parametrize(('key', 'seed', 'pose', 'spot'), [
    ('go_to:red:box', 3, (-0.441991, -1.391759, -0.794039), (-0.136439, 1.465017, 0.15)),
    ('reach:blue:cup', 2 ** 40 + 9, (-2.458425, -0.656333, 3.18325), (-1.429884, 1.014396, 0.16)),
    ('move:left', 7, (-1.315942, -1.28717, 0.4714), (1.197175, -1.139772, 0.16)),
    ('stop', 5, (-1.867822, -0.624359, -1.665641), (-1.566452, 2.340021, 0.18))])
def test_scenes_of_single_tasks_stand_as_they_always_did(key: str, seed: int, pose: tuple[float],
                                                         spot: tuple[float]) -> None:
    """Data sets, suites and recorded outcomes rely on them."""
    layout = scene(key, seed)
    assert layout.base_pose == pytest.approx(np.array(pose), abs=1e-5)
    assert layout.objects[0].position == pytest.approx(np.array(spot), abs=1e-5)
