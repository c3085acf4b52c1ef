"""The shipped checkpoint through the real nodes, in real time."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('torch', reason='needs the policy: pip install .[train]')
pytest.importorskip('mujoco', reason='needs the simulator: pip install .[sim]')

from vla_humanoid_control.clients.evaluation import evaluate
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.support.resources import config_path


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_episode_of_the_shipped_checkpoint(domain_id: int, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: only the scripted policy ever ran through the nodes in a test."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    unseen = load_suite(config_path('suites', 'unseen.yaml'))
    harder = load_suite(config_path('suites', 'harder.yaml'))
    chosen = [next(e for e in unseen if e.family == family) for family in ('move', 'gesture')]
    chosen.append(next(e for e in harder if e.family == 'go_to' and e.kind == 'obstacles'))
    for result in evaluate(chosen, 'humanoid', 'default', log=tmp_path / 'graph.log'):
        assert result.success, (result.id, result.reason)
        assert result.confidences
        assert all(0.0 < confidence <= 1.0 for _, confidence in result.confidences)
