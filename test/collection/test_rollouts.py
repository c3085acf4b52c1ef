"""Rollouts with their outcome: what trust is measured on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.collection.recorded_policy import RecordingPolicy
from vla_humanoid_control.collection.recording import Recording, record
from vla_humanoid_control.collection.rollouts import (
    Plan,
    RolloutRecorder,
    drawn,
    of_suite,
)
from vla_humanoid_control.data.rollouts import RolloutsFolder, RolloutsHeader
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.rooms import TRAINED_ROOMS
from vla_humanoid_control.simulation.settings import PLAIN
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.phrasings import rehearsed
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.types import RobotChunk, RobotObservation

ROBOT = load_robot('humanoid')


def test_every_answer_is_kept_with_the_outcome_of_its_episode(tmp_path: Path) -> None:
    """As measuring trust reads it again."""
    policy = load_policy('scripted', ROBOT)
    recorder = RolloutRecorder(ROBOT, policy, 0.02)
    plan = Plan(Episode('one', 'turn left', Task.from_key('turn:left'), 5))
    hopeless = Plan(Episode('two', 'turn left', Task.from_key('turn:left'), 5), able=False)
    try:
        recorded, denied = recorder.record(plan), recorder.record(hopeless)
    finally:
        recorder.close()
    assert recorded.success and recorded.prompt == 'turn left' and not recorded.reason
    assert not denied.success and denied.reason
    assert recorded.tags['task'] == 'turn:left'
    stamps = [s.seen.stamp_ns for s in recorded.steps]
    assert len(stamps) > 10 and np.all(np.diff(stamps) > 0)
    assert all(s.seen.images['head'].shape == (192, 256, 3) for s in recorded.steps)
    assert 'claim' in recorded.steps[0].chunk.signals


def test_a_policy_that_comes_with_trust_is_recorded_without(tmp_path: Path) -> None:
    plan = Plan(Episode('one', 'turn left', Task.from_key('turn:left'), 5))
    folder = record(Recording('default', '', 'humanoid', 0.02, tmp_path), [plan], 1)
    recorded = folder.read('one')
    assert recorded.success and len(recorded.steps) > 3


@pytest.mark.parametrize('words', ['file my taxes', 'walk forward two metres',
                                   'turn left and then turn right'])
def test_what_is_beyond_the_reader_is_recorded_as_the_policy_hears_it(words: str, tmp_path: Path
                                                                      ) -> None:
    """Regression: it was refused or taken apart, and trust never saw what a policy makes of it."""
    plan = Plan(Episode('one', words, Task('out_of_scope'), 5), able=False)
    folder = record(Recording('default', '', 'humanoid', 0.02, tmp_path), [plan], 1)
    recorded = folder.read('one')
    assert recorded.prompt == words and len(recorded.steps) > 10


def test_an_episode_of_a_policy_that_never_is_done_ends_once_it_has_succeeded(tmp_path: Path
                                                                              ) -> None:
    policy = load_policy('scripted', ROBOT)
    infer = policy.infer
    policy.infer = lambda seen: replace(  # type: ignore[method-assign]
        infer(seen), progress=0.0, says_progress=False)
    recorder = RolloutRecorder(ROBOT, policy, 0.02)
    try:
        done, failed = (recorder.record(Plan(Episode(name, words, Task.from_key('turn:left'), 5)))
                        for name, words in (('one', 'turn left'), ('two', 'look up')))
    finally:
        recorder.close()
    assert done.success and not failed.success and 'reached_s' not in failed.tags
    assert float(done.tags['reached_s']) == pytest.approx(float(done.tags['seconds']) - 1.0)
    assert 1.0 < float(done.tags['seconds']) < Task.from_key('turn:left').time_limit_s
    folder = RolloutsFolder.create(tmp_path, RolloutsHeader.of('x', 'y', ROBOT.name, policy.spec,
                                                               0.02))
    folder.write(done)
    assert not any(s.chunk.says_progress for s in folder.read('one').steps)


def test_plans_are_the_same_each_time_and_of_three_kinds() -> None:
    plans = [drawn(ROBOT, 'val', n) for n in range(150)]
    assert plans[:20] == [drawn(ROBOT, 'val', n) for n in range(20)]
    assert len({p.episode.id for p in plans}) == 150
    absent = [p for p in plans if p.absent]
    beyond = [p for p in plans if not p.able and not p.absent]
    assert 5 < len(absent) < 30 and 8 < len(beyond) < 40
    known = set(rehearsed(None, 'val'))
    assert all(p.episode.instruction in known for p in beyond)
    assert 5 < sum(p.episode.view is not None for p in plans) < 50
    assert drawn(ROBOT, 'train', 3) != drawn(ROBOT, 'val', 3)
    of_one = [drawn(ROBOT, 'val', n, ['go_to:red:box']).episode.task.key for n in range(40)]
    assert {*of_one[1::2]} >= {'go_to:red:box'} and len({*of_one[::2]}) > 5


def test_half_of_the_scenes_are_harder_where_that_is_asked_for() -> None:
    plans = [drawn(ROBOT, 'val', n, harder=True) for n in range(120)]
    able = [p.episode.setting for p in plans if p.able]
    assert 0.3 < sum(s != PLAIN for s in able) / len(able) < 0.65
    assert {s.room for s in able} == set(TRAINED_ROOMS)
    assert all(drawn(ROBOT, 'val', n).episode.setting == PLAIN for n in range(40))


def test_of_a_suite_what_shows_nothing_real_is_left_out() -> None:
    walk = Task.from_key('move:forward')
    kept = Episode('a', 'walk forward', walk, 1)
    song = Episode('b', 'sing', Task('out_of_scope'), 1)
    plans = of_suite([kept, song, Episode('c', 'walk forward', walk, 1, camera='black')])
    assert [(p.episode, p.able) for p in plans] == [(kept, True), (song, False)]
    with pytest.raises(UserError, match='no camera shows anything real'):
        of_suite([Episode('c', 'walk forward', walk, 1, camera='black')])
    with pytest.raises(UserError, match='letters'):
        of_suite([Episode('../c', 'walk forward', walk, 1)])


def test_recording_changes_nothing_and_takes_once():
    plain, watched = ScriptedRobot(ROBOT), RecordingPolicy(ScriptedRobot(ROBOT))
    seen = RobotObservation(1, {'head': np.zeros((96, 128, 3), np.uint8)}, ROBOT.home)
    plain.reset('turn left')
    watched.reset('turn left')
    np.testing.assert_array_equal(plain.infer(seen).actions, watched.infer(seen).actions)
    assert [step.seen for step in watched.take()] == [seen]
    assert watched.take() == ()
    watched.infer(seen)
    assert watched.take('turn right') == ()
    assert watched.take('turn left') == ()


@pytest.mark.parametrize(('words', 'asked'), [('stop', False), ('  Please   stop  NOW ', False),
                                              ('have done with this strolling about', True)])
def test_what_is_recorded_belongs_to_the_words_that_it_was_inferred_under(words: str, asked: bool
                                                                         ) -> None:
    """Regression: the walk before a stop was kept under the words of the stop, as a success."""
    policy = Listening(ScriptedRobot(ROBOT))
    recorder = RolloutRecorder(ROBOT, policy, 0.02)
    try:
        episode = recorder.record(Plan(Episode('e', words, Task('stop'), 3)))
    finally:
        recorder.close()
    own = [o for heard, o in policy.heard if heard != 'walk forward']
    assert any(heard == 'walk forward' for heard, _ in policy.heard)
    assert bool(own) == asked
    assert len(episode.steps) == len(own)
    if asked:  # dead reckoning begins with the words: the walk is not in it
        assert np.abs(episode.steps[0].seen.travelled).max() < 0.02


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
