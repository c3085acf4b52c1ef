"""CLIP learns what objects in view are called, and finds those that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.data.object_views import ObjectViews
from vla_humanoid_control.learning.crops import (
    CropConfig,
    CropPairs,
    judge_choices,
    phrase,
    pretrain,
)
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.streams import Space
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.zero_shot import choose_object, crop
from vla_humanoid_control.support.errors import UserError

pytest.importorskip('mujoco')

from vla_humanoid_control.collection.object_views import ViewSampler, rows_of
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.seeing import SIZE

SCENES = Callable[[range], ObjectViews]


@pytest.fixture(scope='module')
def scenes() -> SCENES:
    """Pictures of scenes of the simulator, by their seeds."""
    sampler = ViewSampler(load_robot('humanoid'))

    def draw(seeds: range) -> ObjectViews:
        views = [view for seed in seeds for view in sampler.scene(seed)]
        return ObjectViews.of(sampler.robot, [resize_image(v.image, SIZE) for v in views],
                              [v.joints for v in views],
                              [row for i, v in enumerate(views) for row in rows_of(v, i)])
    return draw


def system(name: str = 'clip') -> System:
    config = load_model_config(name, demo=True)
    torch.manual_seed(0)
    return System(config, Space({'head': (128, 96)}, 31, 22, config.space.horizon)).eval()


@pytest.mark.timeout(900)
def test_after_a_short_training_a_phrase_names_its_object_in_other_scenes(scenes: SCENES) -> None:
    learnt, held_out = scenes(range(24)), scenes(range(1000, 1048))
    clip = system()
    torch.set_num_threads(1)
    before = judge_choices(clip, held_out)
    losses = pretrain(clip, CropPairs(learnt), CropConfig(80, 32, 1e-3), 0)
    after = judge_choices(clip, held_out)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert after.asked == before.asked > 60
    # Above chance by more than three deviations of as many guesses.
    deviation = (after.chance * (1 - after.chance) / after.asked) ** 0.5
    share = after.right / after.asked
    print(f'{before.right} before, {after.right} after of {after.asked}, chance {after.chance}')
    assert share > after.chance + 3 * deviation


def test_a_crop_is_what_is_in_the_box() -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image[40:60, 100:128] = 200
    assert crop(image, (100 / 128, 40 / 96, 1.0, 60 / 96), (32, 32)).max() == 200
    assert crop(image, (0.0, 0.0, 0.2, 0.2), (32, 32)).max() == 0
    assert crop(image, (0.5, 0.5, 0.5, 0.5), (32, 24)).shape == (24, 32, 3)
    assert phrase(0.0, 0.0).startswith('a ')


def test_each_phrase_has_a_probability_of_each_object() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    boxes = [(0.0, 0.0, 0.3, 0.3), (0.5, 0.1, 0.9, 0.6), (0.2, 0.6, 0.4, 0.9)]
    chances = choose_object(system(), image, boxes, ['a red box', 'a blue cup'])
    assert chances.shape == (2, 3) and torch.allclose(chances.sum(1), torch.ones(2))
    alone = choose_object(system(), image, boxes, ['a blue cup'])
    assert torch.allclose(alone[0], chances[1], atol=1e-5)


def test_models_that_compare_nothing_are_refused() -> None:
    with pytest.raises(UserError, match='such as clip'):
        choose_object(system('simple_vla'), np.zeros((96, 128, 3), np.uint8),
                      [(0.0, 0.0, 1.0, 1.0)], ['a red box'])


@pytest.mark.timeout(300)
@pytest.mark.parametrize('name', ['clip', 'simple_vla'])
def test_a_run_begins_with_crops_and_goes_on_without_them(
        scenes: SCENES, demo_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        name: str) -> None:
    (tmp_path / 'pictures').mkdir()
    scenes(range(12)).write(tmp_path / 'pictures' / 'shard_00000.npz')
    run = {'model': name, 'training': {
        'data': [str(demo_data)], 'output': str(tmp_path / 'run'), 'steps': 1, 'threads': 1,
        'crops': str(tmp_path / 'pictures'), 'pretraining': {'steps': 3, 'batch_size': 4},
        'phrasings_per_task': 2, 'batch_size': 8, 'texts_per_batch': 4,
        'out_of_scope_per_batch': 2, 'captions_per_batch': 0}}
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump(run), encoding='utf-8')
    code, told = vla(['train', str(path)]), capsys.readouterr().err
    if name == 'simple_vla':  # which compares nothing
        assert code == 2 and 'such as clip' in told and not (tmp_path / 'run').exists()
        return
    assert code == 0 and 'name the right object' in told
    run['training']['steps'] = 2
    path.write_text(yaml.safe_dump(run), encoding='utf-8')
    assert vla(['train', str(path)]) == 0
    assert 'name the right object' not in capsys.readouterr().err
