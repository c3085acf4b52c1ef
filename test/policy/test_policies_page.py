"""The policy of docs/policies.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.confidence.artifact import Monitoring
from vla_humanoid_control.confidence.gate import Standing
from vla_humanoid_control.evaluation.rollout import Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.resources import docs_path
from vla_humanoid_control.tasks.task import Task


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file that the page tells to write."""
    text = docs_path('policies.md').read_text(encoding='utf-8')
    code = re.search(r'```python\n(import numpy.*?)```', text, re.DOTALL)
    assert code is not None
    (tmp_path / 'nod.py').write_text(code[1], encoding='utf-8')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_it_is_found_fits_and_nods(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vla(['policies', 'check', 'nod:Nod']) == 0
    assert 'humanoid: fits.' in capsys.readouterr().out
    robot = load_robot('humanoid')
    results = []
    for standing in (Standing.UNCALIBRATED, Standing.ALLOWED):
        rollout = Rollout(robot, load_policy('nod:Nod', robot), Monitoring(standing=standing))
        try:
            results.append(rollout.run(Episode('e', 'nod at me', Task.from_key('gesture:look_up'),
                                               1)))
        finally:
            rollout.close()
    assert not results[0].declared_done and 'not calibrated' in results[0].reason
    assert results[1].declared_done
    assert results[1].seconds == pytest.approx(4.0, abs=0.7)
