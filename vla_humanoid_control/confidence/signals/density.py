"""What is usual, and what is not: a density, and a small network that tells two things apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support import mahalanobis

Arrays = Mapping[str, NDArray[Any]]
"""What was learnt, by name, for a file."""
_FARTHEST = 6.0  # deviations; beyond, an input tells nothing more


@dataclass(frozen=True)
class Density:
    """One Gaussian, with Mahalanobis' distance; see `support/mahalanobis.py`.

    Attributes:
        mean: float32 [F]. whitening: float32 [F, F].
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    @staticmethod
    def fit(known: NDArray[np.float32]) -> Density:
        """Of what is known, [N, F]."""
        (mean,), whitening = mahalanobis.fitted(known)
        return Density(mean.astype(np.float32), whitening.astype(np.float32))

    def distance(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Vectors [N, F] to distances [N]."""
        return mahalanobis.distance(x, self.mean, self.whitening)

    @property
    def arrays(self) -> Arrays:
        """For a file."""
        return {'mean': self.mean, 'whitening': self.whitening}


@dataclass(frozen=True)
class Perceptron:
    """A network with one hidden layer that gives log odds. Fitted with torch, run without.

    Attributes:
        mean, std: float32 [F], of its inputs. w1: float32 [F, K]. b1: float32 [K].
        w2: float32 [K]. b2: float32 [1].
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    w1: NDArray[np.float32]
    b1: NDArray[np.float32]
    w2: NDArray[np.float32]
    b2: NDArray[np.float32]

    @staticmethod
    def fit(x: NDArray[np.float32], y: NDArray[np.float64], weight: NDArray[np.float64],
            seed: int, hidden: int, epochs: int) -> Perceptron:
        """Learn to tell y 1 from y 0.

        Args:
            x: [N, F].
            y: [N], 0 or 1.
            weight: [N], about 1.
            seed: Of all chance.
            hidden: Width of the hidden layer, K.
            epochs: Passes over the data.
        """
        import torch
        from torch import nn
        mean, std = x.mean(axis=0), x.std(axis=0) + 1e-3
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Dropout(0.2), nn.Linear(x.shape[1], hidden), nn.ReLU(),
                                nn.Dropout(0.2), nn.Linear(hidden, 1))
        inputs = torch.from_numpy(_normalised(x, mean, std))
        labels, weights = torch.from_numpy(y).float(), torch.from_numpy(weight).float()
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.1)
        for _ in range(epochs):
            order = torch.randperm(len(inputs))
            for rows in torch.split(order, 256):  # type: ignore[no-untyped-call]
                noisy = inputs[rows] + 0.1 * torch.randn(len(rows), x.shape[1])
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(noisy)[:, 0], labels[rows], weights[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        w1, b1, w2, b2 = (p.detach().numpy() for p in network.parameters())
        return Perceptron(mean, std, np.ascontiguousarray(w1.T), b1, w2[0], b2)

    def log_odds(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of y 1, for inputs [N, F]: [N]."""
        hidden = np.maximum(_normalised(x, self.mean, self.std) @ self.w1 + self.b1, 0.0)
        return np.asarray(hidden @ self.w2 + self.b2, np.float64)

    @property
    def arrays(self) -> Arrays:
        """For a file."""
        return {n: getattr(self, n) for n in ('mean', 'std', 'w1', 'b1', 'w2', 'b2')}


def _normalised(x: NDArray[np.float32], mean: NDArray[np.float32], std: NDArray[np.float32]
                ) -> NDArray[np.float32]:
    return np.asarray(np.clip((x - mean) / std, -_FARTHEST, _FARTHEST), np.float32)
