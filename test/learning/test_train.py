"""Training from the command line on small synthetic shards."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.interfaces import Prompt
from vla_humanoid_control.learning import behaviour_cloning, train
from vla_humanoid_control.models.checkpoint import load_checkpoint
from vla_humanoid_control.models.config import distinct
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import RobotObservation

ROBOT = load_robot('humanoid')


def bc(data: Path, output: Path, model: Path, config: Path, *more: str) -> int:
    return vla(['train', '--data', str(data), '--output', str(output), '--model', str(model),
                       '--config', str(config), '--threads', '1', *more])


@pytest.fixture(scope='module')
def trained(demo_data: Path, small_model: Path, short_training: Path,
            tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp('run')
    assert bc(demo_data, output, small_model, short_training, '--steps', '60') == 0
    return output


def test_the_losses_fall_and_validation_is_logged(trained: Path) -> None:
    lines = [json.loads(x) for x in (trained / 'log.jsonl').read_text().splitlines()]
    validated = [x for x in lines if 'val/action' in x]
    assert len(validated) == 15
    for name in ('val/action', 'val/target', 'val/instruction'):
        assert validated[-1][name] < 0.8 * validated[0][name]


def test_a_run_leaves_curves_and_events(trained: Path) -> None:
    assert cv2.imread(str(trained / 'curves.png')).shape[1] > 800
    assert any((trained / 'tensorboard').iterdir())


def test_the_checkpoint_runs_as_a_policy(trained: Path) -> None:
    policy = load_policy(str(trained / 'checkpoint'), ROBOT)
    policy.reset('Walk over to the crimson crate!')
    image = np.full((480, 640, 3), 110, np.uint8)
    chunk = policy.infer(RobotObservation(5, {'head': image}, ROBOT.home))
    assert chunk.actions.shape == (8, 22) and chunk.actions.dtype == np.float32
    assert np.isfinite(chunk.actions).all()
    assert 0 <= chunk.progress <= 1


def test_a_model_learns_motions_of_a_hand_and_acts_with_its_arm(
        demo_data: Path, tmp_path: Path, short_training: Path) -> None:
    pytest.importorskip('mink')
    model = tmp_path / 'model.yaml'
    model.write_text(yaml.safe_dump({
        'base': 'simple_vla',
        'gives': {'hand': {'effector': 'left_grasp', 'gripper': 'left_gripper'}},
        'demo': {'parts': {'eyes': {'width': 8}}}}), encoding='utf-8')
    assert bc(demo_data, tmp_path / 'run', model, short_training, '--steps', '3') == 0
    policy = load_policy(str(tmp_path / 'run' / 'checkpoint'), ROBOT)
    assert policy.policy.spec.actions.channels[:3] == ('dx', 'dy', 'dz')
    arm = {*ROBOT.end_effectors['left'].joints, 'left_gripper'}
    assert set(policy.spec.channels) == arm
    policy.reset('reach for the red box')
    chunk = policy.infer(RobotObservation(
        5, {'head': np.full((480, 640, 3), 110, np.uint8)}, ROBOT.home))
    assert chunk.actions.shape == (1, len(arm)) and np.isfinite(chunk.actions).all()


@pytest.mark.parametrize('frames', [1, 3])
def test_any_model_learns_and_acts(demo_data: Path, tmp_path: Path, short_training: Path,
                                   frames: int) -> None:
    """One that reads texts instead of word features, and looks back."""
    model = tmp_path / 'model.yaml'
    model.write_text(yaml.safe_dump({'base': 'simple_vla', 'demo': {
        'observes': {'frames': frames}, 'parts': {'eyes': {'width': 8}}}}), encoding='utf-8')
    assert bc(demo_data, tmp_path / 'run', model, short_training, '--steps', '3') == 0
    policy = load_policy(str(tmp_path / 'run' / 'checkpoint'), ROBOT)
    assert policy.policy.spec.images[0].times_s == (-0.2, -0.1, 0.0)[-frames:]
    assert not policy.policy.spec.gives
    policy.reset('walk forward')
    seen = [RobotObservation(10**8 * i, {'head': np.full((96, 128, 3), 50 * i, np.uint8)},
                             ROBOT.home) for i in range(1, 4)]
    chunks = [policy.infer(one) for one in seen]
    assert chunks[-1].actions.shape == (1, 22) and 0 <= chunks[-1].progress <= 1
    policy.reset('walk forward')
    alone = policy.infer(seen[-1])
    assert np.array_equal(alone.actions, chunks[-1].actions) == (frames == 1)
    many = [policy.policy.fork() for _ in range(2)]
    for twin, text in zip(many, ('walk forward', 'turn left')):
        twin.reset(Prompt(text))
    shown = policy.embodiment.observe(seen[-1])
    for twin, together in zip(many, many[0].infer_many(many, [shown, shown])):
        np.testing.assert_allclose(twin.infer(shown).actions, together.actions, atol=1e-5)


@pytest.mark.parametrize('model', [n for n in distinct() if n not in ('default', 'simple_vla')])
def test_every_system_learns_and_acts(demo_data: Path, tmp_path: Path, short_training: Path,
                                      model: str) -> None:
    assert bc(demo_data, tmp_path / 'run', Path(model), short_training, '--steps', '2') == 0
    policy = load_policy(str(tmp_path / 'run' / 'checkpoint'), ROBOT)
    policy.reset('walk forward')
    seen = RobotObservation(10**8, {'head': np.full((96, 128, 3), 90, np.uint8)}, ROBOT.home)
    chunk = policy.infer(seen)
    torch.manual_seed(7)  # chance from elsewhere changes no answer
    policy.reset('walk forward')
    assert np.array_equal(policy.infer(seen).actions, chunk.actions)
    assert chunk.actions.shape[1] == 22 and np.isfinite(chunk.actions).all()
    assert 0 <= chunk.progress <= 1


@pytest.mark.parametrize(('model', 'words'), [
    ({'base': 'simple_vla', 'gives': {'horizon': 9}}, 'plans 9 rows.*have 8'),
    ({'base': 'simple_vla', 'observes': {'cameras': {'wrist': [64, 64]}}}, 'looks through wrist'),
])
def test_a_model_that_the_data_cannot_teach_is_refused(
        demo_data: Path, tmp_path: Path, short_training: Path, capsys: pytest.CaptureFixture[str],
        model: dict[str, object], words: str) -> None:
    path = tmp_path / 'model.yaml'
    path.write_text(yaml.safe_dump(model), encoding='utf-8')
    assert bc(demo_data, tmp_path / 'run', path, short_training, '--steps', '3') == 2
    assert re.search(words, ' '.join(capsys.readouterr().err.split()))


@pytest.mark.parametrize('beside', [False, True])
def test_an_interrupted_run_goes_on_exactly(demo_data: Path, other_data: Path, small_model: Path,
                                            tmp_path: Path, short_training: Path, beside: bool,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (small_model, short_training, '--steps', '12',
                 *(('--beside', str(other_data)) if beside else ()))
    assert bc(demo_data, tmp_path / 'whole', *arguments) == 0

    calls = 0
    real_step = train.train_step

    def interrupted(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return real_step(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(train, 'train_step', interrupted)
    # Save after every step, as `save_every_s` would after some time.
    monkeypatch.setattr(train.time, 'monotonic', _Clock())
    assert bc(demo_data, tmp_path / 'parts', *arguments) == 130
    monkeypatch.undo()
    state = torch.load(tmp_path / 'parts' / 'training_state.pt', weights_only=True)
    assert state['step'] == 7
    assert bc(demo_data, tmp_path / 'parts', *arguments) == 0
    whole = load_file(tmp_path / 'whole' / 'checkpoint' / 'model.safetensors')
    parts = load_file(tmp_path / 'parts' / 'checkpoint' / 'model.safetensors')
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_two_processes_learn_as_one_model(demo_data: Path, small_model: Path, tmp_path: Path,
                                          short_training: Path) -> None:
    assert bc(demo_data, tmp_path, small_model, short_training, '--steps', '60',
              '--threads', '2') == 0
    lines = [json.loads(x) for x in (tmp_path / 'log.jsonl').read_text().splitlines()]
    validated = [x for x in lines if 'val/action' in x]
    assert validated[-1]['val/instruction'] < 0.8 * validated[0]['val/instruction']


class _Clock:
    """A steady clock that runs an hour between two looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 3600.0
        return self.now


def test_a_time_budget_ends_the_run(demo_data: Path, small_model: Path, short_training: Path,
                                    tmp_path: Path) -> None:
    assert bc(demo_data, tmp_path, small_model, short_training, '--steps', '100000',
              '--time-budget', '0.02') == 0
    state = torch.load(tmp_path / 'training_state.pt', weights_only=True)
    assert 0 < state['step'] < 2000
    load_checkpoint(tmp_path / 'checkpoint')


def test_a_run_can_start_from_a_checkpoint(trained: Path, demo_data: Path, small_model: Path,
                                           short_training: Path, tmp_path: Path) -> None:
    assert bc(demo_data, tmp_path, small_model, short_training, '--steps', '1',
              '--init-from', str(trained / 'checkpoint')) == 0
    before = load_file(trained / 'checkpoint' / 'model.safetensors')
    after = load_file(tmp_path / 'checkpoint' / 'model.safetensors')
    name = 'vision.stem.1.weight'
    assert torch.allclose(before[name], after[name], atol=0.01)


def test_a_run_can_start_from_a_checkpoint_of_another_robot(
        trained: Path, demo_data: Path, small_model: Path, short_training: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / 'data'
    shutil.copytree(demo_data, data)
    for shard in data.iterdir():  # a robot with a joint less
        about = json.loads((shard / 'meta.json').read_text())
        about['joint_names'].pop()
        about['channels'].pop()
        (shard / 'meta.json').write_text(json.dumps(about))
        np.save(shard / 'joints.npy', np.load(shard / 'joints.npy')[:, :-1])
        arrays = dict(np.load(shard / 'samples.npz'))
        np.savez(shard / 'samples.npz', **arrays | {'actions': arrays['actions'][..., :-1]})
    assert bc(data, tmp_path / 'run', small_model, short_training, '--steps', '1',
              '--init-from', str(trained / 'checkpoint')) == 0
    assert 'action_head' in capsys.readouterr().err
    before = load_file(trained / 'checkpoint' / 'model.safetensors')
    checkpoint = load_checkpoint(tmp_path / 'run' / 'checkpoint')
    assert len(checkpoint.spec.joint_names) == len(ROBOT.joint_names) - 1
    assert len(checkpoint.statistics.action_mean) == len(ROBOT.action_channels) - 1
    name = 'vision.stem.1.weight'
    assert torch.allclose(before[name], checkpoint.model.state_dict()[name], atol=0.01)


def test_a_cpu_without_bfloat16_computes_in_float32(
        demo_data: Path, small_model: Path, short_training: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """It was emulated there, ten times slower."""
    written = []
    for able, more in ((True, ()), (False, ()), (True, ('--float32',))):
        monkeypatch.setattr(behaviour_cloning, 'computes_bfloat16', lambda device, able=able: able)
        output = tmp_path / str(len(written))
        assert bc(demo_data, output, small_model, short_training, '--steps', '2', *more) == 0
        written.append((output / 'checkpoint' / 'model.safetensors').read_bytes())
    assert written[1] == written[2] != written[0]


def test_other_data_in_the_same_folder_is_refused(trained: Path, small_model: Path,
                                                  short_training: Path, tmp_path: Path,
                                                  write_shard: object,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path / 'data' / 'shard_00000', 5)  # type: ignore[operator]
    assert bc(tmp_path / 'data', trained, small_model, short_training) == 2
    assert 'other data' in capsys.readouterr().err


def test_the_confidence_head_learns_which_rollouts_succeed(
        trained: Path, rollout_data: Path, short_confidence: Path, tmp_path: Path) -> None:
    before = load_file(trained / 'checkpoint' / 'model.safetensors')
    code = vla(['train', '--stage', 'confidence', '--data', str(rollout_data), '--output',
                       str(tmp_path), '--checkpoint', str(trained / 'checkpoint'), '--threads',
                       '1', '--config', str(short_confidence)])
    assert code == 0
    (report,) = map(json.loads, (tmp_path / 'log.jsonl').open())
    assert report['cross_entropy'] < 0.5  # a coin has 0.69
    after = load_file(tmp_path / 'checkpoint' / 'model.safetensors')
    changed = {n.split('.')[0] for n in before if not torch.equal(before[n], after[n])}
    assert changed == {'confidence_head', 'image_novelty', 'instruction_novelty', 'scope',
                       'scope_head'}
    policy = load_policy(str(tmp_path / 'checkpoint'), ROBOT)
    heads = []
    for brightness in (110, 55):
        policy.reset('go to the red box')
        image = np.full((96, 128, 3), brightness, np.uint8)
        heads.append(policy.infer(RobotObservation(0, {'head': image}, ROBOT.home)
                                  ).signals['head'])
    assert heads[0] < heads[1]


def test_demonstrations_are_no_rollouts(trained: Path, demo_data: Path, tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    assert vla(['train', '--stage', 'confidence', '--data', str(demo_data), '--output',
                       str(tmp_path), '--checkpoint', str(trained / 'checkpoint')]) == 2
    assert 'rollouts.json' in capsys.readouterr().err
    assert not (tmp_path / 'checkpoint').exists()
