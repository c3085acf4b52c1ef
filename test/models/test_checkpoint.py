"""Checkpoints explain themselves, and refuse what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vla_humanoid_control.interfaces import Observation, Prompt, UnreadableError
from vla_humanoid_control.models.checkpoint import (
    Checkpoint,
    build_model,
    check_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.transforms import Statistics
from vla_humanoid_control.policy.native import CheckpointPolicy
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError

ROBOT = load_robot('humanoid')
SPEC = ModelSpec(('head',), (128, 96), ROBOT.joint_names, ROBOT.action_channels, 8, 0.1)


def a_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    config = load_model_config('default')
    ones = np.ones(len(SPEC.joint_names), np.float32)
    wide = np.ones(len(SPEC.channels), np.float32)
    return Checkpoint(build_model(config, SPEC), config, SPEC,
                      Statistics(ones * 0, ones, wide * 0, wide))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / 'checkpoint', a_checkpoint())
    return tmp_path / 'checkpoint'


def test_it_comes_back_as_it_was(folder: Path) -> None:
    before, after = a_checkpoint(), load_checkpoint(folder)
    assert after.spec == before.spec
    assert after.model_config == before.model_config
    for name, value in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], value)
    size = sum(p.stat().st_size for p in folder.iterdir())
    assert size < 25e6


def test_one_from_before_percentiles_comes_back_as_it_was(folder: Path) -> None:
    expected = load_checkpoint(folder)
    config = json.loads((folder / 'config.json').read_text())
    assert config['model']['gives'].pop('scale') == 'deviations'
    (folder / 'config.json').write_text(json.dumps(config))
    statistics = json.loads((folder / 'statistics.json').read_text())
    assert statistics.pop('scale') == 'deviations'
    (folder / 'statistics.json').write_text(json.dumps(statistics))
    found = load_checkpoint(folder)
    assert found.model_config == expected.model_config
    assert found.statistics.scale == expected.statistics.scale == 'deviations'


def test_percentiles_are_saved(tmp_path: Path) -> None:
    before = a_checkpoint()
    save_checkpoint(tmp_path, replace(
        before, model_config=replace(before.model_config, scale='percentiles'),
        statistics=replace(before.statistics, scale='percentiles')))
    after = load_checkpoint(tmp_path)
    assert after.model_config.scale == after.statistics.scale == 'percentiles'


def spoil_weights(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    tensors['action_head.net.2.weight'] = torch.zeros(5, 128)
    save_file(tensors, folder / 'model.safetensors')


def spoil_config(folder: Path, section: str, **changes: object) -> None:
    data = json.loads((folder / 'config.json').read_text())
    data[section] = {**data[section], **changes}
    (folder / 'config.json').write_text(json.dumps(data))


def spoil_statistics(folder: Path, **changes: object) -> None:
    data = json.loads((folder / 'statistics.json').read_text())
    (folder / 'statistics.json').write_text(json.dumps({**data, **changes}))


@pytest.mark.parametrize(('spoil', 'words'), [
    (spoil_weights, 'another shape.*action_head'),
    (lambda f: spoil_config(f, 'model', parts={}), 'nothing gives'),
    (lambda f: spoil_config(f, 'policy', channels=['base/linear_x']), 'does not fit'),
    (lambda f: spoil_config(f, 'policy', horizon='many'), 'policy section'),
    (lambda f: spoil_statistics(f, action_std=[0.0] * 22), 'positive'),
    (lambda f: spoil_statistics(f, scale='minutes'), 'one of deviations, percentiles'),
    (lambda f: spoil_statistics(f, joint_mean='none'), 'damaged'),
    (lambda f: (f / 'model.safetensors').write_bytes(b'broken'), 'cannot be read'),
    (lambda f: (f / 'model.safetensors').unlink(), 'cannot be read'),
    (lambda f: (f / 'config.json').write_text('{'), 'damaged'),
    (lambda f: (f / 'config.json').unlink(), 'config.json'),
    (lambda f: (f / 'statistics.json').unlink(), 'statistics'),
])
def test_a_damaged_checkpoint_is_refused(folder: Path, spoil: Callable[[Path], object],
                                         words: str) -> None:
    check_checkpoint(folder)
    spoil(folder)
    for look in (check_checkpoint, load_checkpoint):
        with pytest.raises(UserError, match=words):
            look(folder)


def test_a_checkpoint_for_another_robot_is_refused(folder: Path) -> None:
    armless = replace(ROBOT, joints=tuple(j for j in ROBOT.joints if 'elbow' not in j.name))
    with pytest.raises(UserError, match='left_elbow'):
        load_policy(str(folder), armless)


def seen(image: np.ndarray) -> Observation:
    return Observation(0, {'head': image}, {
        'joints': ROBOT.home[None], 'travelled': np.zeros((1, 3)), 'elapsed': np.zeros((1, 1))})


def test_the_policy_refuses_observations_of_another_shape(folder: Path) -> None:
    policy = CheckpointPolicy.load(folder)
    image = np.zeros((1, 96, 128, 3), np.uint8)
    good = seen(image)
    with pytest.raises(RuntimeError, match='reset'):
        policy.infer(good)
    policy.reset(Prompt('stop'))
    with pytest.raises(ValueError, match="lacks camera 'head'"):
        policy.infer(replace(good, images={'wrist': image}))
    with pytest.raises(ValueError, match=r"state 'joints' is .* must be .*1, 31"):
        policy.infer(replace(good, state={**good.state, 'joints': ROBOT.home[None, :5]}))
    with pytest.raises(ValueError, match="lacks state 'travelled'"):
        policy.infer(replace(good, state={'joints': good.state['joints']}))
    with pytest.raises(ValueError, match="camera 'head' is uint8"):
        policy.infer(replace(good, images={'head': image[..., 0]}))
    policy.infer(good)


def test_any_script_is_answered_and_what_is_too_long_to_read_refused(folder: Path) -> None:
    """Regression: of a long text the policy read the beginning, and acted on it."""
    policy = CheckpointPolicy.load(folder)
    with pytest.raises(UnreadableError, match='longer'):
        policy.reset(Prompt('go ' * 5000))
    for text in ('', 'プリーズ \x00 go 🙂'):
        policy.reset(Prompt(text))
        chunk = policy.infer(seen(np.zeros((1, 96, 128, 3), np.uint8)))
        assert np.isfinite(chunk.actions).all()
