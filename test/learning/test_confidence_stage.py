"""What the stage confidence learns from, and what it leaves as it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training_data import make_rollouts

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.data.rollouts import RolloutsFolder
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


@pytest.mark.parametrize('words', ['kept', 'anew'])
def test_the_confidence_leaves_what_acts_as_it_is(
        words: str, checkpoint: Path, rollout_data: Path, short_confidence: Path, tmp_path: Path
        ) -> None:
    settings = yaml.safe_load(short_confidence.read_text(encoding='utf-8')) | {'epochs': 2}
    if words == 'kept':
        settings |= {'known_phrasings': 0, 'scope_steps': 0}
    config = tmp_path / 'config.yaml'
    config.write_text(yaml.safe_dump(settings), encoding='utf-8')
    assert vla(['train', '--stage', 'confidence', '--data', str(rollout_data), '--output',
                str(tmp_path / 'run'), '--checkpoint', str(checkpoint), '--threads', '1',
                '--config', str(config)]) == 0
    before = load_checkpoint(checkpoint).model.state_dict()
    after = load_checkpoint(tmp_path / 'run' / 'checkpoint').model.state_dict()
    changed = {name.split('.')[0] for name, value in before.items()
               if not torch.equal(value, after[name])}
    of_words = {'instruction_novelty', 'scope', 'scope_head'} if words == 'anew' else set()
    assert changed == {'confidence_head', 'image_novelty'} | of_words


def test_rollouts_of_another_robot_are_refused(checkpoint: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    make_rollouts(tmp_path / 'rollouts', 1, frames=8)
    header = json.loads((tmp_path / 'rollouts' / 'rollouts.json').read_text())
    header['channels'][3] = 'tail'
    (tmp_path / 'rollouts' / 'rollouts.json').write_text(json.dumps(header))
    assert vla(['train', '--stage', 'confidence', '--data', str(tmp_path / 'rollouts'),
                '--output', str(tmp_path / 'run'), '--checkpoint', str(checkpoint)]) == 2
    assert 'other channels' in capsys.readouterr().err
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


def test_requests_beyond_the_robot_are_those_that_were_asked_for(
        checkpoint: Path, rollout_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rollouts = Rollouts.read([RolloutsFolder.open(rollout_data)], SPEC, 30)
    spoken: list[int] = []
    gather = rollouts.bank.gather

    def listen(rows: np.ndarray) -> object:
        spoken.extend(rows.tolist())
        return gather(rows)

    monkeypatch.setattr(rollouts.bank, 'gather', listen)
    plain = AugmentConfig(*[0] * 11)
    EvidenceMaker(load_checkpoint(checkpoint), 0).make(
        rollouts, np.arange(60), 'out_of_scope', plain, 'x', 1)
    assert set(spoken) <= set(rollouts.requests.tolist()) and len(set(spoken)) > 10


def test_rollouts_are_read_as_the_checkpoint_sees_them(rollout_data: Path) -> None:
    folder = RolloutsFolder.open(rollout_data)
    rollouts = Rollouts.read([folder], SPEC, 5)
    assert len(rollouts) == 256 and len(rollouts.episodes) == 64 and len(rollouts.requests) == 5
    episode = folder.read(folder.ids[3])
    own = rollouts.episode == 3
    assert rollouts.success[own].tolist() == [episode.success] * 4
    np.testing.assert_array_equal(rollouts.frames[own][1], episode.steps[1].seen.images['head'])
    np.testing.assert_allclose(rollouts.travelled[own][2], episode.steps[2].seen.travelled,
                               rtol=1e-6)
