"""Mahalanobis distances, of arrays and in a model."""

from __future__ import annotations

import numpy as np
import torch

from vla_humanoid_control.confidence.signals.density import Density
from vla_humanoid_control.models.parts.trust.novelty import Novelty
from vla_humanoid_control.models.streams import Shape, Space
from vla_humanoid_control.support.mahalanobis import distance, fitted

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(6, 6)) * np.array([3.0, 1.0, 1.0, 0.5, 0.5, 1e-4])
KNOWN = (RNG.normal(size=(4000, 6)) @ MIX + 5.0).astype(np.float32)
SPACE = Space({'head': (8, 8)}, 1, 1, 1)


def test_what_is_known_is_about_one_away_and_the_scale_of_features_does_not_matter() -> None:
    (centre,), whitening = fitted(KNOWN)
    found = distance(KNOWN, centre.astype(np.float32), whitening.astype(np.float32))
    # One direction of six hardly varies, and counts for less.
    assert 0.75 < np.sqrt((found ** 2).mean()) < 1.0
    (centre,), whitening = fitted(KNOWN * 100)
    scaled = distance(KNOWN * 100, centre.astype(np.float32), whitening.astype(np.float32))
    np.testing.assert_allclose(scaled, found, rtol=1e-3)


def test_it_is_the_distance_by_the_inverse_of_the_covariance() -> None:
    x = KNOWN.astype(np.float64)
    covariance = np.cov(x.T, bias=True)
    covariance += np.eye(6) * (0.01 * covariance.diagonal().mean() + 1e-8)
    offset = RNG.normal(size=(50, 6)) * 10
    expected = np.sqrt(np.einsum('ni,ij,nj->n', offset, np.linalg.inv(covariance), offset) / 6)
    (centre,), whitening = fitted(KNOWN)
    np.testing.assert_allclose(distance(offset + x.mean(axis=0), centre, whitening), expected,
                               rtol=1e-6)


def test_a_model_and_an_artifact_have_the_same_distance() -> None:
    part, density = Novelty(SPACE, [Shape(6)]), Density.fit(KNOWN)
    part.fit(torch.from_numpy(KNOWN))
    far = KNOWN[:40] + RNG.normal(size=(40, 6)).astype(np.float32)
    np.testing.assert_allclose(part.distance(torch.from_numpy(far)).numpy(),
                               density.distance(far), rtol=1e-3)


def test_the_nearest_of_several_centres_counts() -> None:
    kind = np.arange(len(KNOWN)) % 2
    spread = KNOWN + np.float32(400.0) * kind[:, None].astype(np.float32)
    part = Novelty(SPACE, [Shape(6)], centres=3)
    part.fit(torch.from_numpy(spread), torch.from_numpy(kind))
    assert not part.centres[2].any()  # nothing belongs to it
    near = part.distance(torch.from_numpy(spread[:200]))
    between = part.distance(torch.from_numpy(spread[:200] + 200.0 * (1 - 2 * kind[:200, None])
                                             .astype(np.float32)))
    assert near.mean() < 1.2 and between.min() > 5 * near.max()
