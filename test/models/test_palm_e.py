"""PaLM-E: visual and state tokens anywhere in the prompt; an answer in text or in action."""

from __future__ import annotations

import torch

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.heads.answer import Answer
from vla_humanoid_control.models.parts.heads.tokens import ActionTokens
from vla_humanoid_control.models.parts.language.causal import CausalLanguageModel
from vla_humanoid_control.models.streams import Frames, Inputs, Space, Tokens
from vla_humanoid_control.models.system import System

SPACE = Space({'head': (64, 48)}, 31, 22, 1)


def system() -> System:
    torch.manual_seed(0)
    return System(load_model_config('palm_e', demo=True), SPACE).eval()


def inputs(text: str = 'pick up the cup') -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return Inputs({'head': torch.rand(1, 1, 3, 48, 64, generator=generator)},
                  torch.zeros(1, dtype=torch.long), torch.rand(1, 31, generator=generator),
                  torch.rand(1, 16, generator=generator), text=(text,))


def test_images_and_states_stand_among_the_words() -> None:
    model = system()
    language = model.part('language', CausalLanguageModel)
    assert language.tokenizer is not None
    seen: list[torch.Tensor] = []
    language.network.register_forward_pre_hook(
        lambda _, __, given: seen.append(given['inputs_embeds']), with_kwargs=True)
    streams = model(inputs())
    streams['language']
    word = {text: language.embed(language.tokenizer([text])[0])
            for text in ('given', '. q: how to pick up the cup? a:')}
    begin = language.embed(torch.tensor([[language.tokenizer.begin]]))
    wanted = [begin, word['given'], streams['affine'].values, streams['state'].values,
              word['. q: how to pick up the cup? a:']]
    torch.testing.assert_close(seen[0], torch.cat(wanted, dim=1))


def test_it_answers_in_text_or_in_action() -> None:
    model = system()
    with torch.no_grad():
        streams = model(inputs())
        said = model.part('answer', Answer).predict(streams['answer'])
        done = model.part('action', ActionTokens).predict(streams['action'])
    assert len(said) == 1 and isinstance(said[0], str)
    assert done.shape == (1, 1, 22)


def test_a_camera_more_is_a_place_more() -> None:
    """The prompt names each stream: two images may stand apart."""
    from vla_humanoid_control.models.parts.language.causal import Gemma
    from vla_humanoid_control.models.parts.vision.vit import Vit
    eye = Vit(SPACE, [None], width=16, layers=1, heads=2, patch=16, size=32).eval()
    language = Gemma(SPACE, [None, eye.gives, eye.gives], slots=['head', 'wrist'], width=16,
                     layers=1, heads=2, vocabulary=30522,
                     prompt='<begin>In <wrist> the hand, in <head> the room. {text}').eval()
    one, other = (eye(Frames(torch.rand(1, 1, 3, 32, 32), torch.zeros(1, dtype=torch.long)))
                  for _ in range(2))
    assert isinstance(one, Tokens)
    with torch.no_grad():
        first, second = (language(['wave'], *pair).last.values
                         for pair in ((one, other), (other, one)))
    assert not torch.allclose(first, second)


def test_published_it_is_eight_and_four_billion() -> None:
    counts = load_model_config('palm_e').parameters
    assert round(counts['language'] / 1e9, 1) == 8.5 and round(counts['eyes'] / 1e9, 1) == 3.8
    assert round(counts['total'] / 1e9) == 12
