"""Mapping files: what they say, and what they are refused for."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_humanoid_control.interfaces import ActionKind
from vla_humanoid_control.policy.embodiment import Embodiment
from vla_humanoid_control.policy.embodiment_file import load_embodiment
from vla_humanoid_control.policy.registry import check_policy, load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path

ROBOT = load_robot('humanoid')
WHOLE = """
images:
  front: {camera: head, size: [64, 48], fit: pad, times_s: [-0.1, 0]}
  wrist: {camera: null, size: [8, 8]}
states: {state: [left_elbow, grip]}
actions:
  arm: {kind: joint_delta, relative_to: observation, channels: [left_elbow]}
  hand: {kind: gripper, channels: [grip]}
channels: {grip: left_gripper}
scale: {grip: [0.045, -0.045]}
horizon: 4
dt_s: 0.05
rate_hz: 3
"""


def write(folder: Path, text: str) -> str:
    path = folder / 'mine.yaml'
    path.write_text(text, encoding='utf-8')
    return str(path)


@pytest.mark.parametrize('path', sorted(config_path('embodiments').glob('*.yaml')),
                         ids=lambda p: p.stem)
def test_every_example_fits_the_built_in_robot(path: Path) -> None:
    file = load_embodiment(path.stem)
    assert file.spec is not None
    Embodiment.fit(file.spec, ROBOT, file.names)


def test_what_a_file_says_is_understood(tmp_path: Path) -> None:
    file = load_embodiment(write(tmp_path, WHOLE))
    assert file.names.images == {'front': 'head', 'wrist': None}
    assert file.names.channels == {'grip': 'left_gripper'}
    assert file.names.scale == {'grip': (0.045, -0.045)}
    spec = file.spec
    assert spec is not None
    front = spec.images[0]
    assert (front.role, front.size, front.fit, front.times_s) == (
        'front', (64, 48), 'pad', (-0.1, 0.0))
    assert [g.kind for g in spec.actions.groups] == [ActionKind.JOINT_DELTA, ActionKind.GRIPPER]
    assert (spec.actions.horizon, spec.actions.dt_s, spec.rate_hz, spec.latency_s) == (
        4, 0.05, 3.0, 0.1)
    Embodiment.fit(spec, ROBOT, file.names)


@pytest.mark.parametrize(('before', 'after', 'why'), [
    ('horizon: 4', 'horizon: 4.5', 'horizon must be a whole number'),
    ('horizon: 4', 'horizons: 4', r'no horizons \(did you mean horizon\?\)'),
    ('dt_s: 0.05', '', 'dt_s must be there'),
    ('dt_s: 0.05', 'dt_s: fast', 'dt_s must be a number'),
    ('dt_s: 0.05', 'dt_s: -1', 'time between them'),
    ('[64, 48]', '[64]', 'front.size must be two'),
    ('fit: pad', 'fit: squeeze', 'squeeze'), ('camera: null, ', '', 'wrist.camera is missing'),
    ('size: [8, 8]', 'fit: pad', 'wrist must have a size'),
    ('kind: gripper', 'kind: claw', 'hand.kind must be one of'),
    ('relative_to: observation, ', '', 'relative to nothing'),
    ('channels: [grip]', 'channels: grip', 'must be a list of names'),
    ('times_s: [-0.1, 0]', 'times_s: [0, -0.1]', 'rise to 0'),
    ('grip: left_gripper', 'grip: 3', 'channels.grip must be a name or null')])
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path: Path, before: str, after: str,
                                                       why: str) -> None:
    assert before in WHOLE
    with pytest.raises(UserError, match=why):
        load_embodiment(write(tmp_path, WHOLE.replace(before, after, 1)))


@pytest.mark.parametrize('text', ['', '[]', 'images: 3', '1: 2'])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match='must be a mapping'):
        load_embodiment(write(tmp_path, text))


def test_a_policy_that_says_itself_what_it_needs_is_told_names_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='says so itself'):
        load_policy('scripted', ROBOT, embodiment=write(tmp_path, WHOLE))
    with pytest.raises(UserError, match='says so itself'):
        check_policy('default', ROBOT, write(tmp_path, WHOLE))
    with pytest.raises(UserError, match='without neck, which it does not have'):
        load_policy('scripted', ROBOT, embodiment=write(tmp_path, 'channels: {neck: neck_yaw}'))
    quiet = load_policy('scripted', ROBOT, embodiment=write(
        tmp_path, 'channels: {left_elbow: null}'))
    assert 'left_elbow' not in quiet.spec.channels and 'right_elbow' in quiet.spec.channels


def test_a_policy_server_needs_a_file_and_has_to_be_there(tmp_path: Path) -> None:
    pytest.importorskip('websockets')
    from openpi_stand_in import StandIn
    server = StandIn(lambda request: None)
    server.start()
    address, whole = f'openpi://127.0.0.1:{server.port}', write(tmp_path, WHOLE)
    check_policy(address, ROBOT, whole)
    with pytest.raises(UserError, match='--embodiment'):
        check_policy(address, ROBOT)
    with pytest.raises(UserError, match='begins with openpi://'):
        check_policy('ftp://127.0.0.1:1', ROBOT)
    with pytest.raises(UserError, match=r'does not fit robot humanoid.*left_tail'):
        check_policy(address, ROBOT, write(
            tmp_path, WHOLE.replace('left_gripper', 'left_tail')))
    server.stop()
    whole = write(tmp_path, WHOLE)
    for file in (whole, ''):
        with pytest.raises(UserError, match=f'{address} cannot be reached.*Start it first'):
            check_policy(address, ROBOT, file)
