"""`vla demo`: what its report says. The graph itself is in `test/integration/`."""

import argparse
import json
from pathlib import Path

import pytest

from vla_humanoid_control.cli import demo
from vla_humanoid_control.evaluation.rollout import EpisodeResult


def test_the_report_names_its_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it said 'demo' of every suite."""
    evaluation = pytest.importorskip('vla_humanoid_control.clients.evaluation')
    monkeypatch.setattr(evaluation, 'evaluate', lambda episodes, *_, **__: (EpisodeResult(
        e.id, e.task.family, e.task.key, e.instruction, True, True, 2.0, 0.9, 0, '')
        for e in episodes))
    suite = tmp_path / 'mine.yaml'
    suite.write_text('- {id: a, instruction: turn left, task: turn, direction: left, seed: 1}\n',
                     encoding='utf-8')
    out = tmp_path / 'out'
    arguments = ['--policy', 'scripted', '--headless', '--suite', str(suite), '--out',
                 str(out)]
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert demo.run(parser.parse_args(arguments)) == 0
    assert json.loads((out / 'report.json').read_text(encoding='utf-8'))['suite'] == 'mine.yaml'
