"""Told something else: which words, the same ones each time, and what the report makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.evaluation.obedience import (
    exchange,
    minimal_pair,
    obedience,
    obedience_text,
    told_otherwise,
)
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.evaluation.suite import Episode, load_suite
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.task import Task


def episode(instruction: str, key: str, identity: str = 'e') -> Episode:
    return Episode(identity, instruction, Task.from_key(key), 1)


@pytest.mark.parametrize(('instruction', 'key', 'pairs'), [
    ('go to the red box', 'go_to:red:box', {'go to the blue box', 'go to the red ball'}),
    ('TOUCH THE GREEN MUG!', 'reach:green:cup', {'TOUCH THE YELLOW MUG!'}),
    ('Left turn, please', 'turn:left', {'Right turn, please'}),
    ('walk ahead', 'move:forward', {'walk backwards'}),
    ('rotate counterclockwise', 'turn:left', {'rotate clockwise'}),
    ('raise your right hand', 'gesture:raise_right', {'raise your left hand'}),
    ('look up', 'gesture:look_up', {'look down'}),
    ('turn right, right now', 'turn:right', {None}),  # which of the two?
    ('turn right around', 'turn:around', {None}),
    ('wave', 'gesture:wave', {None}),
    ('approach the crimson crate', 'go_to:red:box', {None}),
    ('step back two metres', 'move:backward=2m', {None}),
    ('move forward 2 m', 'move:forward=2m', {'move backward 2 m'}),
    ('turn left, then look left', 'turn:left+gesture:look_left', {'turn right, then look left'}),
    ('wave three times and look down', 'gesture:wave=3times+gesture:look_down',
     {'wave three times and look up'})])
def test_a_minimal_pair_exchanges_one_word_that_the_task_hangs_on(
        instruction: str, key: str, pairs: set[str | None]) -> None:
    one = episode(instruction, key)
    assert {minimal_pair(replace(one, id=str(i))) for i in range(20)} == pairs
    assert minimal_pair(one) == minimal_pair(episode(instruction, key))


def test_another_instruction_asks_for_something_else() -> None:
    episodes = [episode('turn left', 'turn:left'), episode('turn around', 'turn:around'),
                episode('look down', 'gesture:look_down'), episode('wave', 'gesture:wave'),
                episode('go to the red cup', 'go_to:red:cup'),
                episode('raise your left hand', 'gesture:raise_left'),
                episode('walk forward', 'move:forward'),
                episode('walk forward 2 m', 'move:forward=2m')]
    told = dict(zip((e.instruction for e in episodes), exchange(episodes)))
    assert told == dict(zip((e.instruction for e in episodes), exchange(episodes)))
    assert not [own for own, other in told.items() if own == other]
    assert told['turn left'] != 'turn around' and told['turn around'] != 'turn left'
    assert told['look down'] != 'go to the red cup'  # there, it looks down
    assert told['raise your left hand'] != 'wave'
    assert 'walk' not in told['walk forward'] and 'walk' not in told['walk forward 2 m']


@pytest.mark.parametrize('keys', [['turn:left', 'turn:left'], ['turn:left', 'turn:around'],
                                  ['stop'], ['out_of_scope']])
def test_a_suite_of_one_thing_says_that_it_cannot_show_obedience(keys: list[str]) -> None:
    with pytest.raises(UserError, match='asks'):
        told_otherwise([episode('do it', key, str(i)) for i, key in enumerate(keys)])


def test_only_what_the_robot_shall_do_is_told_otherwise() -> None:
    episodes = [episode('turn left', 'turn:left', 'a'), episode('wave', 'gesture:wave', 'b'),
                episode('stop', 'stop', 'c'), episode('fly', 'out_of_scope', 'd'),
                replace(episode('look up', 'gesture:look_up', 'e'), camera='black')]
    told = told_otherwise(episodes)
    assert [(e.id, e.instruction) for e in told['another']] \
        == [('a (another)', 'wave'), ('b (another)', 'turn left')]
    [pair] = told['minimal_pair']
    assert pair == replace(episodes[0], id='a (minimal_pair)', instruction='turn right')


def test_most_sentences_of_the_unseen_suite_have_a_minimal_pair() -> None:
    told = told_otherwise(load_suite(config_path('suites', 'unseen.yaml')))
    assert len(told['another']) == 500
    assert len(told['minimal_pair']) > 350


def result(success: bool, task: str = 'turn', identity: str = 'a') -> EpisodeResult:
    return EpisodeResult(identity, task, task, 'do it', success, True, 3.0, 0.9, 0,
                         '' if success else 'declared done, but it was not')


def test_the_report_says_how_often_it_succeeded_with_which_words() -> None:
    report = obedience([result(True), result(True), result(False, 'stop'),
                        result(False, 'out_of_scope')],
                       {'another': [result(False), result(False)], 'minimal_pair': []})
    assert {name: (row['n'], row['successes']) for name, row in report.items()} \
        == {'own': (2, 2), 'another': (2, 0), 'minimal_pair': (0, 0)}
    assert report['another']['episodes'][0]['reason'] == 'declared done, but it was not'
    assert obedience_text(report) == (
        'obedience: success 100.0% with its own instruction (34.2% to 100.0%, n 2), '
        '0.0% with another (0.0% to 65.8%, n 2), no sentence has a minimal pair')


@pytest.mark.slow
def test_the_verb_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite, report = tmp_path / 'suite.yaml', tmp_path / 'report.json'
    suite.write_text('- {id: a, instruction: turn left, task: turn, direction: left, seed: 1}\n'
                     '- {id: b, instruction: look up, task: gesture, gesture: look_up, seed: 2}\n',
                     encoding='utf-8')
    assert main(['eval', '--suite', str(suite), '--policy', 'scripted', '--obedience', '--workers',
                 '1', '--latency', '0', '--json', str(report)]) == 0
    said = json.loads(report.read_text(encoding='utf-8'))
    assert len(said['episodes']) == said['families']['turn']['n'] + 1 == 2
    assert {name: (row['n'], row['successes']) for name, row in said['obedience'].items()} \
        == {'own': (2, 2), 'another': (2, 0), 'minimal_pair': (2, 0)}
    assert [e['instruction'] for e in said['obedience']['minimal_pair']['episodes']] \
        == ['turn right', 'look down']
    assert 'obedience: success 100.0% with its own' in capsys.readouterr().out
