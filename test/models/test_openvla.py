"""OpenVLA: two towers patch by patch, and actions as the last 256 tokens."""

from __future__ import annotations

import torch

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.heads.tokens import ActionTokens
from vla_humanoid_control.models.parts.language.causal import Llama
from vla_humanoid_control.models.parts.vision.projector import Projector
from vla_humanoid_control.models.streams import Shape
from vla_humanoid_control.models.system import System


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
