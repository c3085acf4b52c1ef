"""Weights of originals, under our names, do what they did there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lerobot_environment import needs_lerobot
from lerobot_environment import run as run_lerobot
from safetensors.torch import load_file, save_file
from torch import Tensor

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.streams import Inputs
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.transforms import Statistics
from vla_humanoid_control.models.weights.load import load_weights
from vla_humanoid_control.support.errors import UserError

TEXTS = ('wave', 'go to the red box')
ACT: dict[str, Any] = {
    'base': 'act', 'observes': {'cameras': {'head': [96, 64]}, 'joints': 2},
    'gives': {'channels': 3, 'horizon': 8},
    'parts': {'eyes': {'constants': True}}, 'heads': {'action': {
        'width': 32, 'heads': 2, 'hidden': 64, 'encoder_layers': 2, 'decoder_layers': 2,
        'posterior_layers': 1, 'latent': 4, 'dropout': 0.0}}, 'parameters': None}
SMOLVLA: dict[str, Any] = {
    'base': 'smolvla', 'observes': {'cameras': {'head': [64, 64]}, 'joints': 2},
    'gives': {'channels': 3, 'horizon': 8}, 'parts': {'prefix': {
        'vision': {'width': 16, 'layers': 2, 'heads': 2, 'hidden': 32, 'patch': 16, 'size': 64,
                   'shuffle': 2},
        'language': {'width': 32, 'layers': 4, 'heads': 4, 'key_heads': 2, 'hidden': 64,
                     'vocabulary': 30522}}},
    'heads': {'action': {'width': 24, 'heads': 4, 'hidden': 256, 'steps': 3}},
    'parameters': None}


def system_of(model: dict[str, Any]) -> System:
    config = load_model_config(model)
    torch.manual_seed(0)
    return System(config, config.space).eval()


def asked_of(system: System) -> dict[str, Tensor]:
    """Images in [0, 1], a state, and what else an original needs to be asked the same."""
    generator = torch.Generator().manual_seed(3)
    width, height = system.space.images['head']
    return {'image': torch.rand(2, 3, height, width, generator=generator),
            'state': torch.randn(2, 2, generator=generator),
            'actions': torch.randn(2, 8, 3, generator=generator)}


def inputs_of(asked: dict[str, Tensor]) -> Inputs:
    return Inputs({'head': asked['image'][:, None] * 2 - 1}, torch.arange(2), asked['state'],
                  text=TEXTS)


def original(kind: str, folder: Path, asked: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make a checkpoint of the original in a folder; what it answers."""
    save_file(asked, folder / 'inputs.safetensors')
    ended = run_lerobot(Path(__file__).with_name('lerobot_original.py'), kind, folder)
    assert ended.returncode == 0, ended.stderr
    return load_file(folder / 'outputs.safetensors')


@pytest.fixture(scope='module')
def act(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of the original ACT, what it was asked, and what it answered."""
    folder = tmp_path_factory.mktemp('act')
    asked = asked_of(system_of(ACT))
    mean, deviation = (torch.tensor(v).reshape(3, 1, 1) for v in (
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    original('act', folder, {**asked, 'image': (asked['image'] - mean) / deviation})
    save_file(asked, folder / 'inputs.safetensors')
    return folder


@needs_lerobot
@pytest.mark.timeout(300)  # seconds to import, on however slow a machine
def test_act_answers_as_in_lerobot(act: Path, tmp_path: Path) -> None:
    system = system_of(ACT)
    asked, expected = (load_file(act / f'{n}.safetensors') for n in ('inputs', 'outputs'))
    assert load_weights(system, act) == ()
    with torch.no_grad():
        actions = system.predict(system(inputs_of(asked)), 'action')
        posterior = system.get_submodule('action.posterior')(asked['state'][:, None],
                                                             asked['actions'])
    torch.testing.assert_close(actions, expected['actions'], atol=1e-5, rtol=0)
    torch.testing.assert_close(posterior[0], expected['mean'], atol=1e-5, rtol=0)
    torch.testing.assert_close(posterior[1], expected['log_variance'], atol=1e-5, rtol=0)
    assert actions.std() > 0.1
    ones, wide = np.ones(2, np.float32), np.ones(3, np.float32)
    save_checkpoint(tmp_path, Checkpoint(
        system, system.config, ModelSpec(('head',), (96, 64), ('a', 'b'), ('x', 'y', 'z'), 8, 0.1),
        Statistics(ones, ones, wide, wide)))
    with torch.no_grad():
        again = load_checkpoint(tmp_path).model
        assert torch.equal(again.predict(again(inputs_of(asked)), 'action'), actions)


@needs_lerobot
@pytest.mark.timeout(300)
def test_what_another_robot_shapes_stays_as_it_was(act: Path) -> None:
    system = system_of({**ACT, 'observes': {'cameras': {'head': [96, 64]}, 'joints': 5},
                        'gives': {'channels': 4, 'horizon': 6}})
    before = {n: t.clone() for n, t in system.state_dict().items()}
    left = load_weights(system, act)
    assert left == (
        'action.action.bias', 'action.action.weight', 'action.decoder.queries.weight',
        'action.inputs.1.weight', 'action.posterior.actions.weight',
        'action.posterior.state.weight')
    after = system.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in left)
    changed = [n for n in before if n not in left and not torch.equal(before[n], after[n])]
    assert len(changed) > 0.9 * len(before)
    larger = system_of({**ACT, 'heads': {'action': {**ACT['heads']['action'], 'hidden': 65}}})
    with pytest.raises(UserError, match=r'of another size than the model, at action.*published'):
        load_weights(larger, act)
    with pytest.raises(UserError, match=r'at eyes\.network'):
        load_weights(system_of({**ACT, 'parts': {}}), act)  # norms that are no constants


@needs_lerobot
@pytest.mark.timeout(300)
def test_a_run_starts_from_them(act: Path, demo_data: Path, tmp_path: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'run.yaml'
    file.write_text(yaml.safe_dump({'model': ACT, 'training': {
        'data': [str(demo_data)], 'output': str(tmp_path / 'run'), 'steps': 1, 'threads': 1,
        'published': True, 'weights': str(act), 'learning_rate': 1e-6, 'phrasings_per_task': 2,
        'batch_size': 4, 'texts_per_batch': 2, 'out_of_scope_per_batch': 2}}), encoding='utf-8')
    assert vla(['train', str(file)]) == 0
    assert 'action.action.weight' in capsys.readouterr().err
    trained = load_file(tmp_path / 'run' / 'checkpoint' / 'model.safetensors')
    source = load_file(act / 'model.safetensors')
    torch.testing.assert_close(
        trained['eyes.network.encoder.stages.3.layers.1.layer.1.convolution.weight'],
        source['model.backbone.layer4.1.conv2.weight'], atol=1e-4, rtol=0)


@needs_lerobot
@pytest.mark.timeout(300)
def test_smolvla_answers_as_in_lerobot(tmp_path: Path) -> None:
    system: Any = system_of(SMOLVLA)
    asked = asked_of(system)
    ids, mask = system.prefix._tokenizer([f'{text}\n' for text in TEXTS])
    noise = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(5))
    expected = original('smolvla', tmp_path, {
        **asked, 'ids': ids, 'mask': mask.long(), 'noise': noise})
    assert load_weights(system, tmp_path) == ()
    with torch.no_grad():
        actions = system.predict(system(inputs_of(asked)), 'action',
                                 torch.Generator().manual_seed(5))
    torch.testing.assert_close(actions, expected['actions'], atol=1e-5, rtol=0)
    assert (actions - noise).std() > 0.1


@pytest.mark.parametrize(('model', 'source', 'words'), [
    ({'base': 'simple_vla'}, {}, "'regression' no weights from elsewhere are known"),
    (ACT, {}, "not those of LeRobot's ACT: there is no model.vae_encoder_cls_embed.weight"),
    (SMOLVLA, {}, "not those of LeRobot's SmolVLA"),
    (ACT, Path('nowhere'), 'cannot be read')])
def test_what_is_no_such_checkpoint_is_refused(model: dict[str, Any], source: Any, words: str
                                               ) -> None:
    system = system_of(model)
    before = {n: t.clone() for n, t in system.state_dict().items()}
    with pytest.raises(UserError, match=words):
        load_weights(system, source)
    assert all(torch.equal(before[n], t) for n, t in system.state_dict().items())
