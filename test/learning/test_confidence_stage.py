"""What the stages confidence and calibrate learn from, and what they leave as it is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.confidence.artifact import TrustArtifact
from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.learning import confidence_stage
from vla_humanoid_control.learning.augment import AugmentConfig
from vla_humanoid_control.learning.confidence_stage import (
    ConfidenceConfig,
)
from vla_humanoid_control.learning.config import load_training_config
from vla_humanoid_control.learning.evidence import Evidence, EvidenceMaker, Rollouts
from vla_humanoid_control.models.checkpoint import (
    Checkpoint,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.transforms import Statistics
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.tasks.phrasings import rehearsed

ROBOT = load_robot('humanoid')
SPEC = ModelSpec(('head',), (128, 96), ROBOT.joint_names, ROBOT.action_channels, 8, 0.1)


@pytest.fixture(scope='module')
def checkpoint(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one that nobody has trained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('untrained') / 'checkpoint'
    config = load_model_config(str(small_model))
    joints, channels = (np.ones(len(names), np.float32)
                        for names in (SPEC.joint_names, SPEC.channels))
    save_checkpoint(folder, Checkpoint(build_model(config, SPEC), config, SPEC, Statistics(
        joints * 0, joints, channels * 0, channels)))
    return folder


def run_stage(stage: str, checkpoint: Path, output: Path, config: Path, *data: Path) -> int:
    return vla(['train', '--stage', stage, '--data', *map(str, data), '--output',
                str(output), '--checkpoint', str(checkpoint), '--threads', '1', '--config',
                str(config)])


@pytest.fixture
def val_data(write_shard: Callable[..., Path], tmp_path: Path) -> Path:
    """Rollouts of the validation split alone."""
    write_shard(tmp_path / 'val' / 'shard_00000', 199, frames=200, split='val', rollouts=True)
    return tmp_path / 'val'


def test_calibration_sees_validation_rollouts_alone_and_changes_no_weight(
        checkpoint: Path, val_data: Path, short_confidence: Path, tmp_path: Path,
        write_shard: Callable[..., Path]) -> None:
    """Regression: rollouts that the head had learnt from calibrated it, too."""
    assert run_stage('calibrate', checkpoint, tmp_path / 'alone', short_confidence, val_data) == 0
    write_shard(tmp_path / 'train' / 'shard_00000', 3, frames=64, rollouts=True)
    assert run_stage('calibrate', checkpoint, tmp_path / 'both', short_confidence,
                     tmp_path / 'train', val_data) == 0
    alone, both = tmp_path / 'alone', tmp_path / 'both'
    for name in ('log.jsonl', 'trust/trust.json', 'checkpoint/model.safetensors'):
        assert (alone / name).read_bytes() == (both / name).read_bytes(), name
    for name in ('model.safetensors', 'config.json', 'statistics.json'):
        assert (alone / 'checkpoint' / name).read_bytes() == (checkpoint / name).read_bytes()
    figures = [json.loads(line) for line in (alone / 'log.jsonl').open()]
    signals = TrustArtifact.load(alone / 'trust').combination.signals
    assert [f['signals'] for f in figures] == [*signals, '+'.join(signals)]
    for row in figures:
        assert {'auroc', 'ece', 'threshold', 'false_stops', 'held_corrupted',
                'held_out_of_scope'} <= set(row)


@pytest.mark.parametrize('words', ['kept', 'anew'])
def test_the_confidence_leaves_what_acts_as_it_is(
        words: str, checkpoint: Path, val_data: Path, short_confidence: Path, tmp_path: Path,
        write_shard: Callable[..., Path]) -> None:
    write_shard(tmp_path / 'train' / 'shard_00000', 3, frames=200, rollouts=True)
    settings = yaml.safe_load(short_confidence.read_text(encoding='utf-8')) | {'epochs': 2}
    if words == 'kept':
        settings |= {'known_phrasings': 0, 'scope_steps': 0}
    config = tmp_path / 'config.yaml'
    config.write_text(yaml.safe_dump(settings), encoding='utf-8')
    assert run_stage('confidence', checkpoint, tmp_path / 'run', config, tmp_path / 'train',
                     val_data) == 0
    before = load_checkpoint(checkpoint).model.state_dict()
    after = load_checkpoint(tmp_path / 'run' / 'checkpoint').model.state_dict()
    changed = {name.split('.')[0] for name, value in before.items()
               if not torch.equal(value, after[name])}
    of_words = {'instruction_novelty', 'scope', 'scope_head'} if words == 'anew' else set()
    assert changed == {'confidence_head', 'image_novelty'} | of_words


@pytest.mark.parametrize('stage', ['calibrate', 'confidence'])
def test_without_validation_rollouts_it_says_what_to_collect(
        stage: str, checkpoint: Path, short_confidence: Path, tmp_path: Path,
        write_shard: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path / 'train' / 'shard_00000', 3, frames=64, rollouts=True)
    assert vla(['train', '--stage', stage, '--data', str(tmp_path / 'train'), '--output',
                str(tmp_path / 'run'), '--checkpoint', str(checkpoint), '--config',
                str(short_confidence)]) == 2
    assert 'no rollouts of split val to calibrate on' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()


def test_every_pass_varies_the_rollouts_in_its_own_way(
        checkpoint: Path, rollout_data: Path, short_confidence: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the third pass and all after it were the second once more."""
    config = dataclasses.replace(load_training_config(ConfidenceConfig, str(short_confidence)),
                                 passes=4, corrupted_share=0.0, out_of_scope_share=0.0)
    learnt: list[Evidence] = []

    class EnoughError(Exception):
        pass

    def look(_head: object, evidence: Evidence, *_: object) -> None:
        learnt.append(evidence)
        raise EnoughError

    monkeypatch.setattr(confidence_stage, 'fit_head', look)
    with pytest.raises(EnoughError):
        confidence_stage.run_confidence(checkpoint, [rollout_data], tmp_path, config, 0, 1)
    passes = np.split(learnt[0].values, 4)
    for one in range(4):
        for other in range(one):
            differing = (np.abs(passes[one] - passes[other]) > 1e-6).any(axis=1)
            assert differing.mean() > 0.9, (one, other)
    # Chance comes from the seed alone.
    with pytest.raises(EnoughError):
        confidence_stage.run_confidence(checkpoint, [rollout_data], tmp_path, config, 0, 1)
    np.testing.assert_array_equal(learnt[0].values, learnt[1].values)


def test_a_request_that_was_fitted_on_judges_nothing(write_shard: Callable[..., Path],
                                                     tmp_path: Path) -> None:
    path = write_shard(tmp_path / 'shard_00000', 1, frames=400, split='val', rollouts=True)
    requests = rehearsed(None, 'val')
    meta = json.loads((path / 'meta.json').read_text())
    with np.load(path / 'samples.npz') as archive:
        arrays = dict(archive)
    # Every other episode says one of ten requests; the others have four sentences among them.
    episode = arrays['episode']
    arrays['text'] = np.where(episode % 2, 4 + episode % 10, 0).astype(np.int32)
    np.savez(path / 'samples.npz', **arrays)
    meta['texts'] = [*meta['texts'][:4], *requests[:10]]
    (path / 'meta.json').write_text(json.dumps(meta))
    rollouts = Rollouts.open([path], 'val', 0)
    parts, of_requests = rollouts.part_of_episodes(), rollouts.part_of_requests()
    assert len(parts) == 100 and len(of_requests) == len(requests)
    for episode in range(1, 100, 2):
        assert parts[episode] == of_requests[episode % 10]
    assert len(set(parts[::2].tolist())) == 3


def test_requests_beyond_the_robot_are_those_that_were_asked_for(
        checkpoint: Path, rollout_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rollouts = Rollouts.open(find_shards([rollout_data])['val'], 'val', 0)
    spoken: list[int] = []
    gather = rollouts.bank.gather

    def listen(rows: np.ndarray) -> object:
        spoken.extend(rows.tolist())
        return gather(rows)

    monkeypatch.setattr(rollouts.bank, 'gather', listen)
    plain = AugmentConfig(*[0] * 11)
    EvidenceMaker(load_checkpoint(checkpoint), 0).make(
        rollouts, np.arange(60), 'out_of_scope', plain, 'x', 1, np.array([3, 7]))
    known = len(rollouts.shards.texts)
    assert set(spoken) == {known + 3, known + 7}


def test_an_episode_keeps_its_name_whatever_is_read_beside_it(
        write_shard: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / f'shard_{i:05d}', 7 + i, split='val', rollouts=True)
             for i in range(3)]
    every = ShardSet(paths, rollouts=True)
    last = ShardSet(paths[2:], rollouts=True)
    assert len(set(every.episodes)) == len(every.episodes) == 18
    assert every.episodes[12:] == last.episodes
    assert every.samples.rollout['episode'].max() == 17
