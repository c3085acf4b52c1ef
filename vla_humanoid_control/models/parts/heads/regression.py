"""Actions by regression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.heads.common import per_row
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Shape, Space, Targets, Tokens

_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    'smooth_l1': partial(functional.smooth_l1_loss, beta=0.1, reduction='none'),
    'l1': partial(functional.l1_loss, reduction='none'),
    'mse': partial(functional.mse_loss, reduction='none'),
}


class ActionHead(Head):
    """Tokens to normalised actions [B, H, A]: a token for each row, or one for all of them."""

    learns = 'action'

    def __init__(self, space: Space, of: Shapes, *, hidden: int, loss: str = 'smooth_l1') -> None:
        """Build it; `loss` is smooth_l1, l1 (the median of what was shown) or mse (its mean)."""
        super().__init__()
        if loss not in _LOSSES:
            raise ValueError(f'loss must be {", ".join(_LOSSES)}, got {loss}')
        self.distance = _LOSSES[loss]
        self.rows = action_rows(space, of[0])
        self.net = nn.Sequential(nn.Linear(of[0].width, hidden), nn.GELU(),
                                 nn.Linear(hidden, self.rows * space.channels))

    def forward(self, queries: Tokens) -> Tensor:
        """[B, H, D] or [B, 1, D] to [B, H, A]."""
        made = self.net(queries.values).float()  # [B, N, rows * A]
        return made.reshape(len(made), made.shape[1] * self.rows, -1)

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Distance of normalised actions, channels by their weight; [B]."""
        return per_row(self.distance(output, wanted(targets.actions, 'actions')), targets)

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A]."""
        return output


def action_rows(space: Space, shape: Shape) -> int:
    """How many rows of the actions come from one token. ValueError where they do not fit."""
    if shape.tokens not in (1, space.horizon):
        raise ValueError(f'{space.horizon} rows of actions need as many tokens, or one; got '
                         f'{shape.tokens}')
    return space.horizon // shape.tokens
