"""Checkpoint folders of LeRobot: told from our own, and refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.policy.lerobot import is_lerobot_folder
from vla_humanoid_control.policy.registry import check_policy, load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path

ROBOT = load_robot('humanoid')
MAPPING = """
images: {observation.images.head: {camera: head, size: [64, 48], fit: stretch}}
states: {observation.state: [neck_yaw, neck_pitch]}
actions:
  base: {kind: base_twist, channels: [base/linear_x, base/angular_z]}
  done: {kind: mode, channels: [done]}
horizon: 8
dt_s: 0.1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What LeRobot calls `pretrained_model`, without weights."""
    made = tmp_path / 'pretrained_model'
    made.mkdir()
    (made / 'config.json').write_text(json.dumps({
        'type': 'act', 'input_features': {}, 'output_features': {}}), encoding='utf-8')
    return made


@pytest.fixture
def mapping(tmp_path: Path) -> str:
    path = tmp_path / 'mapping.yaml'
    path.write_text(MAPPING, encoding='utf-8')
    return str(path)


def test_a_folder_is_known_by_its_configuration(folder: Path, tmp_path: Path) -> None:
    assert is_lerobot_folder(folder)
    assert not is_lerobot_folder(resource_path('checkpoints', 'default'))
    assert not is_lerobot_folder(tmp_path)


def test_without_a_mapping_file_it_says_what_is_missing(folder: Path) -> None:
    with pytest.raises(UserError, match='which joints its numbers are'):
        load_policy(str(folder), ROBOT)


def test_where_lerobot_is_not_it_says_how_to_serve_it(folder: Path, mapping: str) -> None:
    try:
        import lerobot  # noqa: F401 - whether it is here
        pytest.skip('LeRobot is installed here')
    except ImportError:
        pass
    for load in (load_policy, check_policy):
        with pytest.raises(UserError, match='vla serve --lerobot'):
            load(str(folder), ROBOT, mapping)


def test_what_is_no_checkpoint_of_lerobot_is_not_served(capsys: pytest.CaptureFixture[str]
                                                        ) -> None:
    assert vla(['serve', '--lerobot', str(resource_path('checkpoints', 'default'))]) == 2
    assert 'no checkpoint of LeRobot' in capsys.readouterr().err
