"""Finding objects: what is found where, by the shipped network, and by geometry alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('safetensors')
pytest.importorskip('mujoco')

import torch
from g1 import needs_g1

from vla_humanoid_control.perception.object_network import ObjectNetwork, without_norms
from vla_humanoid_control.perception.objects import load_finder
from vla_humanoid_control.perception.shipped_finder import shipped_finder
from vla_humanoid_control.robot.head_camera import HeadCamera
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.camera_noise import CameraNoise
from vla_humanoid_control.simulation.other_world import OtherWorld
from vla_humanoid_control.simulation.seeing import TrueView
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
TASKS = ('go_to:red:box', 'go_to:blue:ball', 'go_to:green:cup', 'go_to:yellow:cone')
HOME = {'neck_yaw': 0.0, 'neck_pitch': 0.15, 'waist_yaw': 0.0}


@pytest.fixture(scope='module')
def finder():
    return load_finder(ROBOT)


@pytest.fixture(scope='module')
def scenes():
    """Start views of tasks: picture, joints, the task, what is truly in view."""
    world = World(ROBOT)
    truth, noise = TrueView(world), CameraNoise(0)
    result = []
    for seed in range(24):
        task = replace(Task.from_key(TASKS[seed % 4]), twins=seed // 4 % 3)
        world.reset(seed, task)
        joints = world.joint_reading().positions
        result.append((noise.on(world.render()), joints, task, truth.in_view()))
    truth.close()
    world.close()
    return result


def test_the_right_number_of_the_named_kind(finder, scenes):
    wrong = []
    for number, (image, joints, task, true) in enumerate(scenes):
        count = Counter((o.colour, o.shape) for o in finder.find(image, joints))[task.arguments]
        expected = sum((o.colour, o.shape) == task.arguments for o in true)
        wrong += [number] * (count != expected)
    assert len(wrong) <= 1, wrong


def test_they_are_where_they_are(finder, scenes):
    bearings, distances = [], []
    for image, joints, task, true in scenes:
        found = [o for o in finder.find(image, joints) if (o.colour, o.shape) == task.arguments]
        for there in (o for o in true if (o.colour, o.shape) == task.arguments):
            if found:
                nearest = min(found, key=lambda o: abs(o.bearing_rad - there.bearing_rad))
                bearings.append(abs(nearest.bearing_rad - there.bearing_rad))
                distances.append(abs(nearest.distance_m - there.distance_m) / there.distance_m)
                assert not nearest.on_table
    assert len(bearings) > 30
    assert np.median(bearings) < np.radians(2.5) and np.median(distances) < 0.10


def test_a_smaller_picture_shows_the_same(finder, scenes):
    import cv2
    for image, joints, _, _ in scenes[:6]:
        small = cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA)
        kinds = [[(o.colour, o.shape) for o in finder.find(i, joints)] for i in (image, small)]
        assert kinds[0] == kinds[1]


def test_certain_ones_come_first(finder, scenes):
    for image, joints, _, _ in scenes[:8]:
        scores = [o.score for o in finder.find(image, joints)]
        assert scores == sorted(scores, reverse=True) and all(0 < s <= 1 for s in scores)


def test_where_nothing_is_nothing_is_found(finder):
    rng = np.random.default_rng(0)
    grey = np.full((480, 640, 3), 120, np.uint8)
    noise = rng.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    for image in (np.zeros_like(grey), grey, np.full_like(grey, 255), noise):
        assert finder.find(image, HOME) == ()


def test_another_world_has_hardly_any(finder):
    found = 0
    for seed in range(10):
        world = OtherWorld(np.random.default_rng(seed))
        found += len(finder.find(world.render(640, 480, 1.0), HOME))
        world.close()
    assert found <= 5


def test_without_norms_the_answers_are_the_same():
    torch.manual_seed(0)
    network = ObjectNetwork()
    pictures = torch.randn(2, 3, 64, 80)
    network(pictures)  # so that the statistics are not those of the beginning
    network.eval()
    for one, other in zip(network(pictures), without_norms(network)(pictures)):
        assert torch.allclose(one, other, atol=1e-4)


def test_weights_are_small_and_others_are_refused(tmp_path):
    assert resource_path('objects', 'network.safetensors').stat().st_size < 3_000_000
    with pytest.raises(UserError, match='no network'):
        load_finder(ROBOT, tmp_path / 'missing.safetensors')
    broken = tmp_path / 'broken.safetensors'
    broken.write_bytes(b'nothing')
    with pytest.raises(UserError, match='no network'):
        load_finder(ROBOT, broken)


def test_above_the_horizon_is_far():
    """A ray that never comes down to an object's height has a bearing, and the most distance."""
    from vla_humanoid_control.perception.objects import _FARTHEST_M, _where
    pose = HeadCamera(ROBOT).pose(HOME | {'neck_pitch': 0.0})
    for v in (0.1, 0.5):
        bearing, distance = _where(pose, pose.ray(0.3, v, 4 / 3), 0.15)
        assert distance == _FARTHEST_M and 0.2 < bearing < 0.6


@needs_g1
def test_a_robot_whose_views_it_does_not_know_is_not_looked_for() -> None:
    for known in (ROBOT, load_robot('unitree_g1')):
        assert shipped_finder(known)[0] is not None
    finder, why = shipped_finder(load_robot('unitree_g1_hands'))
    assert finder is None and 'not those of unitree_g1_hands' in why
