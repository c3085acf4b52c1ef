"""Checkpoint folders of LeRobot: told from our own, and refused with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from lerobot_environment import MAPPING, make_tiny, needs_lerobot, run, serving

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.policy.lerobot import is_lerobot_folder
from vla_humanoid_control.policy.registry import check_policy, load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path
from vla_humanoid_control.types import RobotObservation

ROBOT = load_robot('humanoid')


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


# --- in LeRobot's own environment ---------------------------------------------------------------

@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint with random weights, 'act' or 'smolvla', made once."""
    return cache(lambda kind: make_tiny(kind, tmp_path_factory.mktemp(kind) / 'pretrained_model'))


def seen(turn: int) -> RobotObservation:
    image = np.full((96, 128, 3), 120, np.uint8)
    return RobotObservation(10**9 + turn * 10**8, {'head': image}, ROBOT.home, 0.1 * turn)


@needs_lerobot
@pytest.mark.timeout(300)  # seconds to import, on however slow a machine
@pytest.mark.parametrize('kind', ['act', 'smolvla'])
def test_a_checkpoint_is_served_from_its_own_environment(tiny: Callable[[str], Path], kind: str,
                                                         mapping: str) -> None:
    pytest.importorskip('websockets')
    with serving(['-m', 'vla_humanoid_control.cli.main', 'serve', '--lerobot', tiny(kind),
                  '--embodiment', mapping, '--port', 0], ' at openpi://') as said:
        address = said.rpartition(' ')[2].strip()
        policy = load_policy(address, ROBOT, mapping)
        beside = load_policy(address, ROBOT, mapping)  # another robot
        for robot in (policy, beside, policy):
            robot.reset('walk forward')
            chunk = robot.infer(seen(1))
            assert chunk.channels == ('base/linear_x', 'base/angular_z')
            assert chunk.actions.shape == (8, 2) and np.isfinite(chunk.actions).all()
        policy.close()
        beside.close()


ASK = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from vla_humanoid_control.interfaces import Observation, Prompt
from vla_humanoid_control.policy.embodiment_file import load_embodiment
from vla_humanoid_control.policy.lerobot import LeRobotPolicy

policy = LeRobotPolicy(Path(sys.argv[1]), load_embodiment(sys.argv[2]).spec)
other = policy.fork()

def ask(policy, words, brightness, yaw):
    torch.manual_seed(0)  # SmolVLA begins with noise
    policy.reset(Prompt(words))
    return policy.infer(Observation(
        1, {'observation.images.head': np.full((1, 48, 64, 3), brightness, np.uint8)},
        {'observation.state': np.array([[yaw, 0.0]])})).actions

first = ask(policy, 'walk forward', 120, 0.1)
print(json.dumps([float(np.abs(ask(*changed) - first).max()) for changed in (
    (other, 'walk forward', 120, 0.1), (policy, 'walk forward', 250, 0.1),
    (policy, 'walk forward', 120, 0.9), (policy, 'turn left', 120, 0.1))]))
"""


@needs_lerobot
@pytest.mark.timeout(300)
@pytest.mark.parametrize('kind', ['act', 'smolvla'])
def test_what_it_is_shown_and_told_changes_its_answer(tiny: Callable[[str], Path], kind: str,
                                                      mapping: str) -> None:
    ended = run('-c', ASK, tiny(kind), mapping)
    assert ended.returncode == 0, ended.stderr
    fork, image, state, words = json.loads(ended.stdout.splitlines()[-1])
    assert fork < 1e-6 < min(image, state)
    assert (words > 1e-6) == (kind == 'smolvla')  # an ACT reads none


@needs_lerobot
@pytest.mark.timeout(300)
def test_a_mapping_file_of_another_checkpoint_is_refused(tiny: Callable[[str], Path],
                                                         tmp_path: Path) -> None:
    wrong = tmp_path / 'wrong.yaml'
    wrong.write_text(MAPPING.replace('neck_pitch]', 'neck_pitch, waist_yaw]')
                     .replace('horizon: 8', 'horizon: 80'), encoding='utf-8')
    ended = run('-m', 'vla_humanoid_control.cli.main', 'serve', '--lerobot', tiny('act'),
                '--embodiment', wrong)
    assert ended.returncode == 2
    assert 'observation.state is (2,), the mapping file says (3,)' in ended.stderr
    assert 'a chunk has 8 rows, the mapping file says 80' in ended.stderr
    assert 'Traceback' not in ended.stderr
