"""What a planner is asked, and what of its answers is taken."""

from __future__ import annotations

import json

import pytest

from vla_humanoid_control.language.intake import Instruction, parse_command
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.planned import PlanQuestion, plan_question, planned


def question(text: str, before: tuple[Step, ...] = (), sees: bool = False
             ) -> PlanQuestion | None:
    read = parse_command(text, before, sees)
    assert isinstance(read, Instruction)
    return plan_question(read, before, sees)


def answered(text: str, *plain: str | None, before: tuple[Step, ...] = (),
             sees: bool = False) -> Instruction | str:
    """What becomes of a text where the planner answers these."""
    asked = question(text, before, sees)
    assert asked is not None
    return planned(asked, json.dumps({'steps': plain}))


def keys(result: Instruction | str) -> list[str]:
    assert isinstance(result, Instruction), result
    assert result.is_planned and not result.unplaced and not result.unclear
    return [step.key for step in result.steps]


@pytest.mark.parametrize('text', [
    'stop', 'walk forward', 'go to the red box and wave',  # these are read
    'raise your hand', 'turn ninety degrees',  # these are asked about
    'do not sashay to the red box', 'sashay to the red box if it rains',
    'sashay to the red box after lunch', 'before you wave, sashay to the red box',
    'where is the red box', 'the red box is lovely', 'I will sashay to the red box',
    'say "walk forward"', '\u201csashay forward\u201d',
    'turn left by 9000 degrees', 'wave forty times'])
def test_a_planner_is_asked_about_nothing_but_words_without_a_place(text: str) -> None:
    assert question(text) is None


def test_the_question_has_what_was_said_and_its_clauses() -> None:
    asked = question('Please sashay 1.5m forward, and then give us a howdy!')
    assert asked is not None
    assert json.loads(asked.text) == {
        'request': 'Please sashay 1.5m forward, and then give us a howdy!',
        'clauses': ['please sashay 1.5 m forward', 'give us a howdy']}


def test_plain_words_are_read_like_a_persons() -> None:
    result = answered('sashay yonder to the red box and then give us a howdy',
                      'go to the red box', 'wave')
    assert keys(result) == ['go_to:red:box', 'gesture:wave']
    assert isinstance(result, Instruction)
    assert result.text == 'sashay yonder to the red box and then give us a howdy'


def test_a_clause_that_is_understood_is_done_as_it_was_said() -> None:
    assert keys(answered('visit the red box and fondle it', 'go to the blue ball', 'touch it')) \
        == ['go_to:red:box', 'reach:red:box']


def test_quantities_and_relations_are_those_of_the_reader() -> None:
    result = answered('waltz backwards 2 metres', 'walk back two metres')
    assert isinstance(result, Instruction) and result.steps[0].quantity is not None
    assert result.steps[0].quantity.value == 2.0
    result = answered('visit the ball left of the cup and fondle it',
                      'go to the ball left of the cup', 'touch it', sees=True)
    assert isinstance(result, Instruction) and result.steps[1].reference is not None


def test_what_refers_to_the_command_before_is_read_with_it() -> None:
    before = parse_command('wave to me')
    assert isinstance(before, Instruction)
    assert keys(answered('gimme an encore', 'again', before=before.steps)) == ['gesture:wave']
    assert answered('gimme an encore', 'again') == "the planner says 'again', which cannot be done"


@pytest.mark.parametrize(('text', 'plain', 'reason'), [
    ('wave and sing', ['wave', None], "does not know what to do about 'sing'"),
    ('wave and sing', ['wave', ''], "does not know what to do about 'sing'"),
    ('wave and sing', ['wave', 'sing a song'], 'cannot be done'),
    ('wave and sing', ['wave', 'please'], 'cannot be done'),
    ('wave and sing', ['wave', 'stop'], 'cannot be done'),
    ('wave and sing', ['wave', 'do not move'], 'cannot be done'),
    ('wave and sing', ['wave', 'wave'], 'for something else, too'),
    ('Anna, wave', ['wave', 'wave'], 'for something else, too'),
    ('tell Anna to wave', ['wave'], "leaves 'tell anna to' out"),
    ('wave joyfully', ['wave'], "leaves 'joyfully' out"),
    ('wave a flag', ['wave'], "leaves 'a flag' out"),
    ('go to the purple box', ['go to the red box'], "though 'red' was not said"),
    ('go to the purple box', ['go to the box'], 'cannot be done'),
    ('salute with your left hand', ['raise your right hand'], "though 'right' was not said"),
    ('salute with your hand', ['raise your left hand'], "though 'left' was not said"),
    ('waltz backwards 2 metres', ['walk forward two metres'], 'opposite'),
    ('waltz backwards 2 metres', ['walk backward'], "leaves '2 m' out"),
    ('waltz backwards 2 metres', ['walk back three metres'], "though '3 m' was not said"),
    ('waltz backwards 200 metres', ['walk back 200 metres'], 'cannot be done'),
    ('sing twice', ['wave three times'], "though '3 times' was not said"),
    ('sing to the red box', ['touch the red box if you like that'], 'cannot be done'),
    ('sing to the red box', ['go to ' + 'the ' * 200 + 'red box'], 'cannot be done'),
    ('visit the red box and fondle it', ['go to the red box', 'touch the blue box'],
     'was not said'),
])
def test_what_is_not_all_of_what_was_said_is_not_done(text: str, plain: list[str | None],
                                                      reason: str) -> None:
    result = answered(text, *plain)
    assert isinstance(result, str) and reason in result


@pytest.mark.parametrize('answer', [
    '', 'wave', '{', '[]', '"wave"', 'null', '{"steps": "wave"}', '{"steps": ["wave", "wave"]}',
    '{"steps": []}', '{"steps": [1]}', '{"steps": [["wave"]]}', '{"plan": ["wave"]}',
    '[' * 100_000, '{"steps":' * 50_000, '{"steps": [' * 50_000])
def test_nonsense_is_no_plan(answer: str) -> None:
    asked = question('give us a howdy')
    assert asked is not None
    assert planned(asked, answer) == 'the planner gave no plan that can be read'


@pytest.mark.parametrize('answer', [
    '{"steps": ["wave"]}', 'Sure:\n```json\n{"steps": ["wave"]}\n```',
    '<think>{"steps": [null]}</think>{"steps": ["wave"]} That is all.'])
def test_words_around_a_plan_do_no_harm(answer: str) -> None:
    asked = question('give us a howdy')
    assert asked is not None
    assert keys(planned(asked, answer)) == ['gesture:wave']


def test_not_more_clauses_are_asked_about_than_steps_are_done() -> None:
    assert question(', '.join(['sing'] * 8)) is not None
    assert question(', '.join(['sing'] * 9)) is None
