"""Causal language models: streams among words, prefixes, and actions as tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_humanoid_control.models.parts.heads.answer import Answer, following, spelled
from vla_humanoid_control.models.parts.heads.tokens import ActionTokens
from vla_humanoid_control.models.parts.language.causal import (
    CausalLanguageModel,
    Gemma,
    Gpt2,
    Llama,
    Prefix,
)
from vla_humanoid_control.models.parts.language.prompts import Prompt
from vla_humanoid_control.models.streams import Shape, Space, Targets, Tokens

SPACE = Space({'head': (32, 32)}, 31, 3, 2)
PROMPT = '<begin>Given <image> <state>. Q: how to {text}? A:'
TEXTS = ('wave', 'go to the red box', 'stop')
WORDS, VOCABULARY = 30522, 30522 + 16


def model(kind: type[CausalLanguageModel] = Llama, **settings: Any) -> CausalLanguageModel:
    torch.manual_seed(0)
    return kind(SPACE, [None, Shape(16, 4), Shape(16, 2)],
                **{'width': 16, 'layers': 2, 'heads': 2, 'vocabulary': VOCABULARY,
                   'prompt': PROMPT, 'slots': ['image', 'state'], 'positions': 128,
                   **settings}).eval()


def streams(rows: int = 3, seed: int = 0) -> tuple[Tokens, Tokens]:
    generator = torch.Generator().manual_seed(seed)
    image, state = (torch.randn(rows, n, 16, generator=generator) for n in (4, 2))
    return Tokens(image), Tokens(state)


def head(**settings: Any) -> ActionTokens:
    return ActionTokens(SPACE, [{'logits': Shape(VOCABULARY)}],
                        **{'first': WORDS, 'bins': 16, **settings})


def actions(rows: int = 3) -> torch.Tensor:
    return torch.rand(rows, 2, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize('kind', [Gpt2, Llama, Gemma])
def test_streams_stand_where_the_prompt_says(kind: type[CausalLanguageModel]) -> None:
    """The states are those of the original for words and streams in the order of the prompt."""
    language = model(kind)
    assert language.tokenizer is not None
    image, state = streams(1)
    ids = [language.tokenizer([text])[0] for text in ('given', '. q: how to wave? a:')]
    begin = torch.tensor([[language.tokenizer.begin]])
    tokens = [language.embed(begin), language.embed(ids[0]), image.values, state.values,
              language.embed(ids[1])]
    with torch.no_grad():
        wanted = language.network(inputs_embeds=torch.cat(tokens, dim=1)).last_hidden_state
        prefix = language(['wave'], image, state)
    torch.testing.assert_close(prefix.states.values, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prefix.last.values, wanted[:, -1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('kind', 'name'), [(Gpt2, 'GPT2'), (Llama, 'Llama'), (Gemma, 'Gemma')])
def test_weights_of_the_original_give_its_logits(kind: type[CausalLanguageModel], name: str,
                                                 tmp_path: Path) -> None:
    import transformers
    sizes: dict[str, Any] = {
        'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2,
        'max_position_embeddings': 128, 'vocab_size': VOCABULARY}
    if kind is not Gpt2:
        sizes |= {'num_key_value_heads': 2, 'head_dim': 8, 'intermediate_size': 64}
    if kind is Llama:
        sizes |= {'rms_norm_eps': 1e-5, 'rope_theta': 5000}
    config = getattr(transformers, f'{name}Config')(**sizes)
    whole = f'{name}LMHeadModel' if kind is Gpt2 else f'{name}ForCausalLM'
    original = getattr(transformers, whole)(config).eval()
    original.save_pretrained(tmp_path)
    language = kind(SPACE, [None], width=16, layers=2, heads=2, vocabulary=VOCABULARY,
                    positions=128, prompt='{text}', pretrained=str(tmp_path)).eval()
    assert language.tokenizer is not None
    with torch.no_grad():
        wanted = original(language.tokenizer(['turn left'])[0]).logits
        torch.testing.assert_close(language(['turn left']).logits.values, wanted[:, -1:],
                                   atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('kind', [Gpt2, Llama, Gemma])
@pytest.mark.parametrize('look_ahead', [False, True])
def test_rows_of_other_lengths_change_nothing(kind: type[CausalLanguageModel],
                                              look_ahead: bool) -> None:
    language = model(kind, look_ahead=look_ahead)
    image, state = streams()
    ids = torch.tensor([[WORDS, 5, 9]])
    with torch.no_grad():
        whole = language(TEXTS, image, state)
        alone = language(TEXTS[:1], Tokens(image.values[:1]), Tokens(state.values[:1]))
        torch.testing.assert_close(whole.last.values[:1], alone.last.values, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(whole.extend(ids.expand(3, -1)).states.values[:1],
                                   alone.extend(ids).states.values, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('kind', [Gpt2, Llama, Gemma])
def test_to_go_on_from_a_prefix_is_to_read_all_at_once(kind: type[CausalLanguageModel]) -> None:
    language = model(kind)
    image, state = streams()
    ids = torch.randint(VOCABULARY, (3, 5), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        prefix = language(TEXTS, image, state)
        at_once = prefix.extend(ids)
        step = prefix
        for place in range(5):
            step = step.extend(ids[:, place:place + 1])
            torch.testing.assert_close(step.last.values[:, 0], at_once.states.values[:, place],
                                       atol=1e-5, rtol=1e-4)
        # A prefix never changes: it can be gone on from again.
        torch.testing.assert_close(prefix.extend(ids).states.values, at_once.states.values)


def test_tokens_that_do_not_exist_are_not_read() -> None:
    language = model()
    image, state = streams(2)
    ids = torch.tensor([[3, 4, 7], [3, 4, 9]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    with torch.no_grad():
        prefix = language(TEXTS[:2], image, state)
        read = prefix.extend(ids, mask)
        torch.testing.assert_close(read.last.values[0], prefix.extend(ids[:, :2]).last.values[0])
        torch.testing.assert_close(read.last.values[1], prefix.last.values[1])


def test_only_with_look_ahead_a_token_sees_those_after_it() -> None:
    image, state = streams(1)
    for look_ahead in (False, True):
        language = model(look_ahead=look_ahead)
        with torch.no_grad():
            one, other = (language([text], image, state).states.values
                          for text in ('wave', 'stop'))
        assert torch.equal(one[:, :8], other[:, :8]) != look_ahead


def test_prompts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match='places for'):
        Prompt('<image> {text}', ['image', 'state'])
    with pytest.raises(ValueError, match=r'no \{text\}'):
        Prompt('<image> do it', ['image'])
    with pytest.raises(ValueError, match='image is 8 wide'):
        Llama(SPACE, [None, Shape(8, 4)], width=16, layers=1, heads=2, vocabulary=VOCABULARY,
              prompt='<image>{text}', slots=['image'])
    with pytest.raises(ValueError, match='there are weights for 100'):
        model(vocabulary=100)
    with pytest.raises(ValueError, match='reads 16'):
        model(positions=16)(TEXTS, *streams())
    with pytest.raises(ValueError, match='not in a vocabulary'):
        head(first=WORDS + 1)
    with pytest.raises(ValueError, match='edges'):
        head(edges=40)


def test_a_long_instruction_is_cut_off() -> None:
    language = model(length=3)
    with torch.no_grad():
        long, short = (language([text], *streams(1)).last.values
                       for text in ('turn left now and wave', 'turn left now'))
    torch.testing.assert_close(long, short)


def test_bins_are_as_openvla_has_them() -> None:
    """256 edges, so 255 centres; the token of a bin d, from 1 on, is V - d."""
    tokens = ActionTokens(SPACE, [{'logits': Shape(32064)}], first=31744, edges=256,
                          descending=True)
    edges = np.linspace(-1, 1, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    values = np.concatenate([np.random.default_rng(0).uniform(-1.2, 1.2, 500), [-1, 1]])
    bins = np.digitize(np.clip(values, -1, 1), edges)
    ids = tokens.encode(torch.from_numpy(values))
    assert (ids.numpy() == 32000 - bins).mean() > 0.99  # float32 on an edge may round
    assert ids.min() == 31744 and ids.max() == 31999
    every = tokens.decode(torch.arange(31744, 32000)).numpy()
    wanted = centres[np.clip(32000 - np.arange(31744, 32000) - 1, 0, 254)]
    np.testing.assert_allclose(every, wanted, atol=1e-6)
    assert len(np.unique(every)) == 255


def test_bins_go_there_and_back() -> None:
    for descending in (False, True):
        tokens = head(low=-2.0, high=2.0, descending=descending)
        back = tokens.decode(tokens.encode(actions()))
        assert (back - actions()).abs().max() <= 4 / 16 / 2 + 1e-6
        ids = torch.arange(WORDS, WORDS + 16)
        assert torch.equal(tokens.encode(tokens.decode(ids)), ids)


def log_probability(prefix: Prefix, ids: torch.Tensor) -> torch.Tensor:
    """Of ids [B, n] one after the other, each with a forward pass of its own; the mean, [B]."""
    total = []
    for place in range(ids.shape[1]):
        chances = prefix.logits.values[:, 0].log_softmax(-1)
        total.append(chances.gather(1, ids[:, place:place + 1])[:, 0])
        prefix = prefix.extend(ids[:, place:place + 1])
    return torch.stack(total, dim=1).mean(1)


def test_the_loss_is_on_the_action_tokens_alone() -> None:
    language, tokens = model(), head()
    with torch.no_grad():
        prefix = language(TEXTS, *streams())
        loss = tokens.loss(prefix, Targets(actions()))
        wanted = -log_probability(prefix, tokens.encode(actions()).flatten(1))
    torch.testing.assert_close(loss, wanted, atol=1e-5, rtol=1e-4)


def test_a_channel_of_no_weight_teaches_nothing() -> None:
    language, tokens = model(), head()
    prefix = language(TEXTS, *streams())
    weight = torch.tensor([1.0, 1.0, 0.0])
    changed = actions()
    changed[:, 1, 2] *= -1  # the last token: no other is conditioned on it
    one, other = (tokens.loss(prefix, Targets(a, weight)) for a in (actions(), changed))
    torch.testing.assert_close(one, other)


def test_decoding_is_restricted_to_action_tokens() -> None:
    """Also where a word is much likelier; and the answer is the likeliest, token by token."""
    language, tokens = model(Gpt2), head()
    with torch.no_grad():
        table = language.network.get_input_embeddings().weight
        table[:WORDS] *= 30
        prefix = language(TEXTS, *streams())
        assert (prefix.logits.values.argmax(-1) < WORDS).all()
        answer = tokens.predict(prefix)
        ids = tokens.encode(answer).flatten(1)
        assert ((ids >= WORDS) & (ids < WORDS + 16)).all()
        logits = language.logits(following(prefix, ids), WORDS, 16)
    assert torch.equal(logits.argmax(-1) + WORDS, ids)


def test_samples_come_from_the_generator() -> None:
    language, tokens = model(), head(temperature=5.0)
    with torch.no_grad():
        prefix = language(TEXTS, *streams())
        one, same, other = (tokens.predict(prefix, torch.Generator().manual_seed(s))
                            for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_an_answer_in_words_is_learnt_and_said() -> None:
    """Of two images with one question; the loss is on the answer and on its end."""
    language, answer = model(), Answer(SPACE, [], longest=8)
    image, state = streams(2)
    said = ('a red box', 'nothing')
    optimizer = torch.optim.AdamW(language.parameters(), lr=1e-2)
    for _ in range(40):
        prefix = language(['describe this'] * 2, image, state)
        loss = answer.loss(prefix, Targets(answers=said)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        prefix = language(['describe this'] * 2, image, state)
        ids, mask = spelled(language, said, end=True)
        assert mask.sum(1).tolist() == [4, 2]
        loss = answer.loss(prefix, Targets(answers=said))
        for row in range(2):
            one = language(['describe this'], *(Tokens(s.values[row:row + 1])
                                                for s in (image, state)))
            torch.testing.assert_close(
                loss[row:row + 1], -log_probability(one, ids[row:row + 1, :mask[row].sum()]),
                atol=1e-4, rtol=1e-3)
        assert answer.predict(prefix) == said
        assert not answer.loss(prefix, Targets()).any()
        assert not answer.loss(prefix, Targets(answers=('', 'nothing')))[0]
