"""Two robots, one policy: what does not depend on the robot is shared, and learns from both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.learning.learner import model_spec, own_parameters, share_weights
from vla_humanoid_control.models.checkpoint import build_model
from vla_humanoid_control.models.config import distinct, load_model_config
from vla_humanoid_control.models.system import System


def pair(name: str, first: Path, second: Path) -> tuple[System, System]:
    config = load_model_config(name, demo=True)
    models = []
    for folder in (first, second):
        data = ShardSet(find_shards([folder])['train']).spec
        assert data is not None
        models.append(build_model(config, model_spec(data, config)))
    return models[0], models[1]


@pytest.mark.parametrize('name', distinct())
def test_all_is_shared_but_what_the_joints_shape(demo_data: Path, other_data: Path, name: str
                                                 ) -> None:
    first, second = pair(name, demo_data, other_data)
    before = sum(p.numel() for p in second.parameters())
    own = share_weights(first, second)
    assert sum(p.numel() for p in second.parameters()) == before
    shapes, others = dict(first.named_parameters()), dict(second.named_parameters())
    assert own
    for key, parameter in others.items():
        assert (parameter is shapes[key]) == (key not in own)
        assert key not in own or parameter.shape != shapes[key].shape
    assert [n for n, _ in own_parameters(first, second)] == [
        n for n, _ in second.cloned() if n in own]


def test_both_learn(demo_data: Path, other_data: Path, small_model: Path, short_training: Path,
                    tmp_path: Path) -> None:
    arguments = ['train', '--data', str(demo_data), '--model', str(small_model), '--config',
                 str(short_training), '--threads', '2', '--steps', '60']
    both, alone = tmp_path / 'both', tmp_path / 'alone'
    assert vla([*arguments, '--output', str(both), '--beside', str(other_data)]) == 0
    assert vla([*arguments, '--output', str(alone)]) == 0
    lines = [json.loads(x) for x in (both / 'log.jsonl').read_text().splitlines()]
    validated = [x for x in lines if 'val/action' in x]
    assert validated[-1]['val/instruction'] < 0.9 * validated[0]['val/instruction']
    state = torch.load(both / 'training_state.pt', weights_only=True)
    assert len(state['beside']) == 1
    weights = load_file(both / 'checkpoint' / 'model.safetensors')
    assert {n: v.shape for n, v in weights.items()} == {
        n: v.shape for n, v in load_file(alone / 'checkpoint' / 'model.safetensors').items()}
    moved = state['beside'][0]
    shared = [n for n, v in state['model'].items() if v.shape == moved[n].shape]
    assert shared and all(torch.equal(state['model'][n], moved[n]) for n in shared)


def test_other_images_beside_are_refused(demo_data: Path, other_data: Path, small_model: Path,
                                         short_training: Path, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    for shard in other_data.iterdir():
        copy = tmp_path / 'data' / shard.name
        copy.mkdir(parents=True)
        for file in shard.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        meta = json.loads((copy / 'meta.json').read_text())
        (copy / 'meta.json').write_text(json.dumps({**meta, 'dt_s': 0.2}))
    assert vla(['train', '--data', str(demo_data), '--model', str(small_model), '--config',
                str(short_training), '--threads', '1', '--steps', '2', '--output',
                str(tmp_path / 'run'), '--beside', str(tmp_path / 'data')]) == 2
    assert 'beside' in capsys.readouterr().err
