"""Experts and adapters, and the gates that weigh them."""

from __future__ import annotations

import pytest
import torch

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.experts import Adapters, Experts
from vla_humanoid_control.models.parts.heads.pose import PoseHead
from vla_humanoid_control.models.streams import Shape, Space, Tokens
from vla_humanoid_control.models.system import System

SPACE = Space({'head': (32, 32)}, 31, 22, 1)
NAMES = ('manipulation', 'navigation', 'grasping')


def tokens(width: int, seed: int) -> Tokens:
    return Tokens(torch.randn(2, 1, width, generator=torch.Generator().manual_seed(seed)))


def test_experts_are_weighed_by_image_and_words() -> None:
    torch.manual_seed(0)
    experts = Experts(SPACE, [Shape(8), Shape(4)], width=6, hidden=16, experts=4)
    plain = experts(tokens(8, 0), tokens(4, 0))
    assert plain.token.values.shape == (2, 1, 6) and plain.weights.values.shape == (2, 1, 4)
    torch.testing.assert_close(plain.weights.values.sum(-1), torch.ones(2, 1))
    for image, words in ((1, 0), (0, 1)):
        other = experts(tokens(8, image), tokens(4, words))
        assert not torch.allclose(other.weights.values, plain.weights.values)


def test_a_sure_gate_gives_the_answer_of_its_expert() -> None:
    experts = Experts(SPACE, [Shape(8)], width=6, hidden=16, experts=4)
    with torch.no_grad():
        experts.gate.bias[2] = 1e4
    x = tokens(8, 0)
    torch.testing.assert_close(experts(x).token.vector, experts.experts[2](x.vector))


def test_adapters_start_as_the_identity_and_the_words_choose_them() -> None:
    adapters = Adapters(SPACE, [Shape(8), Shape(4)], names=NAMES, hidden=4)
    x = tokens(8, 0)
    assert torch.equal(adapters(x, tokens(4, 0)).token.values, x.values)
    for parameter in adapters.parameters():
        torch.nn.init.normal_(parameter)
    one, other = (adapters(x, tokens(4, seed)) for seed in (0, 1))
    assert not torch.allclose(one.token.values, other.token.values)
    with pytest.raises(ValueError, match='what chooses'):
        Adapters(SPACE, [Shape(8)], names=NAMES, hidden=4)


def test_published_it_gives_poses_by_four_experts_and_three_adapters() -> None:
    config = load_model_config('rt2_moe')
    with torch.device('meta'):
        system = System(config, config.space)
    assert isinstance(system.part('action', PoseHead), PoseHead)
    assert len(system.part('fused', Experts).experts) == 4
    assert tuple(system.part('adapted', Adapters).adapters) == NAMES
    assert config.parameters['language'] == 124_439_808, 'GPT-2'
