"""What `colcon test` runs: something, in minutes, and nothing that fails for want of a package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'torch', 'mujoco'}:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Without())
"""


def skipped(path: str, **variables: str) -> str:
    """What a run of tests in a process of its own says; none of them fails."""
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', path], cwd=ROOT,
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), done.stdout
    return done.stdout


def test_what_takes_long_is_passed_over_under_colcon() -> None:
    said = skipped('test/integration/test_graph.py', COLCON='1')
    assert 'takes long' in said and 'passed' not in said


@pytest.mark.parametrize(('path', 'reason'), [
    ('test/models', "needs torch: pip install -e '.[train]'"),
    ('test/safety/test_posture.py', "needs mujoco: pip install -e '.[sim]'"),
], ids=['on import', 'in a test'])
def test_what_is_missing_is_said_by_name(tmp_path: Path, path: str, reason: str) -> None:
    """Regression: without PyTorch or MuJoCo, which no rosdep key brings, colcon test failed."""
    (tmp_path / 'sitecustomize.py').write_text(WITHOUT, encoding='utf-8')
    assert reason in skipped(path, PYTHONPATH=os.pathsep.join((str(tmp_path), str(ROOT))))
