"""The supervisor's states, as one table of transitions.

      each of these four reaches each other
    ┌───────────────────────────────────────┐   emergency stop, heartbeat lost
    │ ┌─────┐  ┌──────┐  ┌──────┐  ┌──────┐ │ ───────────────────────────────► ┌───────┐
    │ │ RUN │  │ SLOW │  │ HOLD │  │ STOP │ │                                  │ ESTOP │
    │ └─────┘  └──────┘  └──────┘  └──────┘ │ ◄─────────────────────────────── └───────┘
    └───────────────────────────────────────┘        reset, to STOP only

The state is the gravest that any present cause demands; without a cause it is RUN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vla_humanoid_control.types import SafetyState

RUN, SLOW, HOLD, STOP, ESTOP = (SafetyState.RUN, SafetyState.SLOW, SafetyState.HOLD,
                                SafetyState.STOP, SafetyState.ESTOP)

SEVERITY: Mapping[SafetyState, int] = {RUN: 0, SLOW: 1, HOLD: 2, STOP: 3, ESTOP: 4}

TRANSITIONS: Mapping[SafetyState, Mapping[SafetyState, str]] = {
    RUN: {SLOW: 'an obstacle is near', HOLD: 'the confidence gate closed or a posture is refused',
          STOP: 'an input failed', ESTOP: 'emergency stop'},
    SLOW: {RUN: 'the way is clear', HOLD: 'the confidence gate closed or a posture is refused',
           STOP: 'an input failed or the way is blocked', ESTOP: 'emergency stop'},
    HOLD: {RUN: 'the gate opened', SLOW: 'the gate opened near an obstacle',
           STOP: 'an input failed', ESTOP: 'emergency stop'},
    STOP: {RUN: 'every cause is gone', SLOW: 'every cause is gone, near an obstacle',
           HOLD: 'every cause is gone, the gate is closed', ESTOP: 'emergency stop'},
    ESTOP: {STOP: 'reset by a person'},
}
"""From, to, and what it takes. What is not listed cannot happen."""


@dataclass(frozen=True)
class Cause:
    """A reason to be in a state graver than RUN.

    Attributes:
        key: What it is about, for counting: one word.
        demands: The state that it demands.
        reason: A sentence for people.
    """

    key: str
    demands: SafetyState
    reason: str


class StateMachine:
    """Holds the present state and follows the table."""

    def __init__(self, state: SafetyState, reason: str, now_s: float) -> None:
        self.state = state
        self.reason = reason
        self.since_s = now_s
        self.transitions = 0

    def follow(self, causes: Iterable[Cause], now_s: float) -> SafetyState:
        """Go to the gravest state that the causes demand. ESTOP is left by `reset` alone."""
        ordered = sorted(causes, key=lambda c: -SEVERITY[c.demands])
        target = ordered[0].demands if ordered else RUN
        if self.state is ESTOP and target is not ESTOP:
            return self.state
        reasons = [c.reason for c in ordered if c.demands is target]
        self._enter(target, '; '.join(reasons), now_s)
        return self.state

    def reset(self, reason: str, now_s: float) -> None:
        """Leave ESTOP for STOP; nothing else leaves ESTOP."""
        if self.state is ESTOP:
            self._enter(STOP, reason, now_s)

    def _enter(self, target: SafetyState, reason: str, now_s: float) -> None:
        self.reason = reason
        if target is self.state:
            return
        if target not in TRANSITIONS[self.state]:
            raise RuntimeError(f'no transition from {self.state.name} to {target.name}')
        self.state, self.since_s = target, now_s
        self.transitions += 1


class Recovery:
    """Keeps a stop until all of its causes have been gone for some time."""

    def __init__(self) -> None:
        self._stopped_s = -math.inf  # when a cause of a stop was last there
        self._stopped_by = ''

    def keep(self, causes: list[Cause], recover_s: float, now_s: float) -> list[Cause]:
        """The causes, and one more while a stop is not over.

        Args:
            causes: All that are present.
            recover_s: For how long those of a stop must be gone [s].
            now_s: The steady clock [s].
        """
        stops = [c for c in causes if c.demands is STOP]
        if stops:
            # Waiting for first readings is no fault to recover from.
            if any(c.key != 'missing' for c in stops):
                self._stopped_s, self._stopped_by = now_s, '; '.join(c.reason for c in stops)
        elif now_s - self._stopped_s < recover_s:
            return [*causes, Cause('recovering', STOP, f'recovering from: {self._stopped_by}')]
        return causes
