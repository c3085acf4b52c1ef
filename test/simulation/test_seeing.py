"""What is truly in view: bearings, distances, boxes, and what something stands before."""

import colorsys
import itertools
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mujoco')

import mujoco

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.seeing import IN_VIEW, TrueView
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import locate
from vla_humanoid_control.tasks.task import Task

HUE = {'red': 0.0, 'green': 0.35, 'blue': 0.60, 'yellow': 0.145}
TWO = replace(Task.from_key('go_to:red:box'), twins=1)


@pytest.fixture(scope='module')
def world():
    world = World(load_robot('humanoid'))
    yield world
    world.close()


@pytest.fixture(scope='module')
def view(world):
    view = TrueView(world)
    yield view
    view.close()


def put(world, index, ahead, left):
    """Put an object on the floor; ahead and left as seen from a base at the origin."""
    slot = world.objects[index].slot
    world.data.joint(f'object_{slot}').qpos[:2] = (ahead, left)
    mujoco.mj_forward(world.model, world.data)


def two_boxes(world):
    world.reset(2, TWO)
    world.place_base(np.zeros(3))
    for index, placed in enumerate(world.objects):
        if placed.on_table is None and (placed.colour, placed.shape) != TWO.arguments:
            put(world, index, -3.0, 3.0)
    return [i for i, p in enumerate(world.objects) if (p.colour, p.shape) == TWO.arguments]


def test_bearing_distance_and_box_of_what_stands_free(world, view):
    first, second = two_boxes(world)
    put(world, first, 2.0, 0.8)
    put(world, second, 1.6, -0.5)
    seen = {t.index: t for t in view.objects()}
    for index, ahead, left in ((first, 2.0, 0.8), (second, 1.6, -0.5)):
        found = seen[index].seen
        assert found.bearing_rad == pytest.approx(np.arctan2(left, ahead))
        assert found.distance_m == pytest.approx(np.hypot(ahead, left))
        assert seen[index].in_view and not found.on_table and found.score > 0.95
        left_edge, top, right, bottom = found.box
        assert left_edge < seen[index].centre[0] < right
        assert top < seen[index].centre[1] < bottom
    assert seen[first].seen.box[2] < seen[second].seen.box[0]


def test_what_stands_behind_another_is_seen_less(world, view):
    first, second = two_boxes(world)
    put(world, first, 1.5, 0.0)
    put(world, second, 1.95, 0.8)
    assert {t.index: t for t in view.objects()}[second].seen.score > 0.95
    put(world, second, 1.95, 0.0)
    seen = {t.index: t.seen for t in view.objects()}
    assert 0.3 < seen[second].score < 0.8 and seen[first].score > 0.95


def test_what_is_inside_of_a_table_is_not_in_view(world, view):
    _, second = two_boxes(world)
    x, y = locate(world.layout.tables[0], -1.6, 0.0)
    world.place_base(np.array([x, y, world.layout.tables[0][2]]))
    put(world, second, *locate(world.layout.tables[0], 0.08, 0.0))
    assert second not in [t.index for t in view.objects() if t.in_view]


def test_what_is_cut_by_the_edge_counts_by_its_share(world, view):
    first, second = two_boxes(world)
    put(world, second, -2.0, 0.0)
    shares = []
    for left in np.linspace(1.2, 2.6, 24):
        put(world, first, 2.0, left)
        seen = {t.index: t.seen.score for t in view.objects()}
        assert second not in seen
        shares.append(seen.get(first, 0.0))
    assert shares[0] > 0.95 and shares[-1] == 0.0
    assert any(0.2 < share < IN_VIEW for share in shares)
    assert all(a >= b - 0.05 for a, b in itertools.pairwise(shares))


def test_it_is_what_the_picture_shows(world, view):
    """The middle of each ball, box and cone in view has the colour of its name."""
    checked = 0
    for seed in range(12):
        world.reset(seed, replace(TWO, arguments=('blue', 'ball')))
        image = world.render()
        for true in view.objects():
            if true.pixels < 150 or true.seen.score < 0.95 or true.seen.shape == 'cup':
                continue
            left, top, right, bottom = true.seen.box
            red, green, blue = image[int(480 * (top + bottom) / 2), int(640 * (left + right) / 2)]
            hue, saturation, _ = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
            away = abs((hue - HUE[true.seen.colour] + 0.5) % 1 - 0.5)
            assert away < 0.05 and saturation > 0.5, (seed, true)
            checked += 1
    assert checked > 10
