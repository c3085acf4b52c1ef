"""Rollouts with their outcome: what the confidence learns from."""

import numpy as np
import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.collection import rollouts as recording
from vla_humanoid_control.collection.rollouts import (
    RecordingPolicy,
    RolloutRecorder,
    RolloutShard,
)
from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.types import RobotChunk, RobotObservation

ROBOT = load_robot('humanoid')


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """Three episodes of the scripted policy, saved and read again as training does."""
    folder = tmp_path_factory.mktemp('rollouts')
    policy = ScriptedRobot(ROBOT)
    *_, (count, shard) = RolloutRecorder(ROBOT, policy, 'train').shard(1, 3)
    assert count == 3
    shard.save(folder / 'shard_00000', policy, 'train', 1)
    return shard, ShardSet(find_shards([folder])['train'], rollouts=True)


def test_every_frame_is_kept_with_the_outcome_of_its_episode(recorded):
    shard, read = recorded
    assert read.frame_count() == len(shard.frames) == len(read.samples)
    outcome = read.samples.rollout
    for episode in np.unique(outcome['episode']):
        of = outcome['episode'] == episode
        assert len(np.unique(outcome['success'][of])) == 1
        assert outcome['time_s'][of][0] == 0.0
        assert (np.diff(outcome['time_s'][of]) > 0).all()


def test_success_is_kept_as_it_came(tmp_path):
    policy = ScriptedRobot(ROBOT)
    policy.reset('turn left')
    seen = RobotObservation(5, {'head': np.zeros((96, 128, 3), np.uint8)}, ROBOT.home)
    shard = RolloutShard()
    for success in (True, False):
        shard.add('turn:left', 'turn left', success, [(seen, policy.infer(seen))] * 2,
                  policy.spec.image_size)
    shard.save(tmp_path / 'shard_00000', policy, 'val', 2)
    read = ShardSet(find_shards([tmp_path])['val'], rollouts=True)
    assert read.samples.rollout['success'].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert read.texts == ['turn left'] * 2


def test_recording_changes_nothing_and_takes_once():
    plain, watched = ScriptedRobot(ROBOT), RecordingPolicy(ScriptedRobot(ROBOT))
    seen = RobotObservation(1, {'head': np.zeros((96, 128, 3), np.uint8)}, ROBOT.home)
    plain.reset('turn left')
    watched.reset('turn left')
    np.testing.assert_array_equal(plain.infer(seen).actions, watched.infer(seen).actions)
    assert [o for o, _ in watched.take()] == [seen]
    assert watched.take() == []
    watched.infer(seen)
    assert watched.take('turn right') == []
    assert watched.take('turn left') == []


@pytest.mark.parametrize(('words', 'asked'), [('stop', False), ('  Please   stop  NOW ', False),
                                              ('have done with this strolling about', True)])
def test_what_is_recorded_belongs_to_the_words_that_it_was_inferred_under(
        monkeypatch: pytest.MonkeyPatch, words: str, asked: bool) -> None:
    """Regression: the walk before a stop was kept under the words of the stop, as a success."""
    monkeypatch.setattr(recording, '_draw_task', lambda rng: Task('stop'))
    monkeypatch.setattr(recording, 'rehearsed', lambda key, split: [words])
    policy = Listening(ScriptedRobot(ROBOT))
    *_, (_, shard) = RolloutRecorder(ROBOT, policy, 'val').shard(3, 2)
    own = [o for heard, o in policy.heard if heard != 'walk forward']
    assert any(heard == 'walk forward' for heard, _ in policy.heard)
    assert bool(own) == asked
    assert len(shard.frames) == len(own)
    assert len(shard.texts) == (2 if asked else 0)
    for number in range(len(shard.texts)):
        first = shard.columns['episode'].index(number)
        # Dead reckoning begins with the words: the walk is not in it.
        assert np.abs(shard.columns['travelled'][first]).max() < 0.02


class Listening:
    """A policy that notes under which words it was asked."""

    def __init__(self, policy: ScriptedRobot) -> None:
        self.spec, self._policy, self._words = policy.spec, policy, ''
        self.heard: list[tuple[str, RobotObservation]] = []

    def reset(self, instruction: str) -> None:
        self._words = instruction
        self._policy.reset(instruction)

    def close(self) -> None:
        self._policy.close()

    def infer(self, observation: RobotObservation) -> RobotChunk:
        self.heard.append((self._words, observation))
        return self._policy.infer(observation)
