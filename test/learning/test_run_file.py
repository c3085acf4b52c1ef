"""A run in one file: what it says is done, and what is wrong in it is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.learning.run_file import load_run_file
from vla_humanoid_control.models.checkpoint import load_checkpoint
from vla_humanoid_control.models.deployment import ModelDeployment
from vla_humanoid_control.support.errors import UserError


def written(tmp_path: Path, **sections: Any) -> Path:
    path = tmp_path / 'run.yaml'
    whole = {'model': 'simple_vla', 'training': {'data': ['data'], 'output': 'runs/one'}}
    path.write_text(yaml.safe_dump({k: v for k, v in {**whole, **sections}.items()
                                    if v is not None}), encoding='utf-8')
    return path


def test_what_it_does_not_say_is_as_shipped(tmp_path: Path) -> None:
    options, config = load_run_file(written(tmp_path, training={
        'method': 'bc', 'data': ['a', 'b'], 'output': 'runs/one', 'minutes': 3, 'batch_size': 7,
        'losses': {'progress': 2.0}}, deployment={'precision': 'int8'}))
    shipped = load_run_file(written(tmp_path))[1]
    assert options.data == (Path('a'), Path('b')) and options.time_budget_min == 3
    assert options.deployment == ModelDeployment('int8') and options.bfloat16
    assert config.batch_size == 7 and config.losses['progress'] == 2.0
    assert config.losses['action'] == shipped.losses['action']
    assert config.learning_rate == shipped.learning_rate


@pytest.mark.parametrize(('sections', 'words'), [
    ({'modle': 'x'}, 'no modle (did you mean model?)'),
    ({'model': None}, 'model is missing'),
    ({'model': 3}, 'model must be'),
    ({'model': 'simple_val'}, 'did you mean simple_vla'),
    ({'model': {'base': 'simple_vla', 'prats': {}}}, 'did you mean parts'),
    ({'training': None}, 'training is missing'),
    ({'training': ['data']}, 'training must be a mapping'),
    ({'training': {'output': 'x'}}, 'training.data is missing'),
    ({'training': {'data': ['x'], 'output': 'x', 'batchsize': 3}}, 'training.batchsize (did you'),
    ({'training': {'data': ['x'], 'output': 'x', 'batch_size': 'many'}}, 'batch_size must be'),
    ({'training': {'data': ['x'], 'output': 'x', 'minutes': 0}}, 'minutes must be greater'),
    ({'training': {'data': ['x'], 'output': 'x', 'seed': 'x'}}, 'training.seed cannot be'),
    ({'training': {'data': ['x'], 'output': 'x', 'steps': True}}, 'training.steps cannot be'),
    ({'training': {'data': ['x'], 'output': 'x', 'weights': 'a', 'init_from': 'b'}}, 'not both'),
    ({'training': {'data': ['x'], 'output': 'x', 'method': 'ppo'}}, 'training.method must be bc'),
    ({'training': {'data': ['x'], 'output': 'x', 'device': 'gpu'}},
     'training.device: The device must be one of'),
    ({'training': {'data': ['x'], 'output': 'x', 'losses': {'acton': 1}}}, 'did you mean'),
    ({'deployment': {'precision': 'int4'}}, 'did you mean int8')])
def test_what_is_wrong_is_named(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        load_run_file(written(tmp_path, **sections))
    assert '\n' not in str(caught.value)


def test_it_trains_and_says_how_to_deploy(demo_data: Path, tmp_path: Path) -> None:
    path = written(tmp_path, model={'base': 'simple_vla', 'demo': {'parts': {
        'eyes': {'width': 8}}}}, training={
            'data': [str(demo_data)], 'output': str(tmp_path / 'run'), 'steps': 2, 'threads': 1,
            'phrasings_per_task': 2, 'batch_size': 8, 'texts_per_batch': 4,
            'out_of_scope_per_batch': 2}, deployment={'precision': 'bfloat16'})
    assert vla(['train', str(path)]) == 0
    assert load_checkpoint(tmp_path / 'run' / 'checkpoint').deployment.precision == 'bfloat16'
    assert vla(['train', str(path), '--data', str(demo_data)]) == 2
    assert vla(['train', str(path), '--steps', '3']) == 2
    assert vla(['train', '--output', str(tmp_path / 'other')]) == 2
