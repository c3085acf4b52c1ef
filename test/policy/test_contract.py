"""What others write as a policy: found by name, checked, and refused for what it lacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.interfaces import (
    CONFIDENCE,
    ActionChunk,
    Observation,
    Policy,
    Prompt,
    UnreadableError,
)
from vla_humanoid_control.policy.contract import Verdict, check_contract
from vla_humanoid_control.policy.embodiment import Embodiment, FittedPolicy
from vla_humanoid_control.policy.registry import check_policy, load_policy, policy_names
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError

ROBOT = load_robot('humanoid')
_SOURCE = """
from vla_humanoid_control.policy.scripted import ScriptedPolicy

class Mine(ScriptedPolicy):
    pass

class Broken(ScriptedPolicy):
    def __init__(self, robot):
        raise OSError('no weights')

class Careless(ScriptedPolicy):
    def infer(self, observation):
        chunk = super().infer(observation)
        chunk.actions[0, 0] = float('nan')
        return chunk

def nothing(robot):
    return 1
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of policies, and a package that gives one of them by name."""
    (tmp_path / 'mine_of_a_test.py').write_text(_SOURCE, encoding='utf-8')
    package = tmp_path / 'mine-1.0.dist-info'
    package.mkdir()
    (package / 'METADATA').write_text('Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n')
    (package / 'entry_points.txt').write_text(
        '[vla_humanoid_control.policies]\nmine = mine_of_a_test:Mine\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('what', ['mine', 'mine_of_a_test:Mine'])
def test_a_policy_of_ones_own_is_found_checked_and_used(what: str, mine: Path) -> None:
    check_policy(what, ROBOT)
    policy = load_policy(what, ROBOT)
    policy.reset('walk forward')
    assert type(policy.policy).__name__ == 'Mine'
    assert policy_names()['mine'] == 'mine_of_a_test:Mine, of mine'


@pytest.mark.parametrize(('what', 'why'), [
    ('mine_of_a_test:Broken', r'OSError: no weights \(.*mine_of_a_test\.py:9\)'),
    ('mine_of_a_test:Absent', 'AttributeError'), ('no_such_module:Mine', 'ModuleNotFoundError'),
    ('mine_of_a_test:nothing', 'gave a int, which has no spec, reset, infer, close'),
    ('mine_of_a_test:Careless', 'not finite')])
def test_what_cannot_be_used_is_refused_with_the_reason(what: str, why: str, mine: Path) -> None:
    with pytest.raises(UserError, match=why):
        check_policy(what, ROBOT)


def test_two_packages_that_give_one_name_are_told_apart(mine: Path) -> None:
    other = mine / 'other-1.0.dist-info'
    other.mkdir()
    (other / 'METADATA').write_text('Metadata-Version: 2.1\nName: other\nVersion: 1.0\n')
    (other / 'entry_points.txt').write_text(
        '[vla_humanoid_control.policies]\nmine = mine_of_a_test:Careless\n')
    with pytest.raises(UserError, match='mine_of_a_test:Careless, mine_of_a_test:Mine'):
        load_policy('mine', ROBOT)


def verdict_on(policy: Policy) -> Verdict:
    return check_contract(FittedPolicy(policy, Embodiment.fit(policy.spec, ROBOT)), ROBOT)


class _Faulty(ScriptedPolicy):
    def __init__(self, spoil: Callable[[ActionChunk, Observation], object]) -> None:
        super().__init__(ROBOT)
        self._spoil = spoil

    def infer(self, observation: Observation) -> ActionChunk:
        return self._spoil(super().infer(observation), observation)  # type: ignore[return-value]


def _confident(chunk: ActionChunk, _: Observation) -> ActionChunk:
    return ActionChunk(chunk.actions, chunk.progress, {CONFIDENCE: np.array(1.5)})


@pytest.mark.parametrize(('spoil', 'why'), [
    (lambda chunk, _: None, 'NoneType instead of a chunk'),
    (lambda chunk, _: ActionChunk(chunk.actions[:1]), 'shape'),
    (_confident, 'confidence 1.5, must lie in')])
def test_each_fault_is_named_once(spoil: Callable[[ActionChunk, Observation], object], why: str
                                  ) -> None:
    verdict = verdict_on(_Faulty(spoil))
    assert sum(why in problem for problem in verdict.problems) in (1, 3)  # once, or an instruction
    assert len(verdict.problems) in (1, 3)


def test_a_policy_that_reads_nothing_is_refused() -> None:
    class Mute(ScriptedPolicy):
        def reset(self, prompt: Prompt) -> None:
            raise UnreadableError('in French only')
    assert 'reads none of' in verdict_on(Mute(ROBOT)).problems[0]


def test_a_good_one_has_no_problem_and_a_duration() -> None:
    verdict = verdict_on(ScriptedPolicy(ROBOT))
    assert not verdict.problems and np.isfinite(verdict.slowest_s)


def test_the_verb_lists_and_checks(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vla(['policies']) == 0
    assert {'default', 'scripted', 'mine'} <= {
        line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert vla(['policies', 'check', 'scripted']) == 0
    assert 'humanoid: fits.' in capsys.readouterr().out
    assert vla(['policies', 'check', 'mine_of_a_test:Careless']) == 1
    assert 'not finite' in capsys.readouterr().out
    assert vla(['policies', 'check', 'mine_of_a_test:Broken']) == 1
    assert vla(['policies', 'chekc', 'scripted']) == 2


def test_a_class_in_the_present_folder_is_found(mine: Path) -> None:
    """As with `python -m`, though the command lies elsewhere."""
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, '-c', f'import sys; sys.path[0] = {str(root)!r}; from '
                          'vla_humanoid_control.cli.main import main; sys.exit(main(["policies", '
                          '"check", "mine_of_a_test:Mine"]))'], cwd=mine, text=True,
                         capture_output=True, env={'PATH': '', 'HOME': str(mine)})
    assert run.returncode == 0, run.stderr


def test_the_former_name_of_the_option_still_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert vla(['eval', '--suite', 'no-such.yaml', '--checkpoint', 'scripted']) == 2
    assert '--checkpoint is called --policy now' in capsys.readouterr().err
