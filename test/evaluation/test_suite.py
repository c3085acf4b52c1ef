"""Suites: what is accepted, and that every refusal says which episode and why."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from vla_humanoid_control.evaluation.camera_faults import KINDS
from vla_humanoid_control.evaluation.generate import (
    SEEING,
    generate,
    generate_harder,
    generate_held,
    generate_impaired,
    generate_plain,
)
from vla_humanoid_control.evaluation.impaired_view import KINDS as VIEWS
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.simulation.settings import PLAIN
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.phrasings import normalise, out_of_scope, phrasings
from vla_humanoid_control.tasks.vocabulary import FAMILIES, TASK_KEYS

SUITES = sorted((Path(__file__).resolve().parents[2] / 'config' / 'suites').glob('*.yaml'))
GOOD = '{id: a, instruction: go to the red box, task: go_to, colour: red, shape: box, seed: 1}'

STEPS = ('- {id: a, instruction: turn left and wave, task: steps, seed: 1, '
         'steps: [{task: turn, direction: left}, {task: gesture, gesture: wave}]}')
QUANTITY = ('- {id: a, instruction: walk two metres, task: quantity, '
            'of: {task: move, direction: forward}, value: 2.0, unit: m, seed: 1}')


def suite(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'suite.yaml'
    path.write_text(text, encoding='utf-8')
    return path


def test_reads_an_episode(tmp_path: Path) -> None:
    [episode] = load_suite(suite(tmp_path, f'- {GOOD}'))
    assert (episode.id, episode.instruction, episode.seed) == ('a', 'go to the red box', 1)
    assert episode.task.key == episode.family + ':red:box' == 'go_to:red:box'
    assert episode.camera is None


def test_reads_what_the_robot_must_not_do(tmp_path: Path) -> None:
    broken, beyond = load_suite(suite(
        tmp_path, '- {id: a, instruction: look up, task: gesture, gesture: look_up, seed: 1, '
        'camera: frozen}\n- {id: b, instruction: fly away, task: out_of_scope, seed: 2}'))
    assert (broken.task.key, broken.camera) == ('gesture:look_up', 'frozen')
    assert (broken.family, beyond.family) == ('broken_camera', 'out_of_scope')


@pytest.mark.parametrize(('text', 'key', 'family'), [
    (STEPS, 'turn:left+gesture:wave', 'steps_2'),
    (STEPS.replace('wave}]', 'wave}, {task: turn, direction: left}]'),
     'turn:left+gesture:wave+turn:left', 'steps_3'),
    (STEPS.replace('[{', '[{task: gesture, gesture: look_up}, {task: move, direction: left}, {'),
     'gesture:look_up+move:left+turn:left+gesture:wave', 'steps_3'),
    (QUANTITY, 'move:forward=2m', 'quantity'),
    (QUANTITY.replace('task: move, direction: forward', 'task: gesture, gesture: wave').replace(
        '2.0, unit: m', '3, unit: times'), 'gesture:wave=3times', 'quantity')])
def test_reads_what_is_done_in_steps_and_by_amounts(tmp_path: Path, text: str, key: str,
                                                    family: str) -> None:
    [episode] = load_suite(suite(tmp_path, text))
    assert (episode.task.key, episode.family, episode.kind) == (key, family, None)


def test_reads_the_kind_of_what_is_out_of_scope(tmp_path: Path) -> None:
    [episode] = load_suite(suite(tmp_path, '- {id: a, instruction: do not wave, seed: 1, '
                                 'task: out_of_scope, kind: negation}'))
    assert (episode.family, episode.kind) == ('out_of_scope', 'negation')


@pytest.mark.parametrize(('text', 'says'), [
    ('', 'list of episodes'), ('[]', 'list of episodes'), ('a: b', 'list of episodes'),
    ('- 7', 'episode 1.*mapping'), ('- [', 'not valid YAML'),
    ('- !!python/object/apply:os.system [true]', 'not valid YAML'),
    (f'- {GOOD}\n- {GOOD}', r'episode 2 \(a\).*twice'),
    (f'- {GOOD}'.replace('go_to', 'fly'), 'fly.*move'),
    (f'- {GOOD}'.replace('colour: red', 'colour: pink'), 'colour.*red.*pink'),
    (f'- {GOOD}'.replace('colour: red, ', ''), 'colour'),
    (f'- {GOOD}'.replace('colour', 'color'), 'colour'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, gesture: wave'), 'unknown key gesture'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: one'), 'seed must be a whole number'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: -1'), 'seed must be a whole number'),
    (f'- {GOOD}'.replace(', seed: 1', ''), 'lacks seed'),
    (f'- {GOOD}'.replace('go to the red box', '"  "'), 'instruction is refused.*empty'),
    (f'- {GOOD}'.replace('go to the red box', '[go]'), 'instruction must be text'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, distractors: -2'), 'distractors'),
    (f'- {GOOD}'.replace('id: a', 'id: true'), 'id must be'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, camera: dirty'), 'camera.*frozen.*dirty'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, camera: [black]'), 'camera.*frozen'),
    ('- {id: a, instruction: halt, task: stop, seed: 1, camera: black}', 'needs no camera'),
    ('- {id: a, instruction: fly, task: out_of_scope, seed: 1, camera: black}',
     'needs no camera'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, view: dirty'), 'view.*blurred.*dirty'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, view: dim, camera: black'), 'does not break'),
    ('- {id: a, instruction: halt, task: stop, seed: 1, view: dim}', 'needs to see'),
    ('- {id: a, instruction: fly, task: out_of_scope, seed: 1, colour: red}',
     'unknown key colour'),
    ('- {id: a, instruction: fly, task: out_of_scope, seed: 1, kind: }', 'kind must be a name'),
    ('- {id: a, instruction: fly, task: out_of_scope, seed: 1, kind: Other Thing}',
     'kind must be a name of small letters.*Other Thing'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, kind: negation'), 'unknown key kind; a go_to'),
    (f'- {GOOD}'.replace('seed: 1', 'seed: 1, value: 2, unit: m'), 'unknown key value, unit'),
    (STEPS.replace('wave}]', 'wive}]'), 'step 2: .*gesture.*wave.*wive'),
    (STEPS.replace('seed: 1', 'seed: 1, unit: m'), 'unknown key unit; a steps episode'),
    (STEPS.replace('direction: left', 'direction: left, distractors: 1'),
     'step 1: unknown key distractors'),
    (STEPS.replace('task: gesture, gesture: wave', 'task: reach, colour: red, shape: cup'),
     'step 2: reach begins at the table'),
    (STEPS.replace('task: turn, direction: left', 'task: go_to, colour: red, shape: box').replace(
        'task: gesture, gesture: wave', 'task: move, direction: forward'),
     'has room in none of'),
    (QUANTITY.replace('value: 2.0', 'value: 2000'), '0.1 to 4 m, got 2000'),
    (QUANTITY.replace('unit: m', 'unit: yards'), 'measured in m; got unit .yards'),
    (QUANTITY.replace('value: 2.0, ', ''), 'value must be 0.1 to 4 m, got None'),
    (QUANTITY.replace('of: {task: move, direction: forward}, ', ''), 'of must be a mapping'),
    (QUANTITY.replace('seed: 1', 'seed: 1, direction: forward'), 'unknown key direction')])
def test_refuses_with_the_reason(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=f'(?s)suite.yaml.*{says}'):
        load_suite(suite(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'no-such\.yaml'):
        load_suite(tmp_path / 'no-such.yaml')


@pytest.mark.parametrize('path', SUITES, ids=lambda p: p.stem)
def test_shipped_suites_are_valid(path: Path) -> None:
    assert load_suite(path)


def test_the_demo_has_every_family() -> None:
    demo = next(p for p in SUITES if p.stem == 'demo')
    episodes = load_suite(demo)
    assert {e.task.family for e in episodes} == {*FAMILIES, 'steps'}
    assert any(e.answer for e in episodes) and any(e.task.amount for e in episodes)


@pytest.mark.parametrize(('stem', 'generator', 'count'), [
    ('unseen', generate, 100), ('impaired', generate_impaired, 100), ('held', generate_held, 100),
    ('plain', generate_plain, 60), ('harder', generate_harder, 100)])
def test_a_shipped_suite_is_the_one_that_the_generator_makes(
        stem: str, generator: Callable[[int, int], list[dict[str, Any]]], count: int) -> None:
    """A suite written by hand after looking at results would prove nothing."""
    shipped = load_suite(next(p for p in SUITES if p.stem == stem))
    assert [{'id': e.id, 'instruction': e.instruction, **e.task.to_mapping(), 'seed': e.seed,
             **({'camera': e.camera} if e.camera else {}),
             **({'view': e.view} if e.view else {}), **({'kind': e.kind} if e.kind else {}),
             **({'scene': e.setting.to_mapping()} if e.setting != PLAIN else {})}
            for e in shipped] == generator(count, 0)


@pytest.mark.parametrize('generator', [generate, generate_impaired, generate_held])
def test_a_suite_to_choose_by_has_no_sentence_of_the_suites_to_measure_by(
        generator: Callable[[int, int, str], list[dict[str, Any]]]) -> None:
    tested = {normalise(t) for key in TASK_KEYS for t in phrasings(key, 'test')} \
        | {normalise(t) for t in out_of_scope('test')}
    episodes = generator(20, 0, 'val')
    assert len(episodes) >= 40
    assert not tested & {normalise(e['instruction']) for e in episodes}


def test_what_must_be_held_is_spread_evenly() -> None:
    held = load_suite(next(p for p in SUITES if p.stem == 'held'))
    broken = [e for e in held if e.family == 'broken_camera']
    cells = Counter((e.camera, e.task.family) for e in broken)
    assert cells == dict.fromkeys(product(KINDS, SEEING), 4)
    assert len(held) - len(broken) == 100


def test_every_argument_is_seen_badly_in_every_way() -> None:
    impaired = load_suite(next(p for p in SUITES if p.stem == 'impaired'))
    cells = Counter((e.view, e.task.key) for e in impaired)
    assert set(cells) == {(v, k) for v in VIEWS for k in TASK_KEYS if k != 'stop'}


def test_unseen_phrasings_are_not_those_of_training() -> None:
    for stem in ('unseen', 'impaired', 'held'):
        for episode in load_suite(next(p for p in SUITES if p.stem == stem)):
            known = out_of_scope('train') if episode.family == 'out_of_scope' \
                else phrasings(episode.task.key, 'train')
            assert normalise(episode.instruction) not in {normalise(t) for t in known}, episode.id
