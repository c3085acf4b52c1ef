"""The confidence gate: a proposal passes while the policy believes in it, else the robot holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from vla_humanoid_control.support.bounds import bounded
from vla_humanoid_control.types import Action, GatedProposal, Proposal

SILENCE_S = 0.15
"""So long after the last proposal a closed gate reports itself [s]."""
LOWEST_THRESHOLD = 0.02
"""A gate of the graph opens no lower: below this, it would be open to everything."""
LONGEST_DWELL_S, LONGEST_STALE_S = 10.0, 2.0
"""Bounds of `GateConfig.min_dwell_s` and `stale_after_s`, in the graph and offline [s]."""


@dataclass(frozen=True)
class GateConfig:
    """When the gate opens and closes.

    The bounds of the fields are those of a gate of the graph; offline, `OPEN_GATE` goes below.

    Attributes:
        open_threshold: A closed gate opens at this confidence.
        close_threshold: An open gate closes below this one; at most `open_threshold` (hysteresis).
        min_dwell_s: At least this long between two transitions [s]. Closing on a stale or invalid
            proposal does not wait for it.
        stale_after_s: When the newest camera frame behind the proposals was first seen longer ago,
            proposals are stale, whether they go on coming or not [s].

    Raises:
        ValueError: A value is not finite or out of range.
    """

    open_threshold: float = bounded(0.6, LOWEST_THRESHOLD, 1.0)
    close_threshold: float = bounded(0.45, LOWEST_THRESHOLD, 1.0)
    min_dwell_s: float = bounded(0.5, 0.0, LONGEST_DWELL_S)
    stale_after_s: float = bounded(0.5, 0.05, LONGEST_STALE_S)

    def __post_init__(self) -> None:
        if not 0.0 < self.close_threshold <= self.open_threshold <= 1.0:
            raise ValueError('need 0 < close_threshold <= open_threshold <= 1, got '
                             f'{self.close_threshold} and {self.open_threshold}')
        if not 0.0 <= self.min_dwell_s <= LONGEST_DWELL_S:
            raise ValueError(f'min_dwell_s must be in [0, {LONGEST_DWELL_S:g}], got '
                             f'{self.min_dwell_s}')
        if not 0.0 < self.stale_after_s <= LONGEST_STALE_S:
            raise ValueError(f'stale_after_s must be in (0, {LONGEST_STALE_S:g}], got '
                             f'{self.stale_after_s}')


OPEN_GATE = GateConfig(open_threshold=1e-9, close_threshold=1e-9, min_dwell_s=0.0)
"""Lets every finite action pass, to see what a gate would withhold."""


class Standing(Enum):
    """What is known of the confidence of a policy.

    Attributes:
        CALIBRATED: It is a probability, and its threshold means something.
        UNCALIBRATED: It is none, so that nothing passes, however high it is.
        ALLOWED: The same, but a person lets the policy act all the same.
    """

    CALIBRATED = 'calibrated'
    UNCALIBRATED = 'uncalibrated'
    ALLOWED = 'uncalibrated, and allowed to act'

    @staticmethod
    def of(is_calibrated: bool, allow_uncalibrated: bool) -> Standing:
        """What a policy is, and what a person allows."""
        if is_calibrated:
            return Standing.CALIBRATED
        return Standing.ALLOWED if allow_uncalibrated else Standing.UNCALIBRATED


UNCALIBRATED = ('the policy is not calibrated: nobody knows when it fails. allow_uncalibrated '
                'lets it act all the same')


class ConfidenceGate:
    """Threshold with hysteresis and a minimum dwell. Starts closed.

    Args:
        config: When it opens and closes.
        standing: Whether there is a confidence to go by.

    Attributes:
        config: May be replaced while running.
    """

    def __init__(self, config: GateConfig, standing: Standing = Standing.CALIBRATED) -> None:
        self.config = config
        self._standing = standing
        self._is_open = False
        self._changed_s = -math.inf  # so that the first opening waits for nothing
        self._latest: Proposal | None = None
        self._stamp_ns: int | None = None  # newest frame that a proposal came from
        self._fresh_s = -math.inf  # when it first showed
        self._heard_s = -math.inf  # when the last proposal or refusal came

    @property
    def is_open(self) -> bool:
        """Whether proposals pass."""
        return self._is_open

    def update(self, proposal: Proposal | None, now_s: float) -> GatedProposal:
        """Take the newest proposal and say what passes.

        Args:
            proposal: What arrived since the last call; None where nothing did.
            now_s: Steady clock [s].

        Returns:
            The newest proposal while the gate is open; a hold with its confidence otherwise.
        """
        invalid = None
        if proposal is not None:
            self._heard_s = now_s
            self._latest, invalid = _validated(proposal)
            self._follow_stamp(proposal.stamp_ns, now_s)
        if self._latest is None:
            return _held(Proposal(0, Action.hold(), 0.0, 0.0), 'no proposal yet')
        if now_s - self._fresh_s > self.config.stale_after_s:
            # No age here: a reason that changes at every tick would flood those who log it.
            invalid = f'proposal is stale: no new frame for {self.config.stale_after_s:g} s'
        if invalid is not None:
            self._move(False, now_s)
            # An invalid action must not pass later, should its frame still count as fresh.
            self._latest = replace(self._latest, action=Action.hold(), confidence=0.0)
            return _held(self._latest, invalid)
        return self._judge(self._latest, now_s)

    def refuse(self, now_s: float) -> None:
        """There is no usable proposal: close at once."""
        self._heard_s = now_s
        self._move(False, now_s)

    def silence(self, now_s: float, after_s: float = SILENCE_S) -> GatedProposal | None:
        """What to say though no proposal came: that the gate is closed, or nothing.

        An open proposal is never repeated: when proposals cease, safety's watchdog runs.

        Args:
            now_s: Steady clock [s].
            after_s: So long after the last proposal it is said, at every call [s].
        """
        if now_s - self._heard_s < after_s:
            return None
        gated = self.update(None, now_s)
        return None if gated.is_open else gated

    def _follow_stamp(self, stamp_ns: int, now_s: float) -> None:
        """Count a frame as fresh if it is newer than the one before."""
        before_ns = self._stamp_ns
        if before_ns is None or stamp_ns > before_ns:
            self._stamp_ns, self._fresh_s = stamp_ns, now_s
        elif (before_ns - stamp_ns) * 1e-9 > self.config.stale_after_s:
            # So far back the robot's clock must have jumped: what is newer counts from here on.
            self._stamp_ns = stamp_ns

    def _judge(self, proposal: Proposal, now_s: float) -> GatedProposal:
        threshold = self.config.close_threshold if self._is_open else self.config.open_threshold
        wanted = proposal.confidence >= threshold
        if self._standing is not Standing.CALIBRATED:
            wanted = self._standing is Standing.ALLOWED and proposal.is_answer
        if wanted != self._is_open and now_s - self._changed_s >= self.config.min_dwell_s:
            self._move(wanted, now_s)
        if self._is_open:
            return GatedProposal(proposal, True, '')
        if self._standing is Standing.UNCALIBRATED:
            return _held(proposal, UNCALIBRATED)
        if wanted:
            return _held(proposal, 'confidence is back, waiting for the dwell time')
        if not proposal.is_answer:
            return _held(proposal, 'there is no answer of the policy')
        return _held(proposal, f'confidence {proposal.confidence:.2f} below '
                               f'{self.config.open_threshold:.2f}')

    def _move(self, is_open: bool, now_s: float) -> None:
        if is_open != self._is_open:
            self._is_open, self._changed_s = is_open, now_s


def _validated(proposal: Proposal) -> tuple[Proposal, str | None]:
    """The proposal, and why it must not pass; None where it may."""
    if not 0.0 <= proposal.confidence <= 1.0:  # NaN fails both comparisons
        reason = f'confidence {proposal.confidence} is not in [0, 1] and counts as 0'
        return replace(proposal, confidence=0.0), reason
    if not np.all(np.isfinite(proposal.action.twist)):
        return proposal, 'action is not finite: base twist'
    for name, target in proposal.action.joints.items():
        if not math.isfinite(target):
            return proposal, f'action is not finite: {name}'
    return proposal, None


def _held(proposal: Proposal, reason: str) -> GatedProposal:
    return GatedProposal(replace(proposal, action=Action.hold()), False, reason)
