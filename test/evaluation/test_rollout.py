"""Closed-loop episodes in the simulator, and the report made of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vla_humanoid_control.evaluation.report import (
    EARLY_S,
    build_report,
    early_confidence,
    failures,
    save_report,
    table,
)
from vla_humanoid_control.evaluation.rollout import EpisodeResult, Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.robot import load_robot
from vla_humanoid_control.simulation.tasks import Task
from vla_humanoid_control.types import ActionChunk, Observation

ROBOT = load_robot('humanoid')


@pytest.fixture(scope='module')
def rollout() -> Iterator[Rollout]:
    runner = Rollout(ROBOT, ScriptedPolicy(ROBOT))
    yield runner
    runner.close()


def episode(instruction: str, key: str, seed: int = 1) -> Episode:
    return Episode('e', instruction, Task.from_key(key), seed)


@pytest.mark.parametrize(('instruction', 'key'), [
    ('walk forward', 'move:forward'), ('step to the right', 'move:right'),
    ('turn left', 'turn:left'), ('turn around', 'turn:around'), ('look up', 'gesture:look_up'),
    ('raise your left hand', 'gesture:raise_left'), ('stop', 'stop')])
def test_the_scripted_policy_succeeds_at_what_it_knows(rollout: Rollout, instruction: str,
                                                       key: str) -> None:
    result = rollout.run(episode(instruction, key))
    assert result.success, result.reason
    assert result.declared_done
    assert result.reason == ''
    assert 0.0 <= result.seconds <= Task.from_key(key).time_limit_s


def test_doing_another_thing_than_asked_is_no_success(rollout: Rollout) -> None:
    result = rollout.run(episode('turn left', 'turn:right'))
    assert result.declared_done
    assert not result.success
    assert 'declared done' in result.reason


def test_an_instruction_beyond_the_policy_ends_as_failed_after_its_retries(
        rollout: Rollout) -> None:
    result = rollout.run(episode('file my taxes', 'move:forward'))
    assert not result.success
    assert not result.declared_done
    assert result.retries == rollout.task.max_retries
    assert 'confidence' in result.reason
    assert result.mean_confidence == pytest.approx(0.05)


def test_the_same_episode_gives_the_same_result(rollout: Rollout) -> None:
    first, second = (rollout.run(episode('walk forward', 'move:forward', 5)) for _ in range(2))
    assert first == second


class _Hesitant(ScriptedPolicy):
    """Reaches the goal, but never says that it is done."""

    def infer(self, observation: Observation) -> ActionChunk:
        chunk = super().infer(observation)
        return ActionChunk(chunk.channels, chunk.actions, chunk.dt_s, chunk.confidence, 0.5)


class _Broken(ScriptedPolicy):
    def infer(self, observation: Observation) -> ActionChunk:
        raise RuntimeError('no such weight')


class _NotANumber(ScriptedPolicy):
    def infer(self, observation: Observation) -> ActionChunk:
        chunk = super().infer(observation)
        return ActionChunk(chunk.channels, np.full_like(chunk.actions, np.nan), chunk.dt_s, 0.9, 0)


@pytest.mark.parametrize(('policy', 'says'), [
    (_Hesitant, 'not declared done.*though it was reached'), (_Broken, 'no such weight'),
    (_NotANumber, 'not finite')])
def test_what_is_no_success_says_why(policy: type[ScriptedPolicy], says: str) -> None:
    runner = Rollout(ROBOT, policy(ROBOT))
    try:
        result = runner.run(episode('look left', 'gesture:look_left'))
    finally:
        runner.close()
    assert not result.success
    assert not result.declared_done
    assert re.search(says, result.reason), result.reason


def result(success: bool, confidence: float, task: str = 'move', seconds: float = 4.0,
           **fields: object) -> EpisodeResult:
    trace = tuple((t, confidence) for t in np.arange(0.0, seconds, 0.1).tolist())
    values = {'id': 'x', 'task': task, 'key': task, 'instruction': 'go', 'success': success,
              'declared_done': success, 'seconds': seconds, 'mean_confidence': confidence,
              'safety_interventions': 0, 'reason': '' if success else 'why', 'confidences': trace}
    return EpisodeResult(**{**values, **fields})  # type: ignore[arg-type]


def test_report_counts_and_judges() -> None:
    report = build_report([result(True, 0.9), result(True, 0.8, 'turn'), result(False, 0.2)], 0.6)
    assert report['families']['move'] == {
        'n': 2, 'successes': 1, 'wilson_low': pytest.approx(0.0945, abs=1e-4),
        'wilson_high': pytest.approx(0.9055, abs=1e-4)}
    assert set(report['families']) == {'move', 'turn'}
    assert report['auroc'] == 1.0
    assert report['balanced_accuracy'] == 1.0
    assert report['ece'] == pytest.approx((0.1 + 0.2 + 0.2) / 3)
    assert {'id', 'task', 'success', 'declared_done', 'seconds', 'mean_confidence',
            'safety_interventions'} <= set(report['episodes'][0])
    assert 'move' in table(report)
    assert 'why' in failures(report)


def test_confidence_that_only_reports_the_outcome_at_the_end_gains_nothing() -> None:
    """A confidence that drops once the failure is over would look perfect by its mean."""
    late = [(t, 0.75) for t in np.arange(0, EARLY_S, 0.1)] + [(EARLY_S + 1, 0.0)] * 50
    failed = result(False, 0.4, confidences=tuple(late))
    assert early_confidence(failed) == 0.75
    assert build_report([result(True, 0.75), failed], 0.6)['auroc'] == 0.5


def test_false_stops_and_detection_time_follow_the_gate() -> None:
    dips = [(0.1, 0.9), (0.2, 0.3), (0.3, 0.9)]
    starts_low = [(0.1, 0.3), (0.2, 0.9)]  # the gate only opens later: nothing was stopped
    drops = [(0.1, 0.9), (1.5, 0.2)]
    report = build_report([
        result(True, 0.8, confidences=tuple(dips)),
        result(True, 0.8, confidences=tuple(starts_low)),
        result(False, 0.5, confidences=tuple(drops)), result(False, 0.9)], 0.6, 0.45)
    assert report['false_stop_rate'] == 0.5
    assert report['detected_rate'] == 0.5
    assert report['detection_s'] == 1.5


def test_measures_that_are_not_defined_are_null_and_said_so(tmp_path: Path) -> None:
    report = build_report([result(True, 0.9), result(True, 0.0, 'stop', confidences=())], 0.6)
    assert report['auroc'] is None
    assert report['n_judged'] == 1
    assert 'not defined' in table(report)
    path = tmp_path / 'deep' / 'report.json'
    picture = save_report(report, path)
    assert json.loads(path.read_text())['auroc'] is None
    assert picture is not None
    assert picture.read_bytes().startswith(b'\x89PNG')
