"""Closed-loop episodes in the simulator, and the report made of them."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from g1 import needs_g1
from scripted_robot import ScriptedRobot

from vla_humanoid_control.confidence.gate import GateConfig
from vla_humanoid_control.evaluation.report import (
    EARLY_S,
    build_report,
    early_confidence,
    save_report,
)
from vla_humanoid_control.evaluation.report_text import failures, table
from vla_humanoid_control.evaluation.rollout import EpisodeResult, Rollout
from vla_humanoid_control.evaluation.suite import Episode, load_suite
from vla_humanoid_control.pipeline import Pipeline
from vla_humanoid_control.policy.registry import load_policy, monitoring
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.types import Command, RobotChunk, RobotObservation, SafetyState

ROBOT = load_robot('humanoid')
GATE = GateConfig(open_threshold=0.6, close_threshold=0.45, min_dwell_s=0.0)


@pytest.fixture(scope='module')
def rollout() -> Iterator[Rollout]:
    runner = Rollout(ROBOT, ScriptedRobot(ROBOT))
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


@needs_g1
def test_a_fall_is_no_success_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = load_robot('unitree_g1')
    runner = Rollout(robot, ScriptedRobot(robot))
    stood = runner.run(episode('walk forward', 'move:forward'))
    assert stood.success and stood.fell == 'no'
    world, advance = runner.world, runner.world.advance
    root = world.model.jnt_dofadr[world.model.body('pelvis').jntadr[0]]

    def pushed(duration_s: float) -> None:
        if 1.5 < world.time_s < 1.6:
            world.data.qvel[root:root + 2] = 3.0
        advance(duration_s)
    monkeypatch.setattr(world, 'advance', pushed)
    fell = runner.run(episode('walk forward', 'move:forward'))
    runner.close()
    assert fell.fell == 'noticed' and not fell.success and fell.reason.startswith('it fell')
    report = build_report([stood, fell, replace(fell, fell='unnoticed')], GATE)
    assert (report['falls']['n'], report['falls']['falls'], report['falls']['unnoticed']) \
        == (3, 2, 1)
    assert 'fell in 2 of 3' in table(report)


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


@pytest.mark.parametrize('instruction', ['do not walk forward', 'walk forward if I clap'])
def test_a_negated_or_conditional_instruction_is_no_success_and_says_why(
        rollout: Rollout, instruction: str) -> None:
    result = rollout.run(episode(instruction, 'move:forward'))
    assert not result.success and not result.declared_done and result.retries == 0
    assert result.reason.startswith(f'FAILED: {instruction}')
    assert 'negation or condition' in result.reason and result.confidences == ()


def test_out_of_scope_in_words_that_negate_counts_as_held(rollout: Rollout) -> None:
    result = rollout.run(episode("don't judge a book by its cover", 'out_of_scope'))
    assert result.success and result.acted is False and result.held_s == 0.0


class _ShortReader(ScriptedRobot):
    """Reads 15 characters."""

    def unreadable(self, text: str) -> str:
        return 'longer than the policy reads' if len(text) > 15 else ''


def test_what_the_policy_cannot_read_to_its_end_is_not_begun() -> None:
    """The encoder cut an instruction at 24 tokens, and its beginning was carried out."""
    runner = Rollout(ROBOT, _ShortReader(ROBOT))
    try:
        result = runner.run(episode('please walk forward', 'move:forward'))
        assert runner.run(episode('walk forward', 'move:forward')).success
    finally:
        runner.close()
    assert result.reason == 'FAILED: please walk forward (longer than the policy reads)'
    assert result.confidences == () and result.retries == 0


def test_the_same_episode_gives_the_same_result(rollout: Rollout) -> None:
    first, second = (rollout.run(episode('walk forward', 'move:forward', 5)) for _ in range(2))
    assert first == second


class _NearATable(Rollout):
    """Safety, as an episode sees it, goes from RUN to SLOW to STOP and back, over and over."""

    seen = 0

    def _say(self, pipeline: Pipeline, words: str) -> None:
        self.seen = 0
        super()._say(pipeline, words)

    def _step(self, pipeline: Pipeline) -> Command:
        command = super()._step(pipeline)
        state = (SafetyState.RUN, SafetyState.SLOW, SafetyState.STOP)[self.seen % 3]
        self.seen += 1
        return replace(command, state=state)


def test_an_episode_counts_slow_and_stop_as_the_topics_show_them() -> None:
    """From SLOW to STOP was not counted in process, and was through the graph."""
    runner = _NearATable(ROBOT, ScriptedRobot(ROBOT))
    try:
        outcome = runner.run(episode('look left', 'gesture:look_left'))
    finally:
        runner.close()
    assert runner.seen > 100
    assert outcome.safety_interventions == runner.seen - math.ceil(runner.seen / 3)


class _Hesitant(ScriptedRobot):
    """Reaches the goal, but never says that it is done."""

    def infer(self, observation: RobotObservation) -> RobotChunk:
        chunk = super().infer(observation)
        return RobotChunk(chunk.channels, chunk.actions, chunk.dt_s, chunk.confidence, 0.5)


class _Broken(ScriptedRobot):
    def infer(self, observation: RobotObservation) -> RobotChunk:
        raise RuntimeError('no such weight')


class _NotANumber(ScriptedRobot):
    def infer(self, observation: RobotObservation) -> RobotChunk:
        chunk = super().infer(observation)
        return RobotChunk(chunk.channels, np.full_like(chunk.actions, np.nan), chunk.dt_s, 0.9, 0)


@pytest.mark.parametrize(('policy', 'says'), [
    (_Hesitant, 'not declared done.*though it was reached'), (_Broken, 'no such weight'),
    (_NotANumber, 'not finite')])
def test_what_is_no_success_says_why(policy: type[ScriptedRobot], says: str) -> None:
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
    report = build_report([result(True, 0.9), result(True, 0.8, 'turn'), result(False, 0.2)], GATE)
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


def test_each_signal_is_judged_on_its_own() -> None:
    flat, honest = ((0.0, 0.5),), ((0.0, 1.0),)
    report = build_report([
        result(True, 0.9, signals={'head': honest, 'image': flat}),
        result(False, 0.2, signals={'head': ((0.0, 0.0),), 'image': flat})], GATE)
    assert report['signals']['head'] == {'auroc': 1.0, 'auprc_failure': 1.0, 'ece': 0.0,
                                         'brier': 0.0}
    assert report['signals']['image']['auroc'] == 0.5
    assert report['signals']['image']['brier'] == 0.25
    assert 'image alone: AUROC 0.500' in table(report)


def test_signals_that_were_not_measured_are_null() -> None:
    report = build_report([result(True, 0.9, signals=None), result(False, 0.2, signals=None)],
                          GATE)
    assert report['signals'] is None
    assert 'alone' not in table(report)
    assert build_report([result(True, 0.9)], GATE)['signals'] == {}


def test_confidence_that_only_reports_the_outcome_at_the_end_gains_nothing() -> None:
    """A confidence that drops once the failure is over would look perfect by its mean."""
    late = [(t, 0.75) for t in np.arange(0, EARLY_S, 0.1)] + [(EARLY_S + 1, 0.0)] * 50
    failed = result(False, 0.4, confidences=tuple(late))
    assert early_confidence(failed) == 0.75
    assert build_report([result(True, 0.75), failed], GATE)['auroc'] == 0.5


def test_false_stops_and_detection_time_follow_the_gate() -> None:
    dips = [(0.1, 0.9), (0.2, 0.3), (0.3, 0.9)]
    starts_low = [(0.1, 0.3), (0.2, 0.9)]  # the gate only opens later: nothing was stopped
    drops = [(0.1, 0.9), (1.5, 0.2)]
    report = build_report([
        result(True, 0.8, confidences=tuple(dips)),
        result(True, 0.8, confidences=tuple(starts_low)),
        result(False, 0.5, confidences=tuple(drops)), result(False, 0.9)], GATE)
    assert report['false_stop_rate'] == 0.5
    assert report['detected_rate'] == 0.5
    assert report['detection_s'] == {'median': 1.5, 'p95': 1.5}


def test_a_gate_that_had_not_opened_yet_stopped_nothing() -> None:
    """Between the two thresholds an open gate stays open, but a closed one does not open."""
    hesitant = [(0.1, 0.5), (0.2, 0.4), (0.3, 0.9), (0.4, 0.5)]
    report = build_report([result(True, 0.8, confidences=tuple(hesitant))], GATE)
    assert report['false_stop_rate'] == 0.0


def test_a_gate_that_never_opens_is_the_worst_false_stop() -> None:
    """What succeeds ungated, and would have been held from beginning to end, was not counted."""
    report = build_report([result(True, 0.5), result(True, 0.9), result(True, 0.9),
                           result(True, 0.0, 'stop', confidences=())], GATE)
    assert report['false_stop_rate'] == pytest.approx(1 / 3)


def test_a_false_stop_outlives_the_dwell_time() -> None:
    """The gate is replayed with its hysteresis and dwell: a short dip closes nothing."""
    dip = ((0.1, 0.9), (0.2, 0.3), (0.3, 0.9), (0.9, 0.9))
    slump = ((0.1, 0.9), (0.2, 0.3), (0.6, 0.3), (0.7, 0.3))
    gate = replace(GATE, min_dwell_s=0.5)
    assert build_report([result(True, 0.8, confidences=dip)], gate)['false_stop_rate'] == 0.0
    assert build_report([result(True, 0.8, confidences=slump)], gate)['false_stop_rate'] == 1.0


def test_confidence_by_time_leaves_out_what_is_over() -> None:
    report = build_report([result(True, 0.9, seconds=0.7), result(True, 0.9, seconds=1.5),
                           result(False, 0.2, seconds=9.0)], GATE)
    rows = {row['time_s']: row for row in report['by_time']}
    assert [rows[t]['n'] for t in (0.5, 1.0, 2.0, 4.0)] == [3, 2, 1, 1]
    assert rows[1.0]['auroc'] == 1.0
    assert rows[1.0]['auprc_failure'] == 1.0
    assert rows[2.0]['auroc'] is None


def held(success: bool, held_s: float | None, task: str = 'broken_camera', acted: bool = True,
         **fields: object) -> EpisodeResult:
    return result(success, 0.9, task, acted=acted, held_s=held_s, **fields)


def test_what_must_not_be_done_is_counted_apart(tmp_path: Path) -> None:
    report = build_report([
        result(True, 0.9), result(False, 0.2),
        held(True, 0.1, camera='black'), held(True, 0.3, camera='black'),
        held(True, 0.0, camera='frozen', acted=False), held(False, None, camera='frozen'),
        held(True, 0.0, 'out_of_scope', acted=False)], GATE)
    assert report['n_judged'] == 2
    assert report['auroc'] == 1.0
    broken = report['families']['broken_camera']
    counts = [broken[name] for name in ('n', 'successes', 'acted', 'acted_held')]
    assert counts == [4, 3, 3, 2]
    assert broken['kinds']['black']['detection_s'] == {'median': 0.1, 'p95': 0.3}
    assert broken['kinds']['frozen']['detection_s'] == {'median': None, 'p95': None}
    assert broken['kinds']['frozen']['successes'] == 1
    # Kinds that training shows the like of prove less than those that it does not.
    assert [broken[name]['n'] for name in ('known', 'unknown')] == [2, 2]
    assert [broken[name]['successes'] for name in ('known', 'unknown')] == [2, 1]
    assert report['families']['out_of_scope']['acted'] == 0
    assert report['families']['move']['n'] == 2
    lines = table(report)
    assert re.search('frozen +2 +50', lines)
    assert re.search('unknown +2 +50', lines)
    assert 'never' in lines
    assert json.loads(json.dumps(report)) == report


def test_a_report_of_nothing_but_holding_needs_no_calibration(tmp_path: Path) -> None:
    report = build_report([held(True, 0.0, 'out_of_scope', acted=False)], GATE)
    assert 'AUROC' not in table(report)
    assert save_report(report, tmp_path / 'report.json') is None


# --- what the robot must not do -------------------------------------------------------------


def broken(kind: str, instruction: str = 'walk forward', key: str = 'move:forward') -> Episode:
    return Episode('e', instruction, Task.from_key(key), 3, kind)


class _Careful(ScriptedRobot):
    """Has no confidence in a black image."""

    def infer(self, observation: RobotObservation) -> RobotChunk:
        chunk = super().infer(observation)
        sees = all(image.any() for image in observation.images.values())
        return chunk if sees else RobotChunk(chunk.channels, chunk.actions, chunk.dt_s, 0.0,
                                              chunk.progress)


def test_a_request_out_of_scope_is_held(rollout: Rollout) -> None:
    outcome = rollout.run(episode('file my taxes', 'out_of_scope'))
    assert outcome.success, outcome.reason
    assert (outcome.task, outcome.acted, outcome.held_s) == ('out_of_scope', False, 0.0)
    assert outcome.retries >= 1
    assert outcome.seconds == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(('instruction', 'says'), [
    ('walk forward', 'gate was open after 1.0 s'), ('stop', 'declared done')])
def test_doing_something_about_it_is_not_held(rollout: Rollout, instruction: str,
                                              says: str) -> None:
    outcome = rollout.run(episode(instruction, 'out_of_scope'))
    assert not outcome.success
    assert says in outcome.reason


def test_a_policy_that_does_not_look_is_not_held_by_noise(rollout: Rollout) -> None:
    outcome = rollout.run(broken('noise'))
    assert not outcome.success
    assert outcome.acted
    assert outcome.held_s is None or outcome.held_s > 1.0  # done, as far as it knows
    assert outcome.task == 'broken_camera'
    assert outcome.camera == 'noise'


def test_a_policy_that_looks_is_held_by_a_black_image() -> None:
    runner = Rollout(ROBOT, _Careful(ROBOT))
    try:
        outcome = runner.run(broken('black'))
    finally:
        runner.close()
    assert outcome.success, outcome.reason
    assert outcome.acted
    assert outcome.held_s is not None
    assert outcome.held_s <= 0.2


@pytest.mark.parametrize('kind', ['frozen', 'black'])
def test_a_repeated_image_is_held_whatever_the_policy_thinks(rollout: Rollout, kind: str) -> None:
    outcome = rollout.run(broken(kind))
    assert outcome.success, outcome.reason
    assert outcome.acted
    assert outcome.held_s is not None
    assert 0.4 <= outcome.held_s <= 1.0


def test_a_frozen_image_is_held_while_the_base_stands(rollout: Rollout) -> None:
    """Only the arm waves: what shows that the camera hangs is that its noise is gone."""
    outcome = rollout.run(broken('frozen', 'wave', 'gesture:wave'))
    assert outcome.success, outcome.reason
    assert outcome.acted


def test_the_next_episode_has_a_whole_camera(rollout: Rollout) -> None:
    rollout.run(broken('frozen'))
    outcome = rollout.run(episode('walk forward', 'move:forward'))
    assert outcome.success, outcome.reason


def test_measures_that_are_not_defined_are_null_and_said_so(tmp_path: Path) -> None:
    report = build_report([result(True, 0.9), result(True, 0.0, 'stop', confidences=())], GATE)
    assert report['auroc'] is None
    assert report['n_judged'] == 1
    assert 'not defined' in table(report)
    path = tmp_path / 'deep' / 'report.json'
    picture = save_report(report, path)
    assert json.loads(path.read_text())['auroc'] is None
    assert picture is not None
    assert picture.read_bytes().startswith(b'\x89PNG')


def test_the_shipped_policy_goes_around_what_stands_in_the_way() -> None:
    """Regression: it stood before it until its time was up, wherever something was."""
    pytest.importorskip('torch', reason='needs the policy: pip install .[train]')
    harder = [e for e in load_suite(config_path('suites', 'harder.yaml')) if e.family == 'go_to']
    runner = Rollout(ROBOT, load_policy('default', ROBOT), monitoring('default'), latency_s=0.02)
    try:
        for kind in ('obstacles', 'half_hidden', 'clutter'):
            result = runner.run(next(e for e in harder if e.kind == kind))
            assert result.success, (kind, result.reason)
    finally:
        runner.close()
