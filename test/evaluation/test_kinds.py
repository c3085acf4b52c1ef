"""What must be held, by kind: how many were, what held them, and that none was declared done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.confidence.gate import GateConfig
from vla_humanoid_control.evaluation.report import build_report
from vla_humanoid_control.evaluation.report_text import failures, table
from vla_humanoid_control.evaluation.rollout import EpisodeResult, Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
GATE = GateConfig(open_threshold=0.6, close_threshold=0.45)


def held(kind: str | None, success: bool = True, refused: str = '', declared: bool = False,
         acted: bool = False, held_s: float | None = 0.0) -> EpisodeResult:
    return EpisodeResult('x', 'out_of_scope', 'out_of_scope', 'say it', success, declared, 3.0,
                         0.1, 0, '' if success else 'why', acted=acted, held_s=held_s, kind=kind,
                         refused=refused)


RESULTS = [
    held('negation', refused='no negation'), held('negation', refused='no negation'),
    held('negation', acted=True, held_s=0.4), held('other_language', success=False, acted=True,
                                                   held_s=None, declared=True),
    held('other_language', refused='I speak English'), held(None)]


def test_each_kind_says_what_held_it() -> None:
    row = build_report(RESULTS, GATE)['families']['out_of_scope']
    names = ('n', 'successes', 'declared', 'by_reader', 'by_gate', 'acted', 'acted_held')
    assert [row[n] for n in names] == [6, 5, 1, 3, 2, 2, 1]
    assert list(row['kinds']) == ['negation', 'other_language']
    negation, other = row['kinds'].values()
    assert [negation[n] for n in names] == [3, 3, 0, 2, 1, 1, 1]
    assert [other[n] for n in names] == [2, 1, 1, 1, 0, 1, 0]
    assert negation['detection_s'] == {'median': 0.4, 'p95': 0.4}
    assert (other['wilson_low'], other['wilson_high']) == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_without_kinds_there_are_none() -> None:
    assert 'kinds' not in build_report([held(None)], GATE)['families']['out_of_scope']


def test_the_table_has_a_line_for_each_kind_and_json_the_same() -> None:
    report = build_report(RESULTS, GATE)
    lines = table(report).splitlines()
    assert [re.split(r'\s{2,}|(?<=[a-z]) (?=\d)', line.strip())[0] for line in lines] \
        == ['must not act', 'out_of_scope', 'negation', 'other_language']
    assert re.search(r' {4}negation +3 +100\.0% +43\.9% to 100\.0% +1 of 1, 0\.40, 0\.40; '
                     'refused by the reader 2, held by the gate 1, declared done 0$', lines[2])
    assert len({line.index('%') for line in lines[1:]}) == 1  # in columns, whatever the names
    assert json.loads(json.dumps(report)) == report
    assert report['episodes'][0]['refused'] == 'no negation'
    assert 'why' in failures(report)


@pytest.fixture(scope='module')
def rollout() -> Iterator[Rollout]:
    runner = Rollout(ROBOT, ScriptedRobot(ROBOT))
    yield runner
    runner.close()


@pytest.mark.parametrize(('instruction', 'by_reader'), [
    ('do not walk forward', True), ('file my taxes', False)])
def test_a_refusal_by_the_reader_is_told_from_the_gate(rollout: Rollout, instruction: str,
                                                       by_reader: bool) -> None:
    outcome = rollout.run(Episode('e', instruction, Task.from_key('out_of_scope'), 1,
                                  kind='some_kind'))
    assert outcome.success and not outcome.declared_done, outcome.reason
    assert (outcome.kind, bool(outcome.refused)) == ('some_kind', by_reader)
    row = build_report([outcome], GATE)['families']['out_of_scope']['kinds']['some_kind']
    assert (row['by_reader'], row['by_gate']) == ((1, 0) if by_reader else (0, 1))


def test_what_is_declared_done_is_not_held(rollout: Rollout) -> None:
    outcome = rollout.run(Episode('e', 'stop', Task.from_key('out_of_scope'), 1, kind='some_kind'))
    assert outcome.declared_done and not outcome.success and not outcome.refused
    row = build_report([outcome], GATE)['families']['out_of_scope']['kinds']['some_kind']
    assert (row['successes'], row['declared'], row['by_reader'], row['by_gate']) == (0, 1, 0, 0)
