"""RT-2: eight integers, the first of which says whether to terminate; a plan in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.heads.tokens import ActionTokens, Terminate
from vla_humanoid_control.models.parts.language.causal import Gemma, Prefix
from vla_humanoid_control.models.streams import Shape, Space, Targets
from vla_humanoid_control.models.system import System

SPACE = Space({'head': (32, 32)}, 31, 7, 1)
FIRST, VOCABULARY = 30522, 30522 + 256
TEXTS = ('wave', 'go to the red box')


@dataclass(frozen=True)
class Planned(Targets):
    """Targets with plans in words."""

    answers: Sequence[str] | None = None


def prefix() -> Prefix:
    torch.manual_seed(0)
    language = Gemma(SPACE, [None], width=16, layers=2, heads=2, key_heads=1, positions=128,
                     vocabulary=VOCABULARY, prompt='Q: {text}? A:', look_ahead=True).eval()
    made: Prefix = language(TEXTS)
    return made


def head(**settings: Any) -> ActionTokens:
    return ActionTokens(SPACE, [{'logits': Shape(VOCABULARY)}], first=FIRST, **settings)


def targets(progress: float) -> Targets:
    noise = torch.rand(2, 1, 7, generator=torch.Generator().manual_seed(0))
    return Targets(noise * 2 - 1, progress=torch.full((2,), progress))


def test_published_it_is_paligemma() -> None:
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration
    config = load_model_config('rt2')
    vision = {'model_type': 'siglip_vision_model', 'hidden_size': 1152, 'image_size': 224,
              'intermediate_size': 4304, 'num_hidden_layers': 27, 'num_attention_heads': 16,
              'patch_size': 14, 'vision_use_head': False}
    text = {'model_type': 'gemma', 'hidden_size': 2048, 'num_hidden_layers': 18,
            'intermediate_size': 16384, 'num_attention_heads': 8, 'num_key_value_heads': 1,
            'head_dim': 256, 'vocab_size': 257216}
    with torch.device('meta'):
        original = PaliGemmaForConditionalGeneration(PaliGemmaConfig(
            vision_config=vision, text_config=text, projection_dim=2048))
        system = System(config, config.space)
    assert sum(p.numel() for p in original.parameters()) == config.parameters['total']
    action = system.part('action', ActionTokens)
    assert config.space.channels + (action.terminate is not None) == 8, 'integers'
    assert action.bins == 256


def test_the_first_integer_says_whether_to_terminate() -> None:
    """It is taught, and the others follow it; what it says is the progress."""
    read, tokens = prefix(), head(terminate=0.9)
    terminate = Terminate(SPACE, [{'logits': Shape(VOCABULARY)}], first=FIRST)
    with torch.no_grad():
        for progress, integer in ((0.5, 0), (0.95, 1)):
            after = read.extend(torch.full((2, 1), FIRST + integer))
            torch.testing.assert_close(tokens.loss(read, targets(progress)),
                                       head().loss(after, targets(progress)))
        # All answer as after a 0, and none as after a 1: with no training it is in between.
        assert torch.equal(tokens.predict(read),
                           head().predict(read.extend(torch.full((2, 1), FIRST))))
        torch.testing.assert_close(  # who does not say how far the task is leaves it to the model
            tokens.loss(read, Targets(targets(0.0).actions)), tokens.loss(read, targets(0.0)))
        logits = read.logits.values[:, 0, FIRST:FIRST + 2]
        torch.testing.assert_close(terminate.predict(terminate(read)), logits.softmax(1)[:, 1])


def test_an_action_follows_its_plan() -> None:
    read, tokens = prefix(), head(plan=4)
    taught = targets(0.0)
    with torch.no_grad():
        plain = tokens.loss(read, taught)
        one, other = (tokens.loss(read, Planned(taught.actions, answers=plans))
                      for plans in (('turn left', ''), ('turn right', '')))
        torch.testing.assert_close(plain, head().loss(read, taught))
        assert one[0] != other[0] and torch.equal(one[1], other[1])
        assert tokens.predict(read).shape == (2, 1, 7)


def test_a_plan_is_said_before_the_action() -> None:
    """A model that is taught to plan and to act, and acts as in the plan's row."""
    read, tokens = prefix(), head(plan=4)
    assert read.model.tokenizer is not None
    with torch.no_grad():
        table = read.model.network.get_input_embeddings().weight
        # Its likeliest word is always the end: the plan is empty, and the action follows '.
        # Action:'.
        table[read.model.tokenizer.end] = read.last.values.mean(0)[0] * 100
        ids, mask = read.model.tokenizer(['. Action:'] * 2)
        assert torch.equal(tokens.predict(read), head().predict(read.extend(ids, mask)))
