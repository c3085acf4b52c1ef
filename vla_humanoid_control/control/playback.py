"""Plays overlapping action chunks back at any rate, smoothed by temporal ensembling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.types import BASE_CHANNELS, Action, RobotChunk

MARGIN_S = 0.1
"""By so much an answer may come late before the robot holds [s]."""
_SAMPLED_S = 0.1  # no finer a mean of what is planned is made of actions


@dataclass(frozen=True)
class _Stamped:
    """A chunk and the time of its first row: actions float64 [H, D]."""

    stamp_ns: int
    dt_ns: float
    actions: NDArray[np.float64]

    def at(self, stamp_ns: int) -> NDArray[np.float64] | None:
        """The action for that moment, float64 [D], between rows by straight line."""
        row = (stamp_ns - self.stamp_ns) / self.dt_ns
        horizon = len(self.actions)
        if not 0.0 <= row < horizon:
            return None
        low = int(row)
        high = min(low + 1, horizon - 1)  # the last row holds for its own dt
        mixed: NDArray[np.float64] = (self.actions[low]
                                      + (row - low) * (self.actions[high] - self.actions[low]))
        return mixed


class ChunkPlayback:
    """Temporal ensembling as in ACT (Zhao et al., 2023, arXiv:2304.13705, section IV-C).

    Every chunk that covers a moment predicts an action for it. The answer is their average with
    weights w_i = exp(-m * i), where i = 0 is the oldest prediction: with the paper's m = 0.01 all
    count nearly the same; a negative m lets the newest count most.

        chunk 1   a0 a1 a2 a3
        chunk 2      a0 a1 a2 a3
        chunk 3         a0 a1 a2 a3
                         ^ now: mean of three

    Args:
        spec: The policy's; its channels and horizon are what `add` accepts.
        m: Weight decay from the oldest prediction to the newest.
    """

    def __init__(self, spec: ControlSpec, m: float = 0.01) -> None:
        self._spec = spec
        self._m = m
        self._step_ns = 1e9 * max(spec.dt_s, _SAMPLED_S)
        # A chunk that ends before the next one comes holds its last row: a robot that is told one
        # action at a time does not stand in between.
        self._until_ns = round(1e9 * (spec.latency_s + spec.period_s + MARGIN_S))
        self._chunks: list[_Stamped] = []  # oldest first

    def add(self, chunk: RobotChunk, stamp_ns: int) -> None:
        """Take a new chunk, whose row 0 is meant for `stamp_ns`.

        Raises:
            ValueError: It is no chunk of this policy: types, channels, shape or step are not as
                announced, or an action is not finite. Nothing of it takes effect.
        """
        if problem := chunk_problem(chunk, self._spec):
            raise ValueError(problem)
        new = _Stamped(stamp_ns, chunk.dt_s * 1e9, chunk.actions.astype(np.float64))
        # A clock that jumped back would leave chunks that cover the future for ever.
        self._chunks = [c for c in self._chunks if c.stamp_ns < stamp_ns
                        and c.at(stamp_ns) is not None]
        self._chunks.append(new)

    def action_at(self, stamp_ns: int) -> Action | None:
        """The smoothed action for that moment; None where no chunk covers it."""
        predictions = [a for a in (c.at(stamp_ns) for c in self._chunks) if a is not None]
        if not predictions and self._chunks \
                and 0 <= stamp_ns - self._chunks[-1].stamp_ns < self._until_ns:
            predictions = [self._chunks[-1].actions[-1]]
        if not predictions:
            return None
        weights = np.exp(-self._m * np.arange(len(predictions)))
        mean = np.average(np.stack(predictions), axis=0, weights=weights)  # [n, D] -> [D]
        values = dict(zip(self._spec.channels, mean.tolist()))
        twist = np.array([values.pop(channel, 0.0) for channel in BASE_CHANNELS])
        return Action(twist, values)

    def mean_twist(self, stamp_ns: int, span_s: float) -> NDArray[np.float64]:
        """float64 [3], of the base over the next so many seconds, as far as chunks cover them.

        There must be an action for `stamp_ns`.
        """
        steps = max(1, round(span_s * 1e9 / self._step_ns))
        actions = [self.action_at(stamp_ns + round(k * self._step_ns)) for k in range(steps)]
        mean: NDArray[np.float64] = np.mean([a.twist for a in actions if a is not None], axis=0)
        return mean

    def clear(self) -> None:
        """Forget every chunk: a new instruction, a retry, or a stop."""
        self._chunks = []


def chunk_problem(chunk: object, spec: ControlSpec) -> str:
    """Why this is no chunk of that policy, whatever it is; empty if it is one."""
    if not isinstance(chunk, RobotChunk):
        return f'the policy gave {type(chunk).__name__} instead of a chunk'
    for name in ('dt_s', 'confidence', 'progress'):
        value = getattr(chunk, name)
        if not isinstance(value, Real):
            return f'chunk has {name} of type {type(value).__name__}, must be a number'
    if not isinstance(chunk.channels, tuple) or chunk.channels != spec.channels:
        return f'chunk has channels {chunk.channels}, the policy announced {spec.channels}'
    actions = chunk.actions
    if problem := actions_problem(actions, (spec.horizon, len(spec.channels))):
        return problem
    if not 0.0 < chunk.dt_s < math.inf:
        return f'chunk has dt_s {chunk.dt_s}, must be greater than 0 and finite'
    if not math.isclose(chunk.dt_s, spec.dt_s, rel_tol=1e-6):  # a float32 of the same is the same
        return f'chunk has dt_s {chunk.dt_s:g}, the policy announced {spec.dt_s:g}'
    with np.errstate(over='ignore'):
        is_finite = np.isfinite(actions.astype(np.float64)).all()
    return '' if is_finite else 'chunk holds an action that is not finite'


def actions_problem(actions: object, shape: tuple[int, int]) -> str:
    """Why these are no actions [H, D] of that shape, whatever they are; empty if they are."""
    if not isinstance(actions, np.ndarray) or actions.dtype.kind not in 'fiu':
        kind = getattr(actions, 'dtype', type(actions).__name__)
        return f'chunk has actions of type {kind}, must be an array of real numbers'
    return '' if actions.shape == shape else \
        f'chunk has shape {actions.shape}, the policy announced {shape}'
