"""Actions as tokens of a language model's own vocabulary.

    vocabulary  0 ... words ... │ first ... first + bins - 1 │ ...
    chunk       [terminate] a11 a12 .. a1A  a21 .. aHA       one token a value, one after the other

OpenVLA (Kim et al., 2024, https://arxiv.org/abs/2406.09246): the last 256 tokens, downwards; 256
edges, so 255 bins with a centre. RT-2 (Brohan et al., 2023, https://arxiv.org/abs/2307.15818):
integers, the first of which says whether to terminate, after an optional plan in words.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from vla_humanoid_control.models.parts.heads.answer import following, speak, spelled
from vla_humanoid_control.models.parts.heads.common import per_row, uniform
from vla_humanoid_control.models.parts.heads.progress import HowFar
from vla_humanoid_control.models.parts.language.causal import Prefix
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets


class ActionTokens(Head):
    """See the head of this module. It goes on from a `Prefix`, and has no weights of its own."""

    learns = 'action'

    def __init__(self, space: Space, of: Shapes, *, first: int, bins: int = 256,
                 edges: int | None = None, low: float = -1.0, high: float = 1.0,
                 descending: bool = False, among: Literal['all', 'actions'] = 'all',
                 temperature: float = 0.0, terminate: float | None = None, plan: int = 0) -> None:
        """Build it.

        Args:
            space: What the actions are.
            of: A causal language model.
            first: The lowest id of an action token.
            bins: How many action tokens there are.
            edges: Of bins, from `low` to `high`; one more than `bins` by default. With as many
                edges as tokens the last token means the same as the one before it.
            low: Where bins begin, of normalised actions; less counts as this.
            high: Where they end; more counts as this.
            descending: Whether the lowest bin has the highest id.
            among: Which tokens the loss tells the right one from: all of the vocabulary, or those
                of actions. It decodes among those of actions.
            temperature: Of sampling; 0 for the likeliest token.
            terminate: From which progress on the task is done, where a first integer says so: 0
                or 1. None for no such integer.
            plan: The longest plan in words that comes before the actions, in tokens; 0 for none.
                It is learnt by a head `answer`.
        """
        super().__init__()
        vocabulary, edges = of[0]['logits'].width, edges or bins + 1
        if first < 0 or first + bins > vocabulary:
            raise ValueError(f'action tokens {first} to {first + bins - 1} are not in a vocabulary'
                             f' of {vocabulary}')
        if among not in ('all', 'actions') or low >= high or not 2 <= edges <= bins + 1:
            raise ValueError(f"among must be 'all' or 'actions', low below high, and 2 to "
                             f'{bins + 1} edges; got {among!r}, {low}, {high}, {edges}')
        self.horizon, self.channels = space.horizon, space.channels
        self.first, self.bins, self.descending, self.among = first, bins, descending, among
        self.temperature, self.terminate, self.plan = temperature, terminate, plan
        self.low, self.high, self.edges = low, high, edges

    def forward(self, prefix: Prefix) -> Prefix:
        """As it is: how it goes on depends on what it is taught, or answers."""
        return prefix

    def loss(self, output: Prefix, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy of the action tokens, channels by their weight; [B]."""
        actions = wanted(targets.actions, 'actions')
        prefix = output
        texts = targets.answers
        if self.plan and texts is not None and any(texts):
            prefix = self._planned(prefix.extend(*spelled(prefix.model, texts)))
        if self.terminate is not None:
            prefix = self._told(prefix, self._done(prefix) if targets.progress is None
                                else targets.progress)
        ids = self.encode(actions).flatten(1)  # [B, H * A]
        first, count = (0, None) if self.among == 'all' else (self.first, self.bins)
        logits = prefix.model.logits(following(prefix, ids), first, count)
        each = functional.cross_entropy(logits.transpose(1, 2), ids - first, reduction='none')
        return per_row(each.reshape(actions.shape), targets)

    def predict(self, output: Prefix, generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A], token by token; sampled with a temperature."""
        prefix = output
        if self.plan:
            prefix = self._planned(speak(prefix, self.plan)[0])
        if self.terminate is not None:
            prefix = self._told(prefix, self._done(prefix))
        ids: list[Tensor] = []
        for _ in range(self.horizon * self.channels):
            if ids:
                prefix = prefix.extend(ids[-1])
            logits = prefix.model.logits(prefix.last.values, self.first, self.bins)  # [B, 1, bins]
            if self.temperature:  # the largest with Gumbel noise is a sample of the soft-max
                noise = uniform(logits, tuple(logits.shape), generator).clamp(1e-10, 1 - 1e-7)
                logits = logits / self.temperature - (-noise.log()).log()
            ids.append(logits.argmax(-1) + self.first)
        return self.decode(torch.cat(ids, dim=1).reshape(-1, self.horizon, self.channels))

    def encode(self, actions: Tensor) -> Tensor:
        """Normalised actions [...] to ids of tokens, int64."""
        edges = torch.linspace(self.low, self.high, self.edges, device=actions.device)
        place = torch.bucketize(actions.float().clamp(self.low, self.high), edges, right=True) - 1
        return self._id(place.clamp(max=self.bins - 1))

    def decode(self, ids: Tensor) -> Tensor:
        """Ids of tokens to the normalised actions at the centres of their bins, float32."""
        edges = torch.linspace(self.low, self.high, self.edges, device=ids.device)
        centres = (edges[:-1] + edges[1:]) / 2
        place = ids - self.first
        if self.descending:
            place = self.bins - 1 - place
        return centres[place.clamp(max=len(centres) - 1)]

    def _id(self, place: Tensor) -> Tensor:
        return self.first + (self.bins - 1 - place if self.descending else place)

    def _done(self, prefix: Prefix) -> Tensor:
        """How likely the next token says that the task is done, [B]."""
        return done_logits(prefix, self.first, self.descending, self.bins).sigmoid()

    def _told(self, prefix: Prefix, done: Tensor) -> Prefix:
        """With the first integer, from the progress [B]."""
        assert self.terminate is not None
        return prefix.extend(self._id((done >= self.terminate).long()[:, None]))

    def _planned(self, prefix: Prefix) -> Prefix:
        """With what is between a plan and the action."""
        ids, mask = spelled(prefix.model, ['. Action:'] * len(prefix.mask))
        return prefix.extend(ids, mask)


class Terminate(HowFar):
    """The first integer of RT-2's actions: how likely it is 1, which is taught as progress.

    It has no weights: it is two tokens of the language model's vocabulary.
    """

    def __init__(self, space: Space, of: Shapes, *, first: int, bins: int = 256,
                 descending: bool = False) -> None:
        """Build it with the same settings as the head `action_tokens`."""
        super().__init__()
        self.first, self.bins, self.descending = first, bins, descending

    def forward(self, prefix: Prefix) -> Tensor:
        """Logits [B] of 1 against 0."""
        return done_logits(prefix, self.first, self.descending, self.bins)


def done_logits(prefix: Prefix, first: int, descending: bool, bins: int) -> Tensor:
    """Logits [B] of the integer 1 against 0, as the next token."""
    logits = prefix.model.logits(prefix.last.values, first, bins)[:, 0]  # [B, bins]
    zero, one = (bins - 1, bins - 2) if descending else (0, 1)
    return logits[:, one] - logits[:, zero]
