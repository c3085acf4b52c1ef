"""Mahalanobis distance from what is known: how far a feature lies from the nearest of K centres.

As in Lee et al., 2018, https://arxiv.org/abs/1807.03888: the centres share one covariance. A
whitening matrix W makes the distance Euclidean; divided by the square root of the width, it is
about 1 for what is known:

    distance(x) = min over centres c of |(x - c) W| / sqrt(F)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RIDGE = 0.01  # directions in which what is known hardly varied must not count for everything


def fitted(known: NDArray[np.float32], kind: NDArray[np.int64] | None = None, centres: int = 1
           ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and whitening of what is known.

    Args:
        known: [N, F].
        kind: [N], the centre that each belongs to; all to the first by default.
        centres: How many there are, K; one that nothing belongs to is zero.

    Returns:
        [K, F] and [F, F].
    """
    x = known.astype(np.float64)
    means = np.zeros((centres, x.shape[1]))
    of = np.zeros(len(x), np.int64) if kind is None else kind
    for k in np.unique(of):
        means[k] = x[of == k].mean(axis=0)
    offset = x - means[of]
    covariance = offset.T @ offset / len(x)
    ridge = _RIDGE * covariance.diagonal().mean() + 1e-8
    values, vectors = np.linalg.eigh(covariance + ridge * np.eye(len(covariance)))
    return means, vectors / np.sqrt(values)


def distance(x: NDArray[np.float32], centre: NDArray[np.float32], whitening: NDArray[np.float32]
             ) -> NDArray[np.float64]:
    """Of vectors [N, F] from one centre [F], [N]."""
    away = (x - centre) @ whitening
    return np.asarray(np.sqrt((away.astype(np.float64) ** 2).mean(axis=1)))
