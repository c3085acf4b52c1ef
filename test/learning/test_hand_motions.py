"""Demonstrations as motions of a hand, and back: a policy that gives them moves the arm so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_data import ROBOT

from vla_humanoid_control.collection.demonstrations import Collector
from vla_humanoid_control.data.shards import ShardSet
from vla_humanoid_control.interfaces import ActionChunk
from vla_humanoid_control.learning.hand_motions import MOTION, in_terms_of
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.spec import ModelSpec, policy_spec
from vla_humanoid_control.policy.embodiment import Embodiment
from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotObservation

pytest.importorskip('mink')

LEFT = {'effector': 'left_grasp', 'gripper': 'left_gripper'}
FRAMES = 30


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """What the expert shows of reaching and waving in the simulator."""
    pytest.importorskip('mujoco')
    path = tmp_path_factory.mktemp('data') / 'shard_00000'
    collector = Collector(ROBOT, tasks=['reach:red:box', 'gesture:raise_left'])
    for _, shard in collector.shard(3, FRAMES):
        made = shard
    made.save(path, ROBOT, 'train', 3)
    return ShardSet([path])


def test_a_motion_is_what_leads_from_pose_to_pose() -> None:
    hand, noise = EndEffector(ROBOT, 'left_grasp'), np.random.default_rng(0)
    pose = hand.pose(ROBOT.home)
    for _ in range(20):
        delta = np.r_[noise.normal(0, 0.1, 3), noise.normal(0, 0.5, 3)]
        then = hand.moved(pose, delta)
        np.testing.assert_allclose(hand.motion(pose, then), delta, atol=1e-9)
        pose = then


def test_a_policy_that_gives_the_motions_of_demonstrations_moves_the_hand_as_they_do(
        recorded: ShardSet) -> None:
    told = in_terms_of(LEFT, recorded)
    assert told.spec is not None and recorded.spec is not None
    assert told.spec.channels == (*MOTION, 'left_gripper')
    assert told.samples.actions.shape == (*recorded.samples.actions.shape[:2], 7)
    spec = policy_spec(ModelSpec(('head',), (128, 96), ROBOT.joint_names, told.spec.channels, 8,
                                 0.1, effector='left_grasp'), ())
    body, hand = Embodiment.fit(spec, ROBOT), EndEffector(ROBOT, 'left_grasp')
    names, places = body.control_spec.channels, []
    # The hand is where the arm brings it: what moves the shoulder itself is left as it was.
    arm = [*hand.joints, 'left_gripper']
    moved = 0.0
    for sample in range(0, len(told.samples), max(1, len(told.samples) // 12)):
        joints = recorded.joints[recorded.samples.frame[sample]].astype(np.float64)
        done = body.act(ActionChunk(told.samples.actions[sample], 0.5, {}), RobotObservation(
            1, {'head': np.zeros((96, 128, 3), np.uint8)}, joints))
        assert set(names) == set(arm)
        for row in (0, 7):
            asked, found = joints.copy(), joints.copy()
            for i, channel in enumerate(recorded.spec.channels):
                if channel in ROBOT.joint_names:
                    asked[ROBOT.joint_names.index(channel)] = \
                        recorded.samples.actions[sample, row, i]
            for channel, value in zip(names, done.actions[row]):
                found[ROBOT.joint_names.index(channel)] = value
            want, got = hand.pose(asked), hand.pose(found)
            gripper = ROBOT.joint_names.index('left_gripper')
            assert found[gripper] == pytest.approx(asked[gripper], abs=1e-5)
            places.append((np.linalg.norm(want[:3] - got[:3]),
                           np.linalg.norm(hand.motion(got, want)[3:])))
            moved = max(moved, float(np.linalg.norm(want[:3] - hand.pose(joints)[:3])))
    metres, radians = np.array(places).T
    assert moved > 0.05  # or nothing was tested
    assert np.quantile(metres, 0.9) < 0.002 and np.quantile(radians, 0.9) < 0.02


def test_the_configuration_of_a_model_says_which_hand(tmp_path: Path) -> None:
    whole = {'base': 'simple_vla', 'gives': {'hand': LEFT}}
    config = load_model_config(whole)
    assert config.hand == LEFT and config.space.channels == 7
    assert type(config).from_dict(config.to_dict(), 'again') == config
    assert 'hand' not in load_model_config('simple_vla').to_dict()['gives']
    for wrong in ({'hand': {'effector': 'left_grasp'}}, {'hand': LEFT, 'channels': 22},
                  {'hand': {**LEFT, 'wrist': 'x'}}):
        with pytest.raises(UserError, match=r'gives\.hand'):
            load_model_config({'base': 'simple_vla', 'gives': wrong})


def test_hands_that_are_not_there_are_refused(recorded: ShardSet) -> None:
    for wrong in ({'gripper': 'left_thumb'}, {'effector': 'left_foot_grasp'}):
        with pytest.raises(UserError, match='has no'):
            in_terms_of({**LEFT, **wrong}, recorded)
