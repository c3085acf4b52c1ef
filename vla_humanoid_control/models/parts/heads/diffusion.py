"""Actions by denoising diffusion (Ho et al., 2020, https://arxiv.org/abs/2006.11239).

    readout [B, D] ─┐
    step ─► Fourier features ─► MLP ─┼─► MLP-ResNet ─► the noise in the actions [B, H * A]
    noisy actions [B, H * A] ────────┘

An answer starts as noise, and each step takes some of it off. Actions that the network finds are
held within a limit at each step, as in Ho et al.; Octo holds what is still noisy.

The score network is that of Octo (https://arxiv.org/abs/2405.12213), the schedule the cosine one
of Nichol and Dhariwal, 2021 (https://arxiv.org/abs/2102.09672).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.heads.common import gaussian, per_row, uniform
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens


class DiffusionHead(Head):
    """A readout, or the mean of several, to normalised actions [B, H, A]."""

    learns = 'action'
    draws = True
    kept: Tensor

    def __init__(self, space: Space, of: Shapes, *, hidden: int = 256, blocks: int = 3,
                 time_width: int = 32, steps: int = 20, samples: int = 1, limit: float = 5.0,
                 predicts: Literal['noise', 'actions'] = 'noise',
                 sampler: Literal['ddpm', 'ddim'] = 'ddpm', sampling_steps: int | None = None
                 ) -> None:
        """Build it.

        Args:
            space: Its channels and horizon are what is made.
            of: The readout.
            hidden: Width of the score network.
            blocks: Its residual blocks.
            time_width: Of the features of a step.
            steps: Of noise, from none to nothing but noise.
            samples: How many noises are taken off each chunk of a batch in training.
            limit: Normalised actions are held within it.
            predicts: What the score network says: the noise, as in the paper, or the actions
                under it (Salimans and Ho, 2022, https://arxiv.org/abs/2202.00512), which needs
                far less training.
            sampler: `ddpm` adds noise again at each step; `ddim` draws only where it starts (Song
                et al., 2020, https://arxiv.org/abs/2010.02502).
            sampling_steps: How many of the steps an answer takes, for `ddim`; by default all.
        """
        super().__init__()
        if sampler not in ('ddpm', 'ddim') or predicts not in ('noise', 'actions'):
            raise ValueError('sampler is ddpm or ddim, and predicts noise or actions; not '
                             f'{sampler} and {predicts}')
        taken = steps if sampling_steps is None else sampling_steps
        if not 1 <= taken <= steps or (sampler == 'ddpm' and taken != steps):
            raise ValueError(f'{sampler} takes {"1 to " if sampler == "ddim" else ""}{steps} '
                             f'steps, not {taken}')
        self.shape = (space.horizon, space.channels)
        self.score = ScoreNetwork(of[0].width, space.horizon * space.channels, hidden, blocks,
                                  time_width)
        self.samples, self.limit = samples, limit
        self.sampler, self.predicts = sampler, predicts
        self.path = [i * steps // taken for i in reversed(range(taken))]
        self.register_buffer('kept', _cosine_schedule(steps), persistent=False)

    def forward(self, readout: Tokens) -> Tensor:
        """[B, N, D] to [B, D]."""
        return readout.vector.float()

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Squared error of the noise, or the actions, at a step drawn for each row; [B]."""
        actions = wanted(targets.actions, 'actions').clamp(-self.limit, self.limit)
        shape = (self.samples, *actions.shape)
        step = (uniform(output, shape[:2], generator) * len(self.kept)).long()  # [S, B]
        noise = gaussian(output, shape, generator)
        kept = self.kept[step][..., None, None]
        noisy = kept.sqrt() * actions + (1 - kept).sqrt() * noise  # [S, B, H, A]
        found = self.score(output.expand(self.samples, -1, -1), noisy.flatten(2), step)
        hidden = noise if self.predicts == 'noise' else actions
        return per_row((found.view(shape) - hidden).square().mean(0), targets)

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A], out of noise."""
        shape = (len(output), self.shape[0] * self.shape[1])
        x = gaussian(output, shape, generator)
        for step, after in zip(self.path, [*self.path[1:], None]):
            found = self.score(output, x, torch.full(shape[:1], step, device=x.device))
            kept = self.kept[step]
            before = self.kept[after] if after is not None else torch.ones_like(kept)
            if self.predicts == 'noise':  # the largest step multiplies its error 300-fold
                found = (x - (1 - kept).sqrt() * found) / kept.sqrt()
            clean = found.clamp(-self.limit, self.limit)
            if self.sampler == 'ddim':
                noise = (x - kept.sqrt() * clean) / (1 - kept).sqrt()
                x = before.sqrt() * clean + (1 - before).sqrt() * noise
                continue
            beta = 1 - kept / before
            x = (before.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - before) * x) / (1 - kept)
            if after is not None:
                x = x + beta.sqrt() * gaussian(output, shape, generator)
        return x.view(-1, *self.shape)


class ScoreNetwork(nn.Module):
    """An MLP with residual blocks that finds the noise in actions."""

    def __init__(self, condition: int, actions: int, hidden: int, blocks: int, time_width: int
                 ) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(0.2 * torch.randn(time_width // 2))
        self.time = nn.Sequential(nn.Linear(time_width, 2 * time_width), nn.SiLU(),
                                  nn.Linear(2 * time_width, time_width))
        self.first = nn.Linear(time_width + condition + actions, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden, 1e-6), nn.Linear(hidden, 4 * hidden), nn.SiLU(),
                          nn.Linear(4 * hidden, hidden)) for _ in range(blocks))
        self.last = nn.Linear(hidden, actions)

    def forward(self, condition: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        """Condition [.., D], noisy actions [.., H * A] and their steps [..] to noise."""
        angle = 2 * math.pi * step[..., None] * self.frequencies
        time = self.time(torch.cat([angle.cos(), angle.sin()], dim=-1))
        x = self.first(torch.cat([time, condition, noisy], dim=-1))
        for block in self.blocks:
            x = x + block(x)
        return self.last(functional.silu(x))


def _cosine_schedule(steps: int) -> Tensor:
    """How much of the actions' variance is left after each step, [steps]."""
    t = torch.linspace(0, 1, steps + 1)
    left = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    beta = (1 - left[1:] / left[:-1]).clamp(0, 0.999)
    return (1 - beta).cumprod(0)
