"""Named groups of tokens in one transformer, with rules of which group looks at which.

    task │ main, step 0 │ main, step 1 │ wrist, step 0 │ … │ action readout, step 0 │ … step 1

Readouts are tokens without input that collect what a head needs. Where no other group looks at
them, a head can be added or taken away and nothing else changes. Octo Model Team, 2024,
https://arxiv.org/abs/2405.12213.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens

RULES = ('never', 'causal', 'current', 'past', 'all')
"""When a token looks at another: never; where that one is of its own step or before; of its own;
of one before; always. What comes before all steps is before each of them."""
BEFORE = -1
"""The step of tokens that come before all steps."""


class BlockwiseTransformer(Part):
    """Streams as groups of tokens to readouts, [B, N, D] each, of the newest step."""

    def __init__(self, space: Space, of: Shapes, *, width: int, heads: int, layers: int,
                 hidden: int, groups: Sequence[str], rules: Mapping[str, Mapping[str, str]],
                 readouts: Mapping[str, int], before: Sequence[str] = ('task',),
                 repeat: str | None = None, length: int = 16, steps: int | None = None) -> None:
        """Build it.

        Args:
            space: Its frames are the steps.
            of: The streams, with a history or without one; without one they are of the newest
                step.
            width: D.
            heads: Of attention.
            layers: How many.
            hidden: Width of the feed-forward layers.
            groups: To which group each stream belongs.
            rules: Group or readout to those that it looks at, and when; see `RULES`.
            readouts: Name to number of tokens for each step.
            before: Groups that come before all steps.
            repeat: A group that also gets the tokens of those groups, at each step; for none,
                null.
            length: The most tokens of a stream that does not say how many it has; what is longer
                is cut off.
            steps: For how many steps there are positions; by default for the frames.
        """
        super().__init__()
        if len(groups) != len(of):
            raise ValueError(f'{len(of)} streams need as many groups, not {len(groups)}')
        named = [*groups, *readouts]
        for name, others in rules.items():
            if unknown := {name, *others} - set(named) or set(others.values()) - set(RULES):
                raise ValueError(f'rules name {", ".join(sorted(unknown))}')
        if repeat is not None and repeat not in groups:
            raise ValueError(f'repeat names {repeat}, which is no group')
        if len(set(groups)) + len(readouts) != len(set(named)):
            raise ValueError('readouts must be called otherwise than groups')
        self.groups, self.before, self.repeat = tuple(groups), frozenset(before), repeat
        self.rules, self.readouts = rules, readouts
        self.frames = [shape.frames for shape in of]
        self.steps = space.frames
        if bad := [n for n in self.frames if n not in (1, self.steps)]:
            raise ValueError(f'streams of {bad[0]} frames do not fit {self.steps} steps')
        shown = self.steps if steps is None else steps
        if shown < self.steps:
            raise ValueError(f'there are positions for {shown} steps, and {self.steps} frames')
        self.projections = nn.ModuleList(nn.Linear(shape.width, width) for shape in of)
        counts = [(1 if f == 1 else shown, length if s.tokens is None else s.tokens // f)
                  for f, s in zip(self.frames, of)] + [(shown, n) for n in readouts.values()]
        self.positions = nn.ParameterList(torch.randn(*count, width) * 0.02 for count in counts)
        self.encoder = Encoder(width, heads, layers, hidden)
        self.gives = {name: Shape(width, count) for name, count in readouts.items()}

    def forward(self, *streams: Tokens) -> SimpleNamespace:
        """Streams [B, N, *] to a readout for each name."""
        placed = [p for i, stream in enumerate(streams) for p in self._placed(i, stream)]
        tokens = placed[0].tokens
        for (name, count), position in zip(self.readouts.items(),
                                           self.positions[len(self.groups):]):
            empty = position[:self.steps].flatten(0, 1).expand(len(tokens), -1, -1)
            placed.append(Placed(name, [t for t in range(self.steps) for _ in range(count)],
                                 empty.to(tokens.dtype), empty.new_ones(empty.shape[:2]).bool()))
        looks = may_look([p.name for p in placed for _ in p.steps],
                         [step for p in placed for step in p.steps], self.rules)
        exists = torch.cat([p.exists for p in placed], dim=1)  # [B, S]
        read = self.encoder(torch.cat([p.tokens for p in placed], dim=1),
                            looks.to(exists.device) & exists[:, None, None])
        found = read.split([len(p.steps) for p in placed], dim=1)[-len(self.readouts):]
        return SimpleNamespace(**{name: Tokens(values[:, -count:]) for (name, count), values
                                  in zip(self.readouts.items(), found)})

    def _placed(self, i: int, stream: Tokens) -> Iterator[Placed]:
        """The tokens of a stream as wide as all, with their steps; and again where repeated."""
        name, frames, position = self.groups[i], self.frames[i], self.positions[i]
        held = frames * position.shape[1]
        values, exists = self.projections[i](stream.values[:, :held]), stream.exists[:, :held]
        count = values.shape[1] // frames
        # [T, N, D] -> [T * N, D], oldest first
        values = values + position[:frames, :count].flatten(0, 1).to(values.dtype)
        if name not in self.before:
            first = self.steps - frames
            yield Placed(name, [first + t for t in range(frames) for _ in range(count)], values,
                         exists)
            return
        yield Placed(name, [BEFORE] * count, values, exists)
        if self.repeat is not None:
            yield from (Placed(self.repeat, [t] * count, values, exists)
                        for t in range(self.steps))


@dataclass(frozen=True)
class Placed:
    """Tokens of one group.

    Attributes:
        name: Of the group.
        steps: Of each of N tokens.
        tokens: [B, N, D].
        exists: bool [B, N].
    """

    name: str
    steps: list[int]
    tokens: Tensor
    exists: Tensor


class Encoder(nn.Module):
    """Layers of attention and feed-forward networks, pre-normalised, as in ViT."""

    def __init__(self, width: int, heads: int, layers: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, 1e-6)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, looks: Tensor) -> Tensor:
        """Tokens [B, S, D] and which looks at which, bool [B, 1, S, S]."""
        for layer in self.layers:
            x = layer(x, looks)
        made: Tensor = self.norm(x)
        return made


class Layer(nn.Module):
    """One layer of an `Encoder`."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, 1e-6) for _ in range(2))
        self.attention = Attention(width, heads)
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU('tanh'),
                                  nn.Linear(hidden, width))

    def forward(self, x: Tensor, looks: Tensor) -> Tensor:
        """See `Encoder`."""
        x = x + self.attention(self.norms[0](x), mask=looks)
        return x + self.feed(self.norms[1](x))


def may_look(groups: Sequence[str], steps: Sequence[int],
             rules: Mapping[str, Mapping[str, str]]) -> Tensor:
    """Which token looks at which, bool [S, S]: rows look, columns are looked at.

    Args:
        groups: Of each of S tokens.
        steps: Of each.
        rules: See `BlockwiseTransformer`.
    """
    names = list(dict.fromkeys(groups))
    codes = torch.tensor([[RULES.index(rules.get(one, {}).get(other, 'never'))
                           for other in names] for one in names], device='cpu')
    group = torch.tensor([names.index(name) for name in groups], device='cpu')
    step = torch.tensor(steps, device='cpu')
    code, later = codes[group[:, None], group], step[:, None] - step
    return ((code == RULES.index('causal')) & (later >= 0)) \
        | ((code == RULES.index('current')) & (later == 0)) \
        | ((code == RULES.index('past')) & (later > 0)) | (code == RULES.index('all'))
