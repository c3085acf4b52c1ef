"""Suites: what is accepted, and that every refusal says which episode and why."""

from pathlib import Path

import pytest

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.evaluation.generate import generate
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.language.phrasings import FAMILIES, normalise, phrasings

SUITES = sorted((Path(__file__).resolve().parents[2] / 'config' / 'suites').glob('*.yaml'))
GOOD = '{id: a, instruction: go to the red box, task: go_to, colour: red, shape: box, seed: 1}'


def suite(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'suite.yaml'
    path.write_text(text, encoding='utf-8')
    return path


def test_reads_an_episode(tmp_path: Path) -> None:
    [episode] = load_suite(suite(tmp_path, f'- {GOOD}'))
    assert (episode.id, episode.instruction, episode.seed) == ('a', 'go to the red box', 1)
    assert episode.task.key == 'go_to:red:box'


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
    (f'- {GOOD}'.replace('id: a', 'id: true'), 'id must be')])
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
    assert {e.task.family for e in load_suite(demo)} == set(FAMILIES)


def test_the_unseen_suite_is_the_one_that_the_generator_makes() -> None:
    """A suite written by hand after looking at results would prove nothing."""
    unseen = load_suite(next(p for p in SUITES if p.stem == 'unseen'))
    made = generate(100, seed=0)
    assert [(e.id, e.instruction, e.seed) for e in unseen] == \
        [(m['id'], m['instruction'], m['seed']) for m in made]


def test_unseen_phrasings_are_not_those_of_training() -> None:
    for episode in load_suite(next(p for p in SUITES if p.stem == 'unseen')):
        trained = {normalise(t) for t in phrasings(episode.task.key, 'train')}
        assert normalise(episode.instruction) not in trained, episode.id
