"""The comparison's table says what was measured, and keeps what was measured alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare

COST = {'parameters': 2_630_000, 'ms_1': 5.04, 'ms_2': 3.96, 'memory_mb': 110.4}
HOW = {'minutes': 10, 'latency_s': 0.1, 'rollouts': 80, 'each': 10}


def system(won: int, exchanged: int = 0, trust: dict[str, float] | None = None) -> dict[str, Any]:
    return {'families': {f: [won, 10] for f in compare.FAMILIES},
            'exchanged': {f: [exchanged, 10] for f in compare.FAMILIES},
            'trust': trust, 'cost': COST}


def test_the_table_has_the_best_first_and_says_what_could_not_be_measured() -> None:
    *head, best, worst = compare.table({'how': HOW, 'systems': {
        'weak': system(0), 'strong': system(9, 1, {'auroc': 0.914, 'ece': 0.05,
                                                   'false_stop_rate': 0.02})}})
    assert '10 minutes' in head[0] and '80 rollouts' in head[0] and '100 ms' in head[0]
    columns = head[2].count('|')
    assert best.count('|') == worst.count('|') == head[3].count('|') == columns
    assert best.startswith('| `strong` | 90%, 79% to 96% | 90% |')
    assert best.endswith('| 10% | 2.63 M | 5.0, 4.0 | 110 | 0.91 | 0.05 | 2.0% |')
    assert worst.startswith('| `weak` | 0%') and worst.endswith('| none | none | none |')


def test_systems_that_were_measured_alike_stay(tmp_path: Path) -> None:
    file = tmp_path / 'models.json'
    assert compare.merge(file, HOW, {'act': system(1)})['systems'].keys() == {'act'}
    file.write_text(json.dumps({'how': HOW, 'systems': {'rt1': system(2), 'act': system(3)}}))
    merged = compare.merge(file, HOW, {'act': system(1)})['systems']
    assert merged.keys() == {'act', 'rt1'} and merged['act'] == system(1)
    longer = {**HOW, 'minutes': 15}
    assert compare.merge(file, longer, {'act': system(1)})['systems'].keys() == {'act'}


def test_the_page_changes_between_its_marks_alone(tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / 'models.md'
    page.write_text(f'before\n{compare.BEGIN}\nold\n{compare.END}\nafter\n')
    monkeypatch.setattr(compare, 'PAGE', page)
    for _ in range(2):
        compare.write_page({'how': HOW, 'systems': {'act': system(5)}})
        text = page.read_text()
        assert text.startswith(f'before\n{compare.BEGIN}\n') and text.endswith('\nafter\n')
        assert text.count('`act`') == 1 and 'old' not in text


def test_a_system_is_measured_by_what_its_steps_wrote(tmp_path: Path) -> None:
    result = {'families': {'move': {'successes': 3, 'n': 4, 'rate': 0.75}}, 'auroc': 0.8,
              'ece': 0.1, 'false_stop_rate': 0.0}
    for step in ('eval', 'exchanged'):
        (tmp_path / f'{step}.json').write_text(json.dumps(result))
    assert compare.measured(tmp_path) == {'families': {'move': [3, 4]},
                                          'exchanged': {'move': [3, 4]}, 'trust': None}
    (tmp_path / 'trust').mkdir()
    (tmp_path / 'trust' / 'trust.json').write_text('{}')
    assert compare.measured(tmp_path)['trust'] == {'auroc': 0.8, 'ece': 0.1,
                                                   'false_stop_rate': 0.0}


def test_a_step_that_fails_is_told_and_a_trust_that_cannot_be_measured_is_not(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """What is done stays done."""
    asked: list[str] = []

    def run(module: list[str], log: Path) -> int:
        asked.append(log.stem)
        return log.stem in ('trust', 'exchanged')

    monkeypatch.setattr(compare, 'run', run)
    arguments = ['--data', str(tmp_path), '--runs', str(tmp_path / 'runs'), '--models', 'act']
    assert compare.main(arguments) == 1
    assert asked == ['train', 'trust', 'eval', 'exchanged']
    assert 'act failed' in capsys.readouterr().err
    assert compare.main(arguments) == 1
    assert asked[4:] == ['exchanged']


def test_a_family_without_episodes_has_no_share() -> None:
    few = {**system(5), 'families': {'move': [5, 10]}}
    assert compare.table({'how': HOW, 'systems': {'few': few}})[-1].count('| none ') == 7
