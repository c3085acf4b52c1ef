"""One confidence out of any number of signals.

    signals ─► standardise ─► non-negative logistic regression ─► smooth over time ─► calibrate

A signal is a number that is larger where an answer is worse (`confidence/signals/meter.py`). The
weights, the calibration and a conformal threshold are fitted on rollouts that were held out
(`confidence/fitting.py`), for every choice of signals anew: with a signal switched off the
confidence is calibrated still. The threshold follows from the share of false stops that a person
allows, alpha.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.calibration import (
    Calibration,
    Floats,
    PlattScaling,
    calibration_from_dict,
    conformal_threshold,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import Proposal

SMOOTHING_S = 0.3
"""Time constant of the smoothing [s]: single bad inferences pass, a lost camera does not."""
ALPHA = 0.02
"""Share of successful episodes that the gate may stop, where a person says nothing else."""
EARLY_S = 2.0
"""Confidence is calibrated and judged over this long from the instruction on: later it would only
report what has already happened [s]."""


IMPLAUSIBLE = 'implausible'
"""The signal that is no matter of degree: 1 where an image can be a view of nothing, else 0."""
UNKNOWN_AT_FIRST = frozenset({'agreement', 'reversals'})
"""Signals that compare an answer with those before: unknown in the first, where they count as
usual. Any other signal that is unknown makes the confidence unknown, which counts as none."""


@dataclass(frozen=True)
class Combination:
    """What turns signals into a confidence.

    Attributes:
        signals: The S signals that it uses.
        mean, std: Of each signal where the policy succeeds, [S] each.
        hinge: The 99th percentile of successes, in standard deviations above the mean, [S]. Beyond
            it a signal has a second weight, a veto.
        weights: Slopes of a signal and of its excess over the hinge, >= 0, [2 S].
        offset: Logit where every signal is at its mean.
        calibration: Of the smoothed logit.
        lowest: The lowest confidence of each held-out episode that succeeded, rising.
    """

    signals: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hinge: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float
    calibration: Calibration = field(default_factory=PlattScaling)
    lowest: tuple[float, ...] = ()

    def threshold(self, alpha: float) -> float:
        """A successful episode falls below it with probability `alpha` at most.

        Conformal prediction. Where there were too few episodes for such a promise it is the lowest
        of them: it may stop more, see `promised`, but a gate that never closes is none. 0 where
        there was none.
        """
        if alpha < self.promised(alpha):
            return self.lowest[0] if self.lowest else 0.0
        return conformal_threshold(np.array(self.lowest), alpha)

    def promised(self, alpha: float) -> float:
        """The share of false stops that `threshold` keeps: `alpha`, or what so few allow."""
        return max(alpha, 1.0 / (len(self.lowest) + 1))

    def logits(self, values: Mapping[str, Floats]) -> Floats:
        """Signals, each [N] with NaN where unknown, to logits [N]."""
        weighed = columns(self.signals, values, np.array(self.mean), np.array(self.std),
                          np.array(self.hinge))
        return np.asarray(self.offset - weighed @ np.array(self.weights))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {'signals': list(self.signals), 'mean': list(self.mean), 'std': list(self.std),
                'hinge': list(self.hinge), 'weights': list(self.weights), 'offset': self.offset,
                'calibration': self.calibration.to_dict(), 'lowest': list(self.lowest)}

    @staticmethod
    def from_dict(data: Any, where: str) -> Combination:
        """The inverse of `to_dict`. Raises UserError where it is damaged."""
        try:
            signals = tuple(map(str, data['signals']))
            lists = {n: tuple(float(v) for v in data[n])
                     for n in ('mean', 'std', 'hinge', 'weights', 'lowest')}
            offset = float(data['offset'])
            sizes = [len(lists[n]) for n in ('mean', 'std', 'hinge', 'weights')]
            numbers = [offset, *itertools.chain(*lists.values())]
            if not signals or sizes != [len(signals)] * 3 + [2 * len(signals)] \
                    or not all(map(math.isfinite, numbers)) \
                    or any(not 0 <= v <= 1 for v in lists['lowest']) \
                    or min(lists['std']) <= 0 or min(lists['weights']) < 0:
                raise ValueError('sizes or values are wrong')
            return Combination(signals, **lists, offset=offset,
                               calibration=calibration_from_dict(data['calibration'], where))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f'The confidence in {where} is damaged: {error!r}. Copy it again, or '
                            'measure it again: vla trust') from error


class SignalsError(ValueError):
    """A proposal that cannot be judged by this artifact. `str(error)` is the reason."""


class Confidence:
    """The confidence of one policy, proposal by proposal: what the confidence monitor asks.

    Args:
        combination: How it is made; None where it was never measured.
        trust: `TrustArtifact.identity` of the artifact that it is from; 0 for none.
    """

    def __init__(self, combination: Combination | None = None, trust: int = 0) -> None:
        self.combination, self._trust = combination, trust
        self._attempt: int | None = None
        self._smooth, self._stamp_ns, self._value = math.nan, -1, 0.0

    def judge(self, proposal: Proposal) -> Proposal:
        """A proposal with the confidence that its signals give it.

        That of a policy that was never measured keeps the confidence that it claims. An image that
        can be a view of nothing leaves none in any case: a blind policy may well succeed in
        walking a metre, and says so, but must not try.

        Raises:
            SignalsError: It lacks signals, or they are of another artifact: a threshold of this
                one would mean nothing.
        """
        signals, value = proposal.signals, proposal.confidence
        if signals and proposal.trust != self._trust:
            raise SignalsError(
                f'its signals are of {_artifact(proposal.trust)}, the monitor goes by '
                f'{_artifact(self._trust)}: give vla_controller and confidence_monitor the same '
                'policy and trust')
        if self.combination is not None and proposal.is_answer:
            if missing := [n for n in self.combination.signals if n not in signals]:
                raise SignalsError(f'signals {", ".join(missing)} are missing: give '
                                   'vla_controller the policy and trust of the monitor')
            value = self._follow(proposal, self.combination)
        if signals.get(IMPLAUSIBLE, 0.0) > 0.0:
            value = 0.0
        return proposal if value == proposal.confidence else replace(proposal, confidence=value)

    def _follow(self, proposal: Proposal, combination: Combination) -> float:
        """Smoothed over the answers of one attempt; what is proposed again counts once."""
        stamp_ns = proposal.stamp_ns
        if proposal.attempt != self._attempt:
            self._attempt, self._smooth, self._stamp_ns = proposal.attempt, math.nan, -1
        if stamp_ns == self._stamp_ns:
            return self._value
        values = {name: np.array([proposal.signals.get(name, math.nan)])
                  for name in combination.signals}
        logit = float(combination.logits(values)[0])
        if math.isfinite(self._smooth):
            logit = _smoothed(self._smooth, logit, (stamp_ns - self._stamp_ns) / 1e9)
        self._smooth, self._stamp_ns = logit, stamp_ns
        self._value = float(combination.calibration(np.array([logit]))[0])
        return self._value


def smooth(logits: Floats, episode: NDArray[np.int64], time_s: Floats) -> Floats:
    """What `Confidence` makes of the logits [N] of whole episodes, in their order."""
    result = np.array(logits, np.float64)
    for i in range(1, len(result)):
        if episode[i] == episode[i - 1]:
            result[i] = _smoothed(result[i - 1], result[i], float(time_s[i] - time_s[i - 1]))
    return result


def columns(signals: Sequence[str], values: Mapping[str, Floats], mean: Floats, std: Floats,
            hinge: Floats) -> Floats:
    """Signals, each [N], to what the regression weighs, [N, 2 S]."""
    z = (np.stack([np.asarray(values[s], np.float64) for s in signals], axis=1) - mean) / std
    for place, name in enumerate(signals):
        if name in UNKNOWN_AT_FIRST:
            z[np.isnan(z[:, place]), place] = 0.0
    z = np.clip(z, -8.0, 12.0)
    return np.concatenate([z, np.maximum(0.0, z - hinge)], axis=1)


def _artifact(identity: int) -> str:
    return f'trust artifact {identity:012x}' if identity else 'no trust artifact'


def _smoothed(before: float, new: float, passed_s: float) -> float:
    """A new logit after a smoothed one; alone where time has gone back."""
    share = 1.0 if passed_s < 0 else 1.0 - math.exp(-passed_s / SMOOTHING_S)
    return before + (new - before) * share
