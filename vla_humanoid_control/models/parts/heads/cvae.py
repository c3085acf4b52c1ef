"""Actions by a conditional variational auto-encoder, as in ACT.

Zhao et al., 2023, https://arxiv.org/abs/2304.13705.

    training:   [class, state, action 1 .. H] ─► posterior ─► style z ~ N(mean, variance)
    answering:                                                style z = 0

    [z, state, image cells, others] ─► encoder ─► memory ─┐
    [query 1 .. H] ──────────────────────────────────► decoder ─► action 1 .. H
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.fusion.detr import (
    DecoderLayer,
    EncoderLayer,
    grid_places,
    line_places,
)
from vla_humanoid_control.models.parts.heads.common import gaussian, per_row
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Shape, Space, Targets, Tokens


class CvaeHead(Head):
    """Image cells, a state and whatever else to normalised actions [B, H, A].

    Other heads may read `memory`, which is what answers are made of.
    """

    learns = 'action'
    draws = True
    cells: Tensor

    def __init__(self, space: Space, of: Shapes, *, width: int = 512, heads: int = 8,
                 hidden: int = 3200, encoder_layers: int = 4, decoder_layers: int = 1,
                 posterior_layers: int = 4, latent: int = 32, kl_weight: float = 10.0,
                 dropout: float = 0.1, padding: bool = False) -> None:
        """Build it.

        Args:
            space: Its channels and horizon are what is made.
            of: Cells of an image, the state of the robot, and any others.
            width: D.
            heads: Of attention.
            hidden: Width of the feed-forward layers.
            encoder_layers: How many.
            decoder_layers: How many.
            posterior_layers: How many.
            latent: Width of the style.
            kl_weight: Of the divergence of the posterior from a standard normal distribution.
            dropout: While training.
            padding: Whether an output tells for each row that the chunk only repeats itself from
                there on, as rows after the end of a demonstration do.
        """
        super().__init__()
        image, state, *others = of
        self.latent, self.kl_weight = latent, kl_weight
        self.posterior = Posterior(space, state, posterior_layers, latent, width, heads, hidden,
                                   dropout)
        self.style = nn.Linear(latent, width)
        self.inputs = nn.ModuleList(nn.Linear(shape.width, width) for shape in of)
        # Of the style, of each token of the state, and one for all tokens of each other stream.
        self.places = nn.Embedding(1 + state.tokens + len(others), width)
        self.register_buffer('cells', grid_places(image.grid, width).repeat(image.frames, 1),
                             persistent=False)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, hidden, dropout)
                                     for _ in range(encoder_layers))
        self.decoder = Decoder(space.horizon, decoder_layers, width, heads, hidden, dropout)
        for weight in (*self.encoder.parameters(), *self.decoder.layers.parameters()):
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        self.action = nn.Linear(width, space.channels)
        self.padding = nn.Linear(width, 1) if padding else None
        self.gives = {'memory': Shape(width, None)}

    def forward(self, image: Tokens, state: Tokens, *others: Tokens) -> Situation:
        """Streams [B, N, *] to what the encoder reads beside the style."""
        cells, body, *more = (Tokens(linear(stream.values).float(), stream.exists) for
                              linear, stream in zip(self.inputs, (image, state, *others)))
        count = body.values.shape[1]
        single = self.places.weight[1:].float()
        places = [single[:count], self.cells, *(place.expand(stream.values.shape[1], -1) for
                                                place, stream in zip(single[count:], more))]
        return Situation(self, Tokens.join([body, cells, *more]), torch.cat(places),
                         state.values.float())

    def encode(self, situation: Situation, style: Tensor) -> Tensor:
        """What is read with a style [B, Z], [B, 1 + N, D]."""
        x = torch.cat([self.style(style)[:, None], situation.tokens.values], dim=1)
        for layer in self.encoder:
            x = layer(x, situation.places, situation.mask)
        return x

    def loss(self, output: Situation, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """L1, and the divergence of the posterior; [B]."""
        actions = wanted(targets.actions, 'actions')
        mean, log_variance = self.posterior(output.state, actions)  # [B, Z] each
        style = mean + (log_variance / 2).exp() * gaussian(mean, (*mean.shape,), generator)
        made = self.decoder(self.encode(output, style), output)
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
        loss = per_row((self.action(made) - actions).abs(), targets) + self.kl_weight * divergence
        if self.padding is None:
            return loss
        return loss + functional.binary_cross_entropy_with_logits(
            self.padding(made)[..., 0], repeated(actions).to(made.dtype), reduction='none').mean(1)

    def predict(self, output: Situation, generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A], with the mean style."""
        made: Tensor = self.action(self.decoder(output.memory.values.float(), output))
        return made.float()


class Situation:
    """What the encoder of a `CvaeHead` reads beside the style.

    Attributes:
        tokens: [B, N, D].
        places: Positions of the style and of them, [1 + N, D].
        mask: Which of them exist, bool [B, 1, 1, 1 + N].
        state: That of the robot, [B, S, J].
    """

    def __init__(self, head: CvaeHead, tokens: Tokens, places: Tensor, state: Tensor) -> None:
        exists = functional.pad(tokens.exists, (1, 0), value=True)
        self._head, self.tokens, self.state = head, tokens, state
        self.places = torch.cat([head.places.weight[:1].float(), places])
        self.mask = exists[:, None, None]

    @cached_property
    def memory(self) -> Tokens:
        """What the encoder makes of them with the mean style, [B, 1 + N, D]."""
        style = self.state.new_zeros(len(self.state), self._head.latent)
        return Tokens(self._head.encode(self, style), self.mask[:, 0, 0])


class Posterior(nn.Module):
    """A state and the actions that followed to the distribution of their style."""

    line: Tensor

    def __init__(self, space: Space, state: Shape, layers: int, latent: int, width: int,
                 heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Embedding(1, width)
        self.state = nn.Linear(state.width, width)
        self.actions = nn.Linear(space.channels, width)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, hidden, dropout)
                                    for _ in range(layers))
        self.output = nn.Linear(width, 2 * latent)
        self.register_buffer('line', line_places(1 + (state.tokens or 0) + space.horizon, width),
                             persistent=False)

    def forward(self, state: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """State [B, S, J] and actions [B, H, A] to mean and logarithm of variance, [B, Z] each."""
        x = torch.cat([self.first.weight.expand(len(state), 1, -1), self.state(state),
                       self.actions(actions)], dim=1)
        for layer in self.layers:
            x = layer(x, self.line, None)
        mean, log_variance = self.output(x[:, 0]).chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Module):
    """A query for each row of the actions reads the memory."""

    def __init__(self, horizon: int, layers: int, width: int, heads: int, hidden: int,
                 dropout: float) -> None:
        super().__init__()
        self.queries = nn.Embedding(horizon, width)
        made = [DecoderLayer(width, heads, hidden, dropout) for _ in range(layers)]
        self.layers, self.norm = nn.ModuleList(made), nn.LayerNorm(width)
        # Queries start as zeros, as in DETR: the first layer has equal values to look at, and
        # nothing of it but their bias matters.
        first = made[0].attention
        for weight in (*first.query.parameters(), *first.key.parameters(), first.value.weight):
            weight.requires_grad_(False)

    def forward(self, memory: Tensor, situation: Situation) -> Tensor:
        """[B, 1 + N, D] to [B, H, D]."""
        place = self.queries.weight
        x = torch.zeros_like(place).expand(len(memory), -1, -1)
        for layer in self.layers:
            x = layer(x, place, memory, situation.places, situation.mask)
        made: Tensor = self.norm(x)
        return made


def repeated(actions: Tensor) -> Tensor:
    """Rows [B, H, A] from which on the row before only repeats itself, bool [B, H]."""
    same = (actions[:, 1:] == actions[:, :-1]).all(2)
    return functional.pad(same.flip(1).long().cumprod(1).flip(1).bool(), (1, 0))
