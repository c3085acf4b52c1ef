"""How far a feature lies from what training knew: Mahalanobis distances.

`support/mahalanobis.py` has the formula. Fitted once, after training; no gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vla_humanoid_control.models.parts.heads.intent import beyond
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Space, Tokens
from vla_humanoid_control.support import mahalanobis

_BEYOND = 6.0
"""So much more log odds of being beyond the robot move an instruction e times as far away."""


class Novelty(Part):
    """Distance to the nearest of K centres, under one covariance for all.

    About 1 for what training knew, larger for what it did not.
    """

    centres: Tensor
    whitening: Tensor

    def __init__(self, space: Space, of: Shapes, *, centres: int = 1) -> None:
        """Not fitted: K `centres` at zero, identity covariance."""
        super().__init__()
        width = of[0].width
        self.register_buffer('centres', torch.zeros(centres, width))
        self.register_buffer('whitening', torch.eye(width))

    def fit(self, features: Tensor, kind: Tensor | None = None) -> None:
        """Take means and covariance from features that are known.

        Args:
            features: [N, F].
            kind: int64 [N], the centre that each belongs to; all to the first by default.
        """
        centres, whitening = mahalanobis.fitted(
            features.numpy(), None if kind is None else kind.numpy(), len(self.centres))
        self.centres.copy_(torch.from_numpy(centres))
        self.whitening.copy_(torch.from_numpy(whitening))

    @torch.no_grad()
    def forward(self, feature: Tokens) -> Tensor:
        """A feature [B, 1, F] to distances [B]."""
        return self.distance(feature.vector)

    def distance(self, features: Tensor) -> Tensor:
        """Features [B, F] to distances [B] from the nearest centre."""
        x, centres = features.float() @ self.whitening, self.centres @ self.whitening
        return torch.cdist(x, centres).amin(1) / x.shape[1] ** 0.5


class RequestNovelty(Novelty):
    """Distance of an instruction, which grows with the odds that it is out of scope.

    'pick up the red box' lies near to 'go to the red box' in feature space. The logits of two
    intent heads are added: they seldom err together.
    """

    @torch.no_grad()
    def forward(self, feature: Tokens, said: Tensor, scope: Tensor) -> Tensor:  # type: ignore[override]
        """The instruction [B, 1, D] and raw outputs of two intent heads to distances [B]."""
        return self.distance(feature.vector) * ((beyond(said) + beyond(scope)) / _BEYOND).exp()
