"""SmolVLA: what is trained, who looks at whom, layers in turn, flow matching."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.smolvlm import Cache, Prefix, squared
from vla_humanoid_control.models.parts.heads.flow import FlowHead
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System


@pytest.fixture(scope='module')
def published() -> Any:
    config = load_model_config('smolvla')
    with torch.device('meta'):
        return System(config, config.space)


@pytest.fixture(scope='module')
def demo() -> Any:
    config = load_model_config('smolvla', demo=True)
    torch.manual_seed(0)
    return System(config, config.space).eval()


def prefix_of(demo: Any, body: Tensor, texts: tuple[str, ...] = ('wave', 'go to the red box')
              ) -> Prefix:
    image = Frames(torch.randn(2, 1, 3, 96, 128, generator=torch.Generator().manual_seed(0)),
                   torch.arange(2))
    with torch.no_grad():
        made: Prefix = demo.prefix(image, texts, Tokens(body))
    return made


def test_what_is_trained_is_the_published_count(published: Any) -> None:
    trained = {name: p.numel() for name, p in published.named_parameters() if p.requires_grad}
    assert sum(trained.values()) == 99_880_992
    assert not any(name.startswith('prefix.network') for name in trained)


def test_self_and_cross_attention_take_turns(published: Any) -> None:
    inputs = [layer.self_attn.k_proj.in_features for layer in published.action.expert.layers]
    assert inputs == [720, 320] * 8  # of the expert's own tokens, and of the prefix's keys


def test_a_frame_is_64_tokens(published: Any) -> None:
    patches = torch.empty(2, 32 * 32, 768, device='meta')  # of 16 px, in an image of 512 px
    assert published.prefix.network.model.connector(patches).shape == (2, 64, 960)


def test_images_and_words_do_not_see_the_state(demo: Any) -> None:
    body = torch.randn(2, 2, 64)
    one, other = prefix_of(demo, body), prefix_of(demo, body + 1)
    tokens = one.tokens.values.shape[1]
    assert tokens == 16 + one.cache.exists.shape[1] - 18 + 2  # image, words, body
    for before, after in zip(one.cache.keys, other.cache.keys):
        assert torch.equal(before[:, :, :-2], after[:, :, :-2])
        assert not torch.equal(before[:, :, -2:], after[:, :, -2:])
    reworded = prefix_of(demo, body, ('jump', 'go to the red box'))
    assert not torch.equal(one.cache.keys[-1][0, :, :16], reworded.cache.keys[-1][0, :, :16])
    torch.testing.assert_close(one.cache.keys[-1][1], reworded.cache.keys[-1][1])


def test_actions_look_back_and_at_the_prefix(demo: Any) -> None:
    cache = prefix_of(demo, torch.randn(2, 2, 64)).cache
    expert = demo.action.expert
    x = torch.randn(2, 8, 96)
    changed = x.clone()
    changed[:, 5] += 1
    with torch.no_grad():
        pairs = expert.read(cache)
        one, other = (expert(v, pairs, cache.exists) for v in (x, changed))
        torch.testing.assert_close(one[:, :5], other[:, :5])
        assert not torch.allclose(one[:, 6:], other[:, 6:])
        for i in range(len(pairs)):
            keys = [*cache.keys[:i], cache.keys[i] + 1, *cache.keys[i + 1:]]
            values = [*cache.values[:i], cache.values[i] + 1, *cache.values[i + 1:]]
            led = expert(x, expert.read(Cache(tuple(keys), tuple(values), cache.exists)),
                         cache.exists)
            assert not torch.allclose(one, led), f'layer {i} does not look at the prefix'
        # What is padded is not looked at.
        padded = ~cache.exists[:, None, :, None]
        assert padded.any()
        filled = [t.masked_fill(padded, 9.0) for t in (*cache.keys, *cache.values)]
        half = len(filled) // 2
        same = expert(x, expert.read(Cache(tuple(filled[:half]), tuple(filled[half:]),
                                           cache.exists)), cache.exists)
    torch.testing.assert_close(one, same)


def test_a_perfect_velocity_leads_to_the_actions(demo: Any, monkeypatch: pytest.MonkeyPatch
                                                 ) -> None:
    head: FlowHead = demo.action
    cache = head(prefix_of(demo, torch.randn(2, 2, 64)).cache)
    actions = torch.randn(2, 8, 22)

    def velocity(x: Tensor, time: Tensor, *_: Any) -> Tensor:
        return (x - actions) / time[:, None, None]  # x = t * noise + (1 - t) * actions
    monkeypatch.setattr(head, '_velocity', velocity)
    torch.testing.assert_close(head.predict(cache, torch.Generator().manual_seed(0)), actions,
                               atol=1e-5, rtol=1e-5)
    loss = head.loss(cache, Targets(actions), torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, torch.zeros(2), atol=1e-6, rtol=0)


def test_images_are_padded_at_the_left_and_at_the_top() -> None:
    made = squared(torch.ones(1, 3, 96, 128), 64)
    assert made.shape == (1, 3, 64, 64)
    assert (made[..., :16, :] == -1).all() and (made[..., 16:, :] == 1).all()
    assert (squared(torch.ones(1, 3, 64, 32), 64)[..., :32] == -1).all()


def test_a_flow_needs_a_cache() -> None:
    with pytest.raises(ValueError):
        FlowHead(Space({'head': (8, 8)}, 1, 2, 2), [Shape(8)], width=8, heads=2, hidden=8)
