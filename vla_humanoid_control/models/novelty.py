"""How far a feature lies from what training knew: Mahalanobis distances (Lee et al., 2018).

https://arxiv.org/abs/1807.03888. Fitted once, after training; no gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Novelty(nn.Module):
    """Distance to the nearest of K centres, under one covariance for all.

    About 1 for what training knew, larger for what it did not.
    """

    centres: Tensor
    whitening: Tensor

    def __init__(self, width: int, centres: int = 1) -> None:
        """Not fitted: centres at zero, identity covariance.

        Args:
            width: Columns of a feature, F.
            centres: Number of centres, K.
        """
        super().__init__()
        self.register_buffer('centres', torch.zeros(centres, width))
        self.register_buffer('whitening', torch.eye(width))

    def fit(self, features: Tensor, kind: Tensor | None = None) -> None:
        """Take means and covariance from features that are known.

        Args:
            features: [N, F].
            kind: int64 [N], the centre that each belongs to; all to the first by default.
        """
        x = features.double()
        kind = torch.zeros(len(x), dtype=torch.long) if kind is None else kind
        count = torch.bincount(kind, minlength=len(self.centres)).double()[:, None]
        centres = torch.zeros(self.centres.shape, dtype=torch.double).index_add_(0, kind, x)
        centres = centres / count.clamp(min=1)
        offset = x - centres[kind]
        covariance = offset.T @ offset / len(x)
        # Directions in which training hardly varied must not count for everything.
        ridge = 0.01 * covariance.diagonal().mean() + 1e-8
        values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(covariance)))
        self.centres.copy_(centres)
        self.whitening.copy_(vectors / values.sqrt())

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] to distances [B]."""
        x, centres = features.float() @ self.whitening, self.centres @ self.whitening
        return torch.cdist(x, centres).amin(1) / x.shape[1] ** 0.5
