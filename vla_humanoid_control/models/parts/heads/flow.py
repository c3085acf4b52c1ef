"""Actions by flow matching (Lipman et al., 2022, https://arxiv.org/abs/2210.02747).

    noise (t = 1) ──────► x = t * noise + (1 - t) * actions ──────► actions (t = 0)
                  velocity = noise - actions, which the expert learns

As in SmolVLA (https://arxiv.org/abs/2506.01844) and, before it, pi0
(https://arxiv.org/abs/2410.24164).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from vla_humanoid_control.models.parts.fusion.smolvlm import Cache, CacheShape
from vla_humanoid_control.models.parts.heads.common import gaussian, per_row, uniform
from vla_humanoid_control.models.parts.heads.expert import ActionExpert
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets


class FlowHead(Head):
    """The cache of a vision-language model to normalised actions [B, H, A]."""

    learns = 'action'
    draws = True

    def __init__(self, space: Space, of: Shapes, *, width: int, heads: int, hidden: int,
                 self_every: int = 2, steps: int = 10) -> None:
        """Build it.

        Args:
            space: Its channels and horizon are what is made.
            of: A cache of keys and values.
            width: D of the expert.
            heads: Of its queries.
            hidden: Width of its feed-forward layers.
            self_every: The first of so many layers is of self-attention, the others are of
                cross-attention.
            steps: Of Euler's method, from noise to actions.
        """
        super().__init__()
        (prefix,) = of
        if not isinstance(prefix, CacheShape) or heads % prefix.heads or width % 2:
            raise ValueError('it needs the cache of a language model, heads that are a multiple '
                             'of those of its keys, and an even width')
        self.shape, self.steps = (space.horizon, space.channels), steps
        self.expert = ActionExpert(prefix, width, heads, hidden, self_every)
        self.input = nn.Linear(space.channels, width)
        self.time = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.output = nn.Linear(width, space.channels)

    def forward(self, cache: Cache) -> Cache:
        """The cache, in float32."""
        return Cache(tuple(k.float() for k in cache.keys), tuple(v.float() for v in cache.values),
                     cache.exists)

    def loss(self, output: Cache, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Squared error of the velocity, at a time drawn for each row, more often near noise."""
        actions = wanted(targets.actions, 'actions')
        noise = gaussian(actions, (*actions.shape,), generator)
        # Beta(1.5, 1): its distribution function is t ** 1.5.
        time = uniform(actions, (len(actions),), generator) ** (2 / 3) * 0.999 + 0.001
        at = time[:, None, None]
        found = self._velocity(at * noise + (1 - at) * actions, time, self.expert.read(output),
                               output.exists)
        return per_row((found - (noise - actions)).square(), targets)

    def predict(self, output: Cache, generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A], out of noise."""
        rows, pairs = len(output.exists), self.expert.read(output)
        x = gaussian(output.keys[0], (rows, *self.shape), generator)
        for step in range(self.steps):
            time = x.new_full((rows,), 1 - step / self.steps)
            x = x - self._velocity(x, time, pairs, output.exists) / self.steps
        return x

    def _velocity(self, x: Tensor, time: Tensor, pairs: list[tuple[Tensor, Tensor]],
                  exists: Tensor) -> Tensor:
        """Noisy actions [B, H, A] at times [B] to velocities [B, H, A]."""
        tokens = self.input(x)
        when = time_waves(time, tokens.shape[2])[:, None].expand_as(tokens)
        made = self.expert(self.time(torch.cat([tokens, when], dim=2)), pairs, exists)
        velocity: Tensor = self.output(made)
        return velocity


def time_waves(time: Tensor, width: int) -> Tensor:
    """Times [B] in [0, 1] to sines and cosines [B, width] with periods from 0.004 to 4."""
    period = 0.004 * 1000.0 ** torch.linspace(0, 1, width // 2, dtype=torch.float64,
                                             device=time.device)
    angle = 2 * math.pi * time.double()[:, None] / period
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(time.dtype)
