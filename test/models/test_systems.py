"""The contract: what every system in `config/models/` fulfils."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from vla_humanoid_control.models.attention_maps import attention_maps
from vla_humanoid_control.models.config import (
    ModelConfig,
    distinct,
    load_model_config,
    model_names,
)
from vla_humanoid_control.models.parts.part import Head
from vla_humanoid_control.models.streams import Inputs, Space, Targets, Tokens
from vla_humanoid_control.models.system import System
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

TEXTS = ('go to the red box', 'turn left', 'wave', 'walk forward', 'reach for the blue cup',
         'look up', 'stop', 'raise your right hand')
STEPS, RATE = 120, 2e-3
WITHOUT_ATTENTION = {'minerva', 'simple_vla'}
# Of our own parts, and of those from `transformers`; an expert has a map for each layer.
SOME_ATTENTION = {
    'default': {'language.attention', 'query', 'fusion.layers.0', 'fusion.layers.1.2'},
    'openvla': {'dino', 'siglip', 'language'}, 'smolvla': {'prefix', 'action.expert.4'},
    'act': {'action.encoder.0.attention', 'action.decoder.layers.0.cross'}}


@pytest.fixture(params=distinct(), scope='module')
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope='module')
def config(name: str) -> ModelConfig:
    return load_model_config(name, demo=True)


@pytest.fixture
def system(config: ModelConfig) -> System:
    torch.manual_seed(0)
    return System(config, robot_space(config)).eval()


def robot_space(config: ModelConfig) -> Space:
    """What a system is made for that is trained for our robot: all but history and horizon."""
    return replace(config.space, images=dict.fromkeys(config.space.images, (128, 96)), joints=31,
                   channels=22)


def inputs_for(space: Space, rows: int, seed: int = 0) -> Inputs:
    """Noise, and a text for each row; two rows look at one frame."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).clamp(-1, 1)
    frames = (rows + 1) // 2
    mask = torch.arange(6) < torch.randint(2, 7, (rows, 1), generator=generator)
    return Inputs(
        {role: noise(frames, space.frames, 3, height, width)
         for role, (width, height) in space.images.items()},
        torch.arange(rows) // 2, noise(rows, space.joints), noise(rows, 16),
        Tokens(noise(rows, 6, 384) * mask[..., None], mask),
        tuple(TEXTS[i % len(TEXTS)] for i in range(rows)))


def row_of(inputs: Inputs, row: int) -> Inputs:
    """One row of a batch, as a batch."""
    assert inputs.frame is not None and inputs.joints is not None and inputs.time is not None
    assert inputs.words is not None and inputs.text is not None
    one, frame = slice(row, row + 1), int(inputs.frame[row])
    return Inputs({r: v[frame:frame + 1] for r, v in inputs.images.items()},
                  torch.zeros(1, dtype=torch.long), inputs.joints[one], inputs.time[one],
                  Tokens(inputs.words.values[one], inputs.words.exists[one]), inputs.text[one])


def targets_for(space: Space, rows: int) -> Targets:
    generator = torch.Generator().manual_seed(3)
    return Targets(
        torch.randn(rows, space.horizon, space.channels, generator=generator).clamp(-1.5, 1.5),
        torch.ones(space.channels), torch.rand(rows, generator=generator),
        torch.tensor([[1.0, 0.2, -0.3, 2.0]]).repeat(rows, 1),
        torch.zeros(rows, 6, dtype=torch.long), torch.ones(rows))


def losses(system: System, seed: int = 0, rows: int = 8) -> dict[str, torch.Tensor]:
    return system.loss(system(inputs_for(system.space, rows)), targets_for(system.space, rows),
                       torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('published', model_names())
def test_its_published_size_is_exact(published: str) -> None:
    config = load_model_config(published)
    assert config.parameters, 'every system says its size'
    with torch.device('meta'):
        system = System(config, config.space)

    def count(path: str) -> int:
        return sum(p.numel() for p in system.get_submodule(path).parameters())
    wanted = dict(config.parameters)
    total = count('') - sum(count(part) for part in config.uncounted)
    assert {'total': total, **{p: count(p) for p in wanted if p != 'total'}} == wanted


def test_every_head_answers_and_is_taught(system: System) -> None:
    values = losses(system)
    assert 'action' in values and 'progress' in values
    for value in values.values():
        assert value.shape == (8,) and torch.isfinite(value).all()
    streams = system(inputs_for(system.space, 8))
    actions = system.predict(streams, 'action', torch.Generator().manual_seed(0))
    assert actions.shape == (8, system.space.horizon, system.space.channels)
    assert torch.isfinite(actions).all() and actions.dtype == torch.float32
    progress = system.predict(streams, 'progress')
    assert progress.shape == (8,) and ((progress >= 0) & (progress <= 1)).all()


def unreached(system: System) -> Iterator[str]:
    for name, parameter in system.cloned():
        if parameter.grad is None or not parameter.grad.abs().max() > 0:
            yield name


def test_gradients_reach_what_learns_and_nothing_else(system: System) -> None:
    """Two steps: what starts as the identity passes no gradient on in the first."""
    system.train()
    optimizer = torch.optim.AdamW([p for _, p in system.cloned()], lr=1e-3)
    missing = set(dict(system.cloned()))
    for step in range(2):
        optimizer.zero_grad(set_to_none=True)
        torch.stack([v.mean() for v in losses(system, step).values()]).sum().backward()
        missing &= set(unreached(system))
        optimizer.step()
    silent = {n for n in missing if 'embedding' not in n and 'embed_tokens' not in n}
    assert not silent
    for name, parameter in system.named_parameters():
        if name not in dict(system.cloned()):
            assert parameter.grad is None, name


@pytest.mark.timeout(600)
def test_it_learns_eight_samples_by_heart(system: System) -> None:
    system.train()
    inputs, targets = inputs_for(system.space, 8), targets_for(system.space, 8)
    optimizer = torch.optim.AdamW([p for _, p in system.cloned()], lr=RATE, weight_decay=0.0)
    values = []
    for step in range(STEPS):
        torch.manual_seed(step)
        loss = system.loss(system(inputs), targets, torch.Generator().manual_seed(step))['action']
        optimizer.zero_grad(set_to_none=True)
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
        optimizer.step()
        values.append(float(loss.detach().mean()))
        first, last = sum(values[:10]) / 10, sum(values[-10:]) / 10
        if last < 0.5 * first:
            break
    assert last < 0.5 * first, f'{first:.3f} to {last:.3f}'


def test_it_comes_back_bit_for_bit(system: System, config: ModelConfig) -> None:
    torch.manual_seed(1)
    twin = System(ModelConfig.from_dict(json.loads(json.dumps(config.to_dict())), 'copy'),
                  system.space).eval()
    twin.load_state_dict(load(save({k: v.contiguous() for k, v in system.state_dict().items()})))
    inputs = inputs_for(system.space, 2)
    with torch.no_grad():
        one, other = (s.predict(s(inputs), 'action', torch.Generator().manual_seed(0))
                      for s in (system, twin))
    assert torch.equal(one, other)


def test_a_row_alone_is_answered_as_in_a_batch(system: System) -> None:
    inputs = inputs_for(system.space, 8)
    with torch.no_grad():
        for head, part in system.heads():
            if part.learns in ('progress', 'confidence', 'instruction'):
                whole, alone = (system(i)[head] for i in (inputs, row_of(inputs, 5)))
                torch.testing.assert_close(whole[5:6], alone, atol=1e-4, rtol=1e-3)
        targets, one = targets_for(system.space, 8), targets_for(system.space, 1)
        assert targets.actions is not None
        rows = replace(targets, actions=targets.actions[5:6].repeat(8, 1, 1))
        alike = replace(one, actions=targets.actions[5:6])
        name, head_part = system.head('action') or ('', Head())
        if not head_part.draws:
            whole = head_part.loss(system(inputs)[name], rows)
            alone = head_part.loss(system(row_of(inputs, 5))[name], alike)
            torch.testing.assert_close(whole[5:6], alone, atol=1e-4, rtol=1e-3)


def test_chance_comes_from_the_generator_alone(system: System) -> None:
    inputs = inputs_for(system.space, 3)
    with torch.no_grad():
        answers = []
        for seed in (0, 0):
            torch.manual_seed(len(answers))
            answers.append(system.predict(system(inputs), 'action',
                                          torch.Generator().manual_seed(seed)))
        assert torch.equal(*answers)
        torch.manual_seed(9)
        one = losses(system, 4)
        torch.manual_seed(10)
        other = losses(system, 4)
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_the_instruction_and_the_image_matter(system: System) -> None:
    """To something that the action or the progress is made of, however little it has learnt."""
    inputs = inputs_for(system.space, 2)
    assert inputs.words is not None
    other = inputs_for(system.space, 2, seed=5)
    reworded = replace(inputs, words=other.words, text=('jump', 'sit down'))
    elsewhere = replace(inputs, images=other.images)
    torch.manual_seed(0)
    for parameter in system.parameters():  # what starts as zero or the identity lets nothing by
        if parameter.requires_grad:
            parameter.data.add_(0.02 * torch.randn(parameter.shape))
    with torch.no_grad():
        plain, *others = (system.predict(system(i), 'action', torch.Generator().manual_seed(0))
                          for i in (inputs, reworded, elsewhere))
        progress, *changed = (system.predict(system(i), 'progress')
                              for i in (inputs, reworded, elsewhere))
    for action, how_far in zip(others, changed):
        assert not torch.equal(plain, action) or not torch.equal(progress, how_far)


def test_no_weight_knows_how_many_tasks_there_are(name: str, system: System) -> None:
    if name == 'default':
        pytest.skip('its checkpoint keeps the shape that it has')
    for key, value in system.state_dict().items():
        assert len(TASK_KEYS) not in value.shape, key


def test_attention_is_told_and_answers_are_the_same(name: str, system: System) -> None:
    inputs = inputs_for(system.space, 2)

    def answer() -> torch.Tensor:
        made: torch.Tensor = system.predict(system(inputs), 'action',
                                            torch.Generator().manual_seed(0))
        return made
    with torch.no_grad():
        before = answer()
        with attention_maps(system) as maps:
            during = answer()
        assert torch.equal(answer(), before)
    torch.testing.assert_close(during, before, atol=1e-5, rtol=1e-5)
    assert bool(maps) == (name not in WITHOUT_ATTENTION), sorted(maps)
    for where, seen in maps.items():
        assert where and seen.ndim == 4 and seen.min() >= 0 and not seen.requires_grad, where
        torch.testing.assert_close(seen.float().sum(-1), torch.ones(seen.shape[:-1]), atol=1e-4,
                                   rtol=0)
    assert SOME_ATTENTION.get(name, set()) <= {
        where[:end] for where in maps for end, sign in enumerate(f'{where}.') if sign == '.'}
