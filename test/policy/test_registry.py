"""Loading policies by name and path."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from g1 import needs_g1

from vla_humanoid_control.confidence.artifact import Monitoring
from vla_humanoid_control.confidence.gate import LOWEST_THRESHOLD, Standing
from vla_humanoid_control.policy.registry import (
    check_policy,
    chosen_policy,
    fingerprint,
    load_policy,
    monitoring,
    trust_of,
)
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path

ROBOT = load_robot('humanoid')


def test_a_name_gives_its_policy() -> None:
    assert isinstance(load_policy('scripted', ROBOT).policy, ScriptedPolicy)


def test_an_unknown_name_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(UserError, match=r'no-such.*scripted'):
        load_policy('no-such', ROBOT)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=tmp_path.name):
        load_policy(str(tmp_path), ROBOT)


def test_a_robot_of_whose_name_there_is_a_policy_gets_that_one() -> None:
    assert chosen_policy('', ROBOT) == 'default'
    assert chosen_policy('', replace(ROBOT, name='unitree_g1')) == 'unitree_g1'
    assert chosen_policy('', replace(ROBOT, name='mine')) == 'default'
    assert chosen_policy('scripted', replace(ROBOT, name='unitree_g1')) == 'scripted'


@needs_g1
def test_the_policy_of_the_g1_fits_it_alone_and_has_its_trust() -> None:
    pytest.importorskip('torch')
    robot = load_robot('unitree_g1')
    check_policy('unitree_g1', robot)
    assert load_policy('unitree_g1', robot).spec.channels == robot.action_channels
    assert monitoring('unitree_g1').standing is Standing.CALIBRATED
    with pytest.raises(UserError, match='left_shoulder_pitch_joint'):
        load_policy('unitree_g1', ROBOT)


def test_a_policy_for_another_robot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_humanoid_control.policy import registry
    monkeypatch.setitem(registry.NAMED, 'foreign', lambda robot: ScriptedPolicy(ROBOT))
    armless = replace(ROBOT, joints=tuple(j for j in ROBOT.joints if 'elbow' not in j.name))
    with pytest.raises(UserError, match='left_elbow'):
        load_policy('foreign', armless)


ARMLESS = replace(ROBOT, joints=tuple(j for j in ROBOT.joints if 'elbow' not in j.name))
BLIND = replace(ROBOT, cameras={})


def test_a_checkpoint_is_checked_against_the_robot_without_loading_it() -> None:
    pytest.importorskip('torch')  # the process that it starts needs it
    code = ("import sys; from vla_humanoid_control.policy.registry import check_policy; "
            "from vla_humanoid_control.robot.reader import load_robot; "
            "check_policy('default', load_robot('humanoid')); assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize(('robot', 'why'), [(ARMLESS, 'left_elbow'), (BLIND, 'head')])
def test_a_checkpoint_for_another_robot_is_refused_without_loading_it(robot: RobotSpec, why: str
                                                                      ) -> None:
    with pytest.raises(UserError, match=why):
        check_policy('default', robot)


@pytest.mark.parametrize('config', ['', '[]', '{"policy": []}', '{"policy": {"cameras": []}}'])
def test_a_damaged_checkpoint_is_refused_without_loading_it(tmp_path: Path, config: str) -> None:
    (tmp_path / 'config.json').write_text(config, encoding='utf-8')
    with pytest.raises(UserError, match=r'config\.json'):
        check_policy(str(tmp_path), ROBOT)


def test_weights_of_another_shape_are_refused_without_loading_them(tmp_path: Path) -> None:
    """Regression: `vla run` brought up safety and the gate, and then the controller died."""
    pytest.importorskip('torch')  # the process that it starts needs it
    folder = tmp_path / 'checkpoint'
    shutil.copytree(resource_path('checkpoints', 'default'), folder)
    check_policy(str(folder), ROBOT)
    config = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
    config['policy']['horizon'] += 1
    (folder / 'config.json').write_text(json.dumps(config), encoding='utf-8')
    with pytest.raises(UserError, match='another shape'):
        check_policy(str(folder), ROBOT)
    (folder / 'model.safetensors').unlink()
    with pytest.raises(UserError, match='cannot be read'):
        check_policy(str(folder), ROBOT)


def test_no_checkpoint_asks_for_a_gate_that_is_open_to_everything() -> None:
    """Fewer false stops than its episodes can promise leave the lowest confidence among them."""
    asked, artifact = monitoring('default', alpha=1e-6), trust_of('default')
    assert asked.combination is not None and artifact is not None
    assert asked.gate.open_threshold == max(LOWEST_THRESHOLD, asked.combination.lowest[0])
    nothing = replace(artifact, combination=replace(artifact.combination, lowest=()))
    gate = Monitoring.of(nothing).gate
    assert gate.open_threshold == gate.close_threshold == LOWEST_THRESHOLD


def test_a_gate_closes_where_no_success_ever_was_however_flat_the_confidence() -> None:
    """Regression: between 0.89 and 0.87 a share of a tenth below never closed it."""
    artifact = trust_of('default')
    assert artifact is not None
    for lowest, close in (((0.88, *(0.89,) * 99), 0.88), ((0.3, *(0.89,) * 99), 0.801)):
        gate = Monitoring.of(replace(artifact, combination=replace(
            artifact.combination, lowest=lowest))).gate
        assert gate.open_threshold == 0.89
        assert gate.close_threshold == pytest.approx(close)


def test_only_what_was_measured_counts_as_calibrated(tmp_path: Path) -> None:
    assert monitoring('default').standing is Standing.CALIBRATED
    assert monitoring('scripted').standing is Standing.CALIBRATED
    stranger = 'vla_humanoid_control.policy.scripted:ScriptedPolicy'
    assert monitoring(stranger).standing is Standing.UNCALIBRATED
    assert monitoring(stranger, allow_uncalibrated=True).standing is Standing.ALLOWED
    with pytest.raises(UserError, match='no-such'):
        monitoring('no-such')


def test_of_a_copy_the_same_is_known_and_of_other_weights_nothing(tmp_path: Path) -> None:
    folder = tmp_path / 'checkpoint'
    shutil.copytree(resource_path('checkpoints', 'default'), folder)
    shipped = trust_of('default')
    assert shipped is not None
    copied = trust_of(str(folder))
    assert copied is not None and copied.folder == shipped.folder
    with (folder / 'model.safetensors').open('ab') as file:
        file.write(b' ')
    assert trust_of(str(folder)) is None
    # Its own lies beside it.
    own = replace(shipped, folder=tmp_path / 'trust', fingerprint=fingerprint(str(folder)))
    own.save(shipped.held_out)
    assert trust_of(str(folder)) == own


def test_the_artifact_of_another_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='another policy'):
        load_policy('scripted', ROBOT, trust=str(resource_path('trust', 'default')))
    with pytest.raises(UserError, match='cannot be read'):
        load_policy('scripted', ROBOT, trust=str(tmp_path))
    with pytest.raises(UserError, match='cannot be read'):
        monitoring('scripted', str(tmp_path))
