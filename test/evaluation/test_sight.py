"""Words that mean an object by what is in view: their suites, how they are judged and counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.confidence.gate import GateConfig
from vla_humanoid_control.evaluation.obedience import MINIMAL_PAIR, told_otherwise
from vla_humanoid_control.evaluation.report import build_report
from vla_humanoid_control.evaluation.report_text import table
from vla_humanoid_control.evaluation.rollout import TRUE, EpisodeResult, Rollout
from vla_humanoid_control.evaluation.sight_scenes import FIRST_SEEDS, things_of
from vla_humanoid_control.evaluation.suite import (
    AMBIGUOUS,
    CLEAR,
    RELATIONS,
    Episode,
    load_suite,
)
from vla_humanoid_control.language.reader import why_unplaced
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.layout import sample_layout, scene_rng
from vla_humanoid_control.simulation.seeing import TrueView
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
GATE = GateConfig(open_threshold=0.6, close_threshold=0.45)


def suite(name: str) -> list[Episode]:
    return load_suite(config_path('suites', f'{name}.yaml'))


def test_the_suites_have_enough_of_every_kind() -> None:
    related, open_ones = suite(RELATIONS), suite(AMBIGUOUS)
    assert {e.counted_as for e in related} == {RELATIONS} and len(related) >= 100
    assert len({e.kind for e in related}) >= 10
    counts = Counter(e.counted_as for e in open_ones)
    assert set(counts) == {AMBIGUOUS, CLEAR} and min(counts.values()) >= 60
    for e in [*related, *open_ones]:
        assert e.seed >= FIRST_SEEDS[RELATIONS] and e.kind
    assert len({e.seed for e in [*related, *open_ones]}) == len(related) + len(open_ones)
    assert len({e.instruction for e in related}) >= 100


def test_what_is_open_is_open_in_view_and_what_is_clear_is_clear() -> None:
    """Each fourth: a scene is drawn for each."""
    world = World(ROBOT)
    with closing(world), closing(TrueView(world)) as view:
        for e in [e for e in suite(AMBIGUOUS) if e.task.family == 'go_to'][::4]:
            world.reset(e.seed, e.task)
            colour, shape = e.task.arguments
            alike = [s for s in view.in_view() if (colour not in e.instruction
                                                   or s.colour == colour)
                     and (shape not in e.instruction or s.shape == shape)]
            expected = {'three': 3, 'out_of_view': 0}.get(
                str(e.kind), 2 if e.counted_as == AMBIGUOUS else 1)
            assert len(alike) == expected, e.id


def test_of_two_of_a_kind_the_one_that_the_words_mean_is_the_one_that_is_judged() -> None:
    for e in suite(RELATIONS):
        if e.kind in ('left_one', 'right_one', 'table_left_one', 'table_right_one') \
                and e.task.twins:
            assert e.task.which == str(e.kind).split('_')[-2], e.id
        things = [t for t in things_of(sample_layout(scene_rng(e.seed), e.task))
                  if (t.colour, t.shape) == e.task.arguments]
        assert len(things) == 1 + e.task.twins, e.id


@pytest.mark.parametrize(('more', 'says'), [
    ('counted_as: strange', 'counted_as must be one of'), ('counted_as: ambiguous', 'answer'),
    ('counted_as: clear, answer: the left one', 'answer'),
    ('counted_as: relations, camera: black', 'camera'), ('kind: left_of', 'unknown key kind'),
    ('which: middle', 'which must be one of')])
def test_an_episode_that_makes_no_sense_is_refused(tmp_path: Path, more: str, says: str) -> None:
    path = tmp_path / 'suite.yaml'
    path.write_text('- {id: a, instruction: go to the red box, task: go_to, colour: red, shape: '
                    f'box, seed: 1, {more}}}\n')
    with pytest.raises(UserError, match=says):
        load_suite(path)


def result(family: str, kind: str, success: bool, asked: bool) -> EpisodeResult:
    return EpisodeResult('x', family, 'go_to:red:box', 'say it', success, success, 3.0, 0.9, 0,
                         '' if success else 'why', kind=kind, asked=asked)


def test_what_was_asked_is_counted_by_kind() -> None:
    report = build_report([result(AMBIGUOUS, 'twins', True, True),
                           result(AMBIGUOUS, 'twins', False, True),
                           result(AMBIGUOUS, 'colours', False, False),
                           result(CLEAR, 'named', True, False)], GATE)
    row = report['families'][AMBIGUOUS]
    assert row['asked']['n'] == 2 and row['successes'] == 1
    assert row['kinds']['twins']['asked']['n'] == 2 and row['kinds']['colours']['asked']['n'] == 0
    assert report['families'][CLEAR]['asked'] == pytest.approx(
        {'n': 0, 'wilson_low': 0.0, 'wilson_high': 0.7935}, abs=1e-4)
    assert re.search(r'\n  twins +2 +50\.0% .* asked 2 of 2 \(34\.2% to 100\.0%\)\n',
                     table(report))


def test_a_minimal_pair_means_the_other_one() -> None:
    box, left = Task.from_key('go_to:red:box@left'), Task.from_key('go_to:red:box')
    told = told_otherwise([
        Episode('a', 'go to the left red box', box, 1, counted_as=RELATIONS, kind='left_one'),
        Episode('b', 'approach the crimson crate', box, 1, counted_as=AMBIGUOUS, kind='twins',
                answer='the leftmost one'),
        Episode('c', 'go to the crimson crate right of the cup', left, 1, counted_as=RELATIONS,
                kind='right_of'),
        Episode('d', 'go to the closest crate', Task.from_key('go_to:red:box@near'), 1,
                counted_as=RELATIONS, kind='near_one'),
        Episode('e', 'go to the blue ball', Task.from_key('go_to:blue:ball'), 1)])[MINIMAL_PAIR]
    said = [(e.instruction, e.answer) for e in told]
    assert said[0][0] in ('go to the right red box', 'go to the left blue box',
                          'go to the left red ball')
    assert said[1:4] == [('approach the crimson crate', 'the rightmost one'),
                         ('go to the crimson crate left of the cup', None),
                         ('go to the farthest crate', None)]


class Reader(ScriptedRobot):
    """Reads like the default policy, for which what is left open is asked."""

    def unreadable(self, text: str) -> str:
        return why_unplaced(text)


@pytest.fixture(scope='module')
def rollout() -> Iterator[Rollout]:
    runner = Rollout(ROBOT, Reader(ROBOT), finder=TRUE)
    yield runner
    runner.close()


@pytest.mark.parametrize(('answer', 'instruction', 'asked'), [
    ('the left one', 'go to the red box', True), (None, 'go to the red box', True),
    (None, 'go to the left red box', False)])
def test_of_two_in_view_it_asks_which_one(rollout: Rollout, answer: str | None, instruction: str,
                                          asked: bool) -> None:
    episode = next(e for e in suite(AMBIGUOUS) if e.kind == 'twins' and e.task.key.startswith(
        'go_to:red:box'))
    outcome = rollout.run(replace(episode, instruction=instruction, answer=answer))
    assert outcome.asked is asked


@pytest.mark.parametrize(('answer', 'instruction', 'success', 'reason'), [
    ('to the left', 'turn ninety degrees', True, ''),
    (None, 'turn ninety degrees', False, 'ASKING'),
    ('to the left', 'turn left', False, 'it did not ask')])
def test_whoever_asks_without_need_or_not_where_it_must_does_not_succeed(
        rollout: Rollout, answer: str | None, instruction: str, success: bool, reason: str
        ) -> None:
    outcome = rollout.run(Episode('e', instruction, Task.from_key('turn:left'), 2, answer=answer))
    assert outcome.success is success and reason in outcome.reason
    assert outcome.asked is (instruction == 'turn ninety degrees')
