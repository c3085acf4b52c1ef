"""Scenes to learn seeing from: a seed decides them, and what is said of them holds."""

import numpy as np
import pytest

pytest.importorskip('mujoco')

from g1 import needs_g1

from vla_humanoid_control.collection.object_views import ViewSampler, rows_of
from vla_humanoid_control.data.object_views import COLUMNS
from vla_humanoid_control.robot.reader import load_robot


@pytest.fixture(scope='module')
def sampler():
    sampler = ViewSampler(load_robot('humanoid'))
    yield sampler
    sampler.close()


def test_a_seed_decides_the_views(sampler):
    first, again = sampler.scene(7), sampler.scene(7)
    assert all((a.image == b.image).all() and a.objects == b.objects and a.joints == b.joints
               for a, b in zip(first, again, strict=True))


def test_a_task_starts_with_all_alike_in_view(sampler):
    counts = set()
    for seed in range(12):
        (view,) = sampler.start(seed)
        kinds = [(o.seen.colour, o.seen.shape) for o in view.objects
                 if o.in_view and not o.seen.on_table]
        counts |= {kinds.count(kind) for kind in kinds}
    assert {1, 2, 3} <= counts


def test_scenes_hold_what_is_to_be_learnt(sampler):
    """Several of a kind, large and small ones, empty views, turned heads."""
    alike = small = large = empty = turned = 0
    for seed in range(24):
        for view in sampler.scene(seed):
            kinds = [(o.seen.colour, o.seen.shape) for o in view.objects if o.in_view]
            alike += len(set(kinds)) < len(kinds)
            empty += not kinds
            small += any(o.seen.on_table for o in view.objects if o.in_view)
            large += any(not o.seen.on_table for o in view.objects if o.in_view)
            turned += abs(view.joints['neck_yaw']) > 0.3
            assert set(view.joints) == {'neck_yaw', 'neck_pitch', 'waist_yaw'}
            rows = np.array(rows_of(view, 5)).reshape(-1, len(COLUMNS))
            assert (rows[:, 0] == 5).all() and len(rows) == len(view.objects)
            assert (rows[:, 6:10] >= 0).all() and (rows[:, 6:10] <= 1).all()
    assert min(alike, small, large, empty, turned) >= 5


@needs_g1
def test_another_robot_looks_through_its_own_camera():
    sampler = ViewSampler(load_robot('unitree_g1'))
    floor = table = 0
    for seed in range(8):
        for view in sampler.scene(seed):
            assert set(view.joints) == {'waist_yaw_joint', 'waist_roll_joint', 'waist_pitch_joint'}
            floor += any(not o.seen.on_table for o in view.objects if o.in_view)
            table += any(o.seen.on_table for o in view.objects if o.in_view)
    assert floor >= 3 and table >= 3
    assert sampler.start(0)[0].objects and sampler.robot == 'unitree_g1'
    sampler.close()
