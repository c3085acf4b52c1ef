"""Instruction novelty, for policies that say nothing of their words themselves.

    words   how far an instruction lies from those of episodes that succeeded, log of a distance
    scope   log odds that it is beyond what the policy can do
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.signals.density import Arrays

_SIZES = 1e-3  # nearer than that two sentences are the same
_PENALTY = 3.0  # on the weights of `scope`: there are more of them than instructions


@dataclass(frozen=True)
class WordSignals:
    """`words` and `scope`.

    Attributes:
        known: float32 [K, E], sentences of episodes that succeeded, of length 1.
        weights: float32 [E], and offset: float32 [1], of the log odds.
    """

    known: NDArray[np.float32]
    weights: NDArray[np.float32]
    offset: NDArray[np.float32]

    @staticmethod
    def fit(sentences: NDArray[np.float32], succeeded: NDArray[np.bool_],
            able: NDArray[np.bool_]) -> WordSignals:
        """Learn from the instructions of episodes.

        Args:
            sentences: Of each, [N, E], of length 1.
            succeeded: Those that did, [N].
            able: Those in which the robot was asked for what it can do, [N].
        """
        weights = np.zeros(sentences.shape[1] + 1)
        if able.any() and not able.all():
            weights = _logistic(sentences, np.where(able, -1.0, 1.0))
        return WordSignals(np.unique(sentences[succeeded], axis=0),
                           weights[:-1].astype(np.float32), weights[-1:].astype(np.float32))

    def measure(self, sentences: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Signals, [N] each, of sentences [N, E]."""
        nearest = (sentences @ self.known.T).max(axis=1).astype(np.float64)
        return {'words': np.log(np.maximum(1.0 - nearest, 0.0) + _SIZES),
                'scope': np.asarray(sentences @ self.weights + self.offset, np.float64)}

    @property
    def arrays(self) -> Arrays:
        """For a file."""
        return {n: getattr(self, n) for n in ('known', 'weights', 'offset')}

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> WordSignals:
        """The inverse of `arrays`."""
        return WordSignals(**arrays)


def sentence_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Sentences as vectors of length 1, [N, E]: means of the features of their words."""
    # Imported when needed: a policy that says itself whether it reads an instruction needs none.
    from vla_humanoid_control.language.encoder import default_encoder
    tokens, mask = default_encoder().encode(texts)
    mean = tokens.sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6),
                      np.float32)


def _logistic(x: NDArray[np.float32], sign: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights and offset of a logistic regression, both signs counting alike."""
    from scipy.optimize import minimize
    inputs = np.concatenate([x.astype(np.float64), np.ones((len(x), 1))], axis=1)
    share = np.where(sign > 0, 0.5 / (sign > 0).sum(), 0.5 / (sign < 0).sum())
    free = np.append(np.ones(x.shape[1]), 0.0)  # the offset is not penalised

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (inputs @ w)
        value = share @ np.logaddexp(0.0, -margin) + _PENALTY / len(x) * (free * w ** 2).sum()
        slope = -share * sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
        return float(value), slope @ inputs + 2 * _PENALTY / len(x) * free * w

    return np.asarray(minimize(loss, np.zeros(inputs.shape[1]), jac=True, method='L-BFGS-B').x)
