"""Actions as choices among uniform bins (RT-1, https://arxiv.org/abs/2212.06817)."""

from __future__ import annotations

from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.heads.common import per_row
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens


def to_bins(values: Tensor, bins: int, low: float, high: float) -> Tensor:
    """Values to the numbers of their bins, int64: floor(a (bins - 1)), a from 0 to 1."""
    share = (values.clamp(low, high) - low) / (high - low)
    return (share * (bins - 1)).long()


def from_bins(tokens: Tensor, bins: int, low: float, high: float) -> Tensor:
    """Numbers of bins to values: the lower edge of each, and `high` of the last."""
    return tokens / (bins - 1) * (high - low) + low


class BinsHead(Head):
    """A token for each action value, for each row, or one for all, to [B, H, A, bins]."""

    learns = 'action'

    def __init__(self, space: Space, of: Shapes, *, bins: int = 256, low: float = -1.0,
                 high: float = 1.0) -> None:
        """Build it; the bins divide normalised actions from `low` to `high`."""
        super().__init__()
        values = space.horizon * space.channels
        if not of[0].tokens or values % of[0].tokens:
            raise ValueError(f'{space.horizon} x {space.channels} action values need a token '
                             f'each, one a row, or one; got {of[0].tokens}')
        if not low < high or bins < 2:
            raise ValueError(f'{bins} bins from {low} to {high} are none')
        self.bins, self.low, self.high, self.channels = bins, low, high, space.channels
        self.net = nn.Linear(of[0].width, values // of[0].tokens * bins)

    def forward(self, tokens: Tokens) -> Tensor:
        """[B, N, D] to logits [B, H, A, bins]."""
        made = self.net(tokens.values).float().unflatten(-1, (-1, self.bins)).flatten(1, 2)
        return made.unflatten(1, (-1, self.channels))

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy, channels by their weight; [B]."""
        right = to_bins(wanted(targets.actions, 'actions'), self.bins, self.low, self.high)
        each = functional.cross_entropy(output.flatten(0, 2), right.flatten(), reduction='none')
        return per_row(each.reshape(right.shape), targets)

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Of the likeliest bins, normalised actions [B, H, A]."""
        return from_bins(output.argmax(-1), self.bins, self.low, self.high)
