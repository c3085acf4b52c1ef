"""Negation and condition: what is held, and what only sounds like one of them."""

import pytest
import yaml

from vla_humanoid_control.language.intake import Instruction, is_stop, parse_command, reword
from vla_humanoid_control.language.qualifiers import why_unclear
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.phrasings import TASK_KEYS, Split, out_of_scope, phrasings


@pytest.mark.parametrize('text', [
    'do not walk forward', "don't walk forward", 'dont walk forward', 'Don’t walk forward',
    'don´t go to the red box', 'DO NOT WALK FORWARD!', 'please do not turn left',
    'never walk backward', 'you must not wave', "you can't go to the red box",
    'you cannot go forward', 'please no walking', 'walk forward, not', 'walk forward? no',
    'not the red one, the blue one', 'go to the box that is not red',
    "go to the box that isn't red",
    'go to the non-red box', 'go to anything but the red box', 'go anywhere except the red box',
    'avoid the blue ball', 'please refrain from touching the cup',
    'walk forward rather than backward',
    'go to the blue ball instead of the red box', 'under no circumstances walk forward',
    'nix walking forward', 'go to the red box without touching it', 'neither walk nor turn left',
    'nobody should walk forward', 'stop short of the red box', "you won't walk forward",
    'stay away from the blue ball', 'leave the red box alone', 'ignore the red box',
    'forget waving', 'forget about going to the red box', 'pretend to walk forward',
    'it would be wrong to turn left',
    "I don't want you to walk forward", "why don't you not wave", "don't forget not to walk",
    "if you don't mind, do not walk forward", "don't go to the red box but to the blue ball",
    "go to the red box, don't go to the blue ball", "don't turn", "don't stop", 'never stop'])
def test_what_negates_is_held(text: str) -> None:
    """'do not walk forward' was carried out with a confidence of 0.97."""
    held(text)


@pytest.mark.parametrize('text', [
    'do nto walk forward', 'do noot walk forward', 'dotn walk forward', 'nver walk forward',
    'don t walk forward', 'don,t walk forward', "do n't walk forward", 'do-not-walk-forward',
    'd o n o t walk forward', "d'ont wave", 'donot wave', 'unlss i nod walk forward',
    'ｄｏ ｎｏｔ walk forward', 'do n\u0335ot walk forward', 'do n\u3164ot walk forward'])
def test_a_misspelt_negation_is_one(text: str) -> None:
    held(text)


@pytest.mark.parametrize('text', [
    'if the light is green walk forward', 'walk forward if I say so', 'when I clap, walk forward',
    'whenever i clap wave', 'once I whistle, walk forward', 'walk forward once the lights go out',
    'walk forward unless you see the red box', 'as soon as the music stops turn left',
    'walk until I clap', 'turn left until you hear a beep', 'in case of fire walk backward',
    'provided that it is safe, walk forward', 'suppose it is dark, then wave',
    'only if i nod walk forward', 'after the lights go out walk forward',
    'walk forward after the lights go out', 'before the lights go out, wave',
    'walk forward on my signal', 'walk forward in five minutes',
    'walk forward tomorrow', 'should the light go red, walk backward',
    'walk forward as long as i nod',
    'walk forward the moment i clap', 'if you can see the red box go to it',
    'go to the red box while nobody looks', 'wait until the light is green then walk forward'])
def test_what_conditions_is_held(text: str) -> None:
    held(text)


@pytest.mark.parametrize('text', [
    'stop walking to the red box', 'stop going towards the blue ball',
    'cancel the walk to the box',
    'quit reaching for the cup'])
def test_an_order_to_stop_one_thing_is_no_order_to_do_it(text: str) -> None:
    held(text)


@pytest.mark.parametrize('text', [
    'if you please walk forward', "walk forward if you don't mind", 'if you would, walk forward',
    'would you mind walking forward', "why don't you walk forward",
    "don't hesitate to walk forward",
    'walk forward if possible', 'no problem, go to the red box', "don't forget to wave",
    'turn around once more', 'wave when you are ready', 'walk forward as soon as possible',
    'put one foot before the other', 'stand before the red box', 'after that, wave',
    'turn until you face left', 'walk until you reach the red box', 'go left without turning',
    "I can't reach you, move ahead", 'hold your hand up for a while', 'go after the red ball',
    'note the red box and go to it', 'now go to the knotty box', 'go to the donut',
    'wave and nothing else', 'i wonder if you could wave', 'step right but do not turn'])
def test_politeness_manner_and_goals_are_acted_on(text: str) -> None:
    assert not why_unclear(text)


@pytest.mark.parametrize('text', ["don't move", 'do not take another step', 'never move',
                                  'do nto move', 'wait until i say so', 'no more walking'])
def test_a_stop_that_negates_stays_a_stop(text: str) -> None:
    parsed = parse_command(text)
    assert isinstance(parsed, Instruction) and parsed.is_stop and not parsed.unclear


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_no_phrasing_of_a_task_is_held(split: Split) -> None:
    """Of 76,260; save where 'neon' was mistyped as 'non', which says the opposite."""
    texts = {t for key in TASK_KEYS if key != 'stop' for t in phrasings(key, split)}
    assert [t for t in texts if why_unclear(t) and 'non' not in t.lower().split()] == []
    assert sum(bool(why_unclear(t)) for t in texts) <= 2


@pytest.mark.parametrize('suite', ['unseen', 'impaired', 'demo'])
def test_no_instruction_of_a_suite_is_held(suite: str) -> None:
    episodes = yaml.safe_load(config_path('suites', f'{suite}.yaml').read_text(encoding='utf-8'))
    said = [parse_command(e['instruction']) for e in episodes if e['task'] != 'out_of_scope']
    assert all(isinstance(i, Instruction) and not i.unclear for i in said) and said


def test_nothing_held_is_worded_otherwise() -> None:
    """A plainer wording could leave out what negates."""
    parsed = parse_command('please do not walk forward')
    assert isinstance(parsed, Instruction)
    assert {reword(parsed, n) for n in range(5)} == {'please do not walk forward'}


def test_most_stops_of_training_and_validation_are_known_and_nothing_else_is_one() -> None:
    """23 % of training's were known: the others had to wait for the policy, and its confidence."""
    share = {split: sum(map(is_stop, phrasings('stop', split))) / len(phrasings('stop', split))
             for split in ('train', 'val')}
    assert share['train'] > 0.95 and share['val'] > 0.97, share
    for split in ('train', 'val', 'test'):
        others = [t for key in TASK_KEYS if key != 'stop' for t in phrasings(key, split)]
        assert [t for t in (*others, *out_of_scope(split)) if is_stop(t)] == []


def held(text: str) -> None:
    """It is accepted as an instruction, and says why it is not acted on."""
    parsed = parse_command(text)
    assert isinstance(parsed, Instruction) and not parsed.is_stop
    assert 'without negation or condition' in parsed.unclear
