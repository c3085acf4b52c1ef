"""Octo: groups of tokens and their rules, patches with a goal, diffusion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.blockwise import (
    BEFORE,
    BlockwiseTransformer,
    may_look,
)
from vla_humanoid_control.models.parts.heads.diffusion import DiffusionHead
from vla_humanoid_control.models.parts.vision.small_stem import SmallStem
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System

SPACE = Space({'head': (64, 32), 'wrist': (32, 32)}, 3, channels=7, horizon=4, frames=2)
RULES = load_model_config('octo').parts['transformer'].settings['rules']


def test_which_group_looks_at_which() -> None:
    """Task at task; observations at task and at observations up to their step; a readout also."""
    names = ['task', 'observation', 'observation', 'action', 'action']
    steps = [BEFORE, 0, 1, 0, 1]
    looks = may_look(names, steps, RULES)
    assert looks.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 1, 1, 1]]


@pytest.mark.parametrize(('rule', 'seen'), [
    ('never', [0, 0, 0]), ('causal', [1, 1, 0]), ('current', [0, 1, 0]), ('past', [1, 0, 0]),
    ('all', [1, 1, 1])])
def test_when_a_group_looks(rule: str, seen: list[int]) -> None:
    looks = may_look(['one', 'other', 'other', 'other'], [1, 0, 1, 2], {'one': {'other': rule}})
    assert looks[0, 1:].int().tolist() == seen


def transformer() -> BlockwiseTransformer:
    torch.manual_seed(0)
    rules = {**RULES, 'progress': {'task': 'all', 'observation': 'causal', 'progress': 'causal'}}
    return BlockwiseTransformer(
        SPACE, [Shape(12, None), Shape(8, 8, (2, 2), 2), Shape(8, 2, (1, 1), 2), Shape(6)],
        width=16, heads=2, layers=2, hidden=32,
        groups=['task', 'observation', 'observation', 'observation'], rules=rules,
        readouts={'action': 1, 'progress': 2}, repeat='observation', length=5).eval()


def streams() -> list[Tokens]:
    torch.manual_seed(1)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    return [Tokens(torch.randn(2, 3, 12), mask), Tokens(torch.randn(2, 8, 8)),
            Tokens(torch.randn(2, 2, 8)), Tokens(torch.randn(2, 1, 6))]


def test_readouts_read_everything_and_write_nothing() -> None:
    part, given = transformer(), streams()
    with torch.no_grad():
        before = part(*given)
        assert before.action.values.shape == (2, 1, 16)
        assert before.progress.values.shape == (2, 2, 16)
        part.positions[-1].add_(1.0)  # of the readout `progress`
        after = part(*given)
        assert torch.equal(before.action.values, after.action.values)
        assert not torch.equal(before.progress.values, after.progress.values)
        for i, stream in enumerate(given):
            changed = [*given[:i], replace(stream, values=stream.values + 1), *given[i + 1:]]
            assert not torch.equal(part(*changed).action.values, after.action.values), i


def test_words_that_are_not_there_are_not_read() -> None:
    part, given = transformer(), streams()
    filled = given[0].values.clone()
    filled[1, 1:] = 100.0
    with torch.no_grad():
        one, other = (part(words, *given[1:]).action.values
                      for words in (given[0], Tokens(filled, given[0].mask)))
    assert torch.equal(one, other)


def test_the_published_layout() -> None:
    config = load_model_config('octo')
    with torch.device('meta'):
        system = System(config, config.space)
    head, wrist = system.head_patches.gives, system.wrist_patches.gives
    assert (head.tokens, wrist.tokens) == (2 * 256, 2 * 64)
    shapes = [tuple(p.shape) for p in system.transformer.positions]
    assert shapes == [(1, 16, 384), (10, 256, 384), (10, 64, 384), (10, 1, 384)]


def test_an_absent_goal_is_black_and_another_one_matters() -> None:
    torch.manual_seed(0)
    stem = SmallStem(SPACE, [None], width=8, features=[4, 4, 8, 8])
    image = Frames(torch.randn(1, 2, 3, 32, 64), torch.zeros(2, dtype=torch.long))
    goals = Frames(torch.full((2, 1, 3, 32, 64), -1.0), torch.arange(2))
    goals.pixels[1] = torch.randn(3, 32, 64)
    with torch.no_grad():
        plain, led = stem(image), stem(image, goals)
    assert plain.values.shape == (2, 2 * 2 * 4, 8) and stem.gives.grid == (2, 4)
    torch.testing.assert_close(plain.values[0], led.values[0])
    assert not torch.allclose(plain.values[1], led.values[1])


@pytest.mark.parametrize('settings', [
    {}, {'predicts': 'actions'}, {'sampler': 'ddim'}, {'sampler': 'ddim', 'sampling_steps': 4}])
def test_a_perfect_score_network_finds_the_actions(settings: dict[str, object],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    head = DiffusionHead(SPACE, [Shape(8)], **settings)  # type: ignore[arg-type]
    actions = torch.randn(3, 4, 7).clamp(-2, 2)

    def score(_: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        kept, clean = head.kept[step][..., None], actions.flatten(1)
        return clean.expand_as(noisy) if head.predicts == 'actions' else \
            (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
    monkeypatch.setattr(head.score, 'forward', score)
    read = head(Tokens(torch.zeros(3, 1, 8)))
    found = head.predict(read, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, actions, atol=1e-3, rtol=1e-3)
    assert float(head.loss(read, Targets(actions)).max()) < 1e-6


def test_noise_only_grows() -> None:
    kept = DiffusionHead(SPACE, [Shape(8)]).kept
    assert len(kept) == 20 and (kept[1:] < kept[:-1]).all()
    assert kept[0] > 0.99 and kept[-1] < 1e-4


def test_settings_that_do_not_fit_are_refused() -> None:
    for settings in ({'sampler': 'euler'}, {'predicts': 'x'}, {'sampling_steps': 5},
                     {'sampler': 'ddim', 'sampling_steps': 21}):
        with pytest.raises(ValueError):
            DiffusionHead(SPACE, [Shape(8)], **settings)  # type: ignore[arg-type]
    for change in ({'groups': ['task']}, {'repeat': 'words'}, {'steps': 1},
                   {'rules': {'task': {'task': 'often'}}}, {'readouts': {'task': 1}}):
        with pytest.raises(ValueError):
            BlockwiseTransformer(SPACE, [Shape(8, 2, None, 2), Shape(8)], **{
                'width': 8, 'heads': 1, 'layers': 1, 'hidden': 8, 'readouts': {'action': 1},
                'groups': ['observation', 'task'], 'rules': {}, **change})  # type: ignore[arg-type]
