"""OpenVLA: two towers patch by patch, and actions as the last 256 tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.learning.behaviour_cloning import measure
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.heads.tokens import ActionTokens
from vla_humanoid_control.models.parts.language.causal import Llama
from vla_humanoid_control.models.parts.vision.projector import Projector
from vla_humanoid_control.models.streams import Shape
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.transforms import normalise_actions, restore_actions


def published() -> System:
    config = load_model_config('openvla')
    with torch.device('meta'):
        return System(config, config.space)


def test_published_it_is_as_published() -> None:
    system = published()
    projector, head = system.part('projector', Projector), system.part('action', ActionTokens)
    layers = [m for m in projector.net if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [
        (2176, 8704), (8704, 4096), (4096, 4096)]
    assert projector.gives == Shape(4096, 256, (16, 16))
    assert (head.first, head.first + head.bins) == (31744, 32000)
    assert head.edges == 256, '255 centres'
    assert system.part('language', Llama).prompt.pieces[:5] == [
        '', 'begin', '', 'image',
        'In: What action should the robot take to {text}?\nOut: ']


def test_what_comes_after_the_features_is_kept_and_frozen() -> None:
    frozen = {name for name, p in published().named_parameters() if not p.requires_grad}
    assert {name.split('.')[0] for name in frozen} == {'dino', 'siglip'}
    assert any(name.startswith('siglip.network.head.') for name in frozen)
    assert any('.23.' in name for name in frozen) and not any('.22.' in name for name in frozen)


def test_at_demo_size_the_last_256_tokens_are_actions() -> None:
    config = load_model_config('openvla', demo=True)
    head, language = config.parts['action'].settings, config.parts['language'].settings
    assert head['first'] + 256 == language['vocabulary']


def test_actions_are_normalised_by_percentiles(demo_data: Path) -> None:
    shards = ShardSet(find_shards([demo_data])['train'])
    actions = shards.samples.actions
    assert actions.shape[2] > 3
    actions[0, 0, 2], actions[1, 0, 2] = 40.0, -50.0  # which mean and deviation would follow
    for demo in (False, True):
        config = load_model_config('openvla', demo=demo)
        assert config.scale == 'percentiles'
        assert {config.parts['action'].settings.get(n) for n in ('low', 'high')} == {None}
    statistics = measure(shards, config.scale)
    low, high = np.percentile(actions.reshape(-1, actions.shape[2])[:, 2], [1, 99])
    assert statistics.action_mean[2] == pytest.approx((low + high) / 2, abs=1e-6)
    assert statistics.action_std[2] == pytest.approx((high - low) / 2, abs=1e-6)
    assert statistics.action_std.min() >= 0.005 and statistics.action_std[2] < 2
    made = normalise_actions(torch.from_numpy(actions), statistics)
    assert made.abs().max() == 1
    turn = actions[:, :, 2]
    assert ((turn < low) | (turn > high)).sum() >= 2  # those two, at least
    np.testing.assert_allclose(restore_actions(made, statistics)[:, :, 2],
                               np.clip(turn, low, high), atol=1e-5)
