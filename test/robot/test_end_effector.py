"""Where a hand is, and which joints bring it elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mink', reason='needs the simulator: pip install .[sim]')

from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError

ROBOT = load_robot('humanoid')
HOME = ROBOT.home


@pytest.fixture(scope='module')
def hand() -> EndEffector:
    return EndEffector(ROBOT, 'left_grasp')


def there(hand: EndEffector, row: np.ndarray, size: int) -> np.ndarray:
    positions = HOME.copy()
    positions[[ROBOT.joint_names.index(n) for n in hand.joints]] = row
    return hand.pose(positions, size)


def test_only_the_arm_moves(hand: EndEffector) -> None:
    assert hand.joints == tuple(f'left_{n}' for n in (
        'shoulder_pitch', 'shoulder_roll', 'shoulder_yaw', 'elbow', 'wrist_roll', 'wrist_pitch',
        'wrist_yaw'))


def test_the_two_hands_mirror_each_other(hand: EndEffector) -> None:
    left, right = hand.pose(HOME, 3), EndEffector(ROBOT, 'right_grasp').pose(HOME, 3)
    np.testing.assert_allclose(left, right * [1, -1, 1], atol=1e-6)
    assert left[1] > 0.1 and 0.2 < left[2] < 1.2  # to the left, above the floor


@pytest.mark.parametrize('size', [3, 6, 7])
def test_a_path_is_followed_within_joint_limits(hand: EndEffector, size: int) -> None:
    path = np.tile(hand.pose(HOME, size), (12, 1))
    path[:, 0] += np.linspace(0.01, 0.08, 12)
    path[:, 2] += np.linspace(0.01, 0.16, 12)
    rows = hand.follow(HOME, path)
    assert rows.shape == (12, 7)
    for row, target in zip(rows, path):
        np.testing.assert_allclose(there(hand, row, size), target, atol=2e-3)
    limits = [ROBOT.joint(n) for n in hand.joints]
    assert all(((j.lower - 1e-6 <= c) & (c <= j.upper + 1e-6)).all()
               for j, c in zip(limits, rows.T))
    assert np.abs(np.diff(rows, axis=0)).max() < 0.3  # no jump on the way


def test_what_is_out_of_reach_is_approached(hand: EndEffector) -> None:
    far = hand.pose(HOME, 3) + [2.0, 0.0, 0.5]
    row, = hand.follow(HOME, far[None])
    assert np.isfinite(row).all()
    before, after = (np.linalg.norm(far - p) for p in (hand.pose(HOME, 3), there(hand, row, 3)))
    assert after < before - 0.1


def test_a_motion_turns_in_the_frame_of_the_base(hand: EndEffector) -> None:
    start = hand.pose(HOME)
    turned = hand.moved(start, np.array([0.1, 0, 0, 0, 0, np.pi / 2]))
    np.testing.assert_allclose(turned[:3], start[:3] + [0.1, 0, 0])
    back = hand.moved(turned, np.array([-0.1, 0, 0, 0, 0, -np.pi / 2]))
    np.testing.assert_allclose(np.abs(back[3:] @ start[3:]), 1.0)
    np.testing.assert_allclose(hand.moved(start, np.array([0, 0.1, 0]))[3:], start[3:])


def test_what_the_robot_does_not_have_is_told() -> None:
    with pytest.raises(UserError, match=r'no end effector tail: its model has .*left_grasp'):
        EndEffector(ROBOT, 'tail')
    with pytest.raises(UserError, match='has no model'):
        EndEffector(replace(ROBOT, mjcf=None), 'left_grasp')
