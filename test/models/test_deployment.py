"""A model in other precisions, and compiled, answers nearly the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_humanoid_control.interfaces import Observation, Prompt
from vla_humanoid_control.models.checkpoint import load_checkpoint
from vla_humanoid_control.models.deployment import ModelDeployment, device_named
from vla_humanoid_control.policy.native import CheckpointPolicy
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path


def deployed(tmp_path: Path, deployment: object) -> Path:
    folder = tmp_path / 'checkpoint'
    shutil.copytree(resource_path('checkpoints', 'default'), folder)
    config = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
    (folder / 'config.json').write_text(json.dumps({**config, 'deployment': deployment}),
                                        encoding='utf-8')
    return folder


def answer(policy: CheckpointPolicy) -> np.ndarray:
    policy.reset(Prompt('go to the red box'))
    image = np.random.default_rng(0).integers(0, 255, (1, 96, 128, 3), np.uint8)
    chunk = policy.infer(Observation(0, {'head': image}, {
        s.name: np.zeros((1, len(s.channels))) for s in policy.spec.states}))
    assert set(chunk.evidence) == {'head', 'image', 'instruction'}
    return chunk.actions


@pytest.mark.parametrize(('deployment', 'error'), [
    ({'precision': 'bfloat16'}, 0.05), ({'precision': 'int8'}, 0.05),
    pytest.param({'compile': True}, 1e-4, marks=[
        pytest.mark.slow, pytest.mark.timeout(600),
        pytest.mark.skipif(shutil.which('g++') is None, reason='needs a C++ compiler')])])
def test_it_answers_nearly_the_same(tmp_path: Path, deployment: dict[str, object], error: float
                                    ) -> None:
    plain = answer(CheckpointPolicy.load(resource_path('checkpoints', 'default')))
    other = answer(CheckpointPolicy.load(deployed(tmp_path, deployment)))
    assert 0 < np.abs(plain - other).max() < error


def test_how_it_is_deployed_comes_back_from_the_checkpoint(tmp_path: Path) -> None:
    folder = deployed(tmp_path, {'precision': 'int8'})
    assert load_checkpoint(folder).deployment == ModelDeployment('int8', False)
    assert load_checkpoint(resource_path('checkpoints', 'default')).deployment \
        == ModelDeployment()


@pytest.mark.parametrize(('deployment', 'words'), [
    ({'precision': 'int4'}, 'did you mean int8'),
    ({'percision': 'int8'}, 'did you mean precision'),
    ({'compile': 'yes'}, 'true or false'), (['int8'], 'mapping'),
    ({'device': 'gpu'}, 'one of auto, cpu, cuda'),
    ({'precision': 'int8', 'device': 'cuda'}, 'cpu alone')])
def test_nonsense_is_refused(tmp_path: Path, deployment: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_checkpoint(deployed(tmp_path, deployment))


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='finds no GPU here'):
        CheckpointPolicy.load(deployed(tmp_path, {'device': 'cuda'}))
    assert device_named('auto') == device_named('cpu')


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_answers_as_the_cpu_does(tmp_path: Path) -> None:
    plain = answer(CheckpointPolicy.load(resource_path('checkpoints', 'default')))
    other = answer(CheckpointPolicy.load(deployed(tmp_path, {'device': 'cuda'})))
    assert np.abs(plain - other).max() < 1e-4
