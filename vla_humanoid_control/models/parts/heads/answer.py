"""Answers in words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from vla_humanoid_control.models.parts.language.causal import CausalLanguageModel, Prefix
from vla_humanoid_control.models.parts.part import Head, Shapes
from vla_humanoid_control.models.streams import Space, Targets


class Answer(Head):
    """What a language model goes on with after its prompt, in words; it has no weights.

    What it learns from are the targets' `answers`; '' where there is none. The loss is on the
    words of the answer and on its end, not on the prompt.
    """

    learns = 'answer'

    def __init__(self, space: Space, of: Shapes, *, longest: int = 32) -> None:
        """Build it; no answer has more than `longest` tokens."""
        super().__init__()
        self.longest = longest

    def forward(self, prefix: Prefix) -> Prefix:
        """As it is."""
        return prefix

    def loss(self, output: Prefix, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy of the tokens of each answer, their mean; [B], 0 where there is none."""
        texts = targets.answers
        if texts is None or not any(texts):
            return output.last.values.new_zeros(len(output.last.values))
        ids, mask = spelled(output.model, texts, end=True)
        logits = output.model.logits(following(output, ids, mask))  # [B, n, V]
        each = functional.cross_entropy(logits.transpose(1, 2), ids, reduction='none')
        return (each * mask).sum(1) / mask.sum(1).clamp(min=1)

    def predict(self, output: Prefix, generator: Generator | None = None) -> tuple[str, ...]:
        """B texts, word by word the likeliest."""
        assert output.model.tokenizer is not None
        _, ids, mask = speak(output, self.longest)
        return tuple(output.model.tokenizer.words(row[exist].tolist())
                     for row, exist in zip(ids, mask))


def spelled(model: CausalLanguageModel, texts: Sequence[str], end: bool = False
            ) -> tuple[Tensor, Tensor]:
    """Ids int64 [B, n] of some texts, and which exist; each that is not empty has its end."""
    assert model.tokenizer is not None
    ids, mask = model.tokenizer(texts)
    if end:
        ids, mask = functional.pad(ids, (0, 1)), functional.pad(mask, (0, 1))
        rows = mask.any(1).nonzero()[:, 0]
        count = mask.sum(1)[rows]
        ids[rows, count], mask[rows, count] = model.tokenizer.end, True
    device = model.network.device
    return ids.to(device), mask.to(device)


def following(prefix: Prefix, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """The states [B, n, D] from which n tokens follow, each where those before it are right."""
    if ids.shape[1] == 1:
        return prefix.last.values
    read = prefix.extend(ids[:, :-1], None if mask is None else mask[:, :-1])
    return torch.cat([prefix.last.values, read.states.values], dim=1)


def speak(prefix: Prefix, longest: int) -> tuple[Prefix, Tensor, Tensor]:
    """Go on in words until each row has ended.

    Returns:
        What was read with it; the ids int64 [B, n] and which exist, without the end.
    """
    tokenizer = prefix.model.tokenizer
    assert tokenizer is not None
    going = prefix.mask.new_ones(len(prefix.mask), 1)
    ids, mask = going[:, :0].long(), going[:, :0]
    for _ in range(longest):
        words = prefix.model.logits(prefix.last.values, 0, tokenizer.vocabulary)
        chosen = words.argmax(-1)  # [B, 1]
        going = going & (chosen != tokenizer.end)
        if not going.any():
            break
        prefix = prefix.extend(chosen, going)
        ids, mask = torch.cat([ids, chosen], dim=1), torch.cat([mask, going], dim=1)
    return prefix, ids, mask
