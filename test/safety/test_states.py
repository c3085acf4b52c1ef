"""The table of transitions."""

from __future__ import annotations

import itertools

import pytest

from vla_humanoid_control.safety.states import (
    ESTOP,
    HOLD,
    RUN,
    SEVERITY,
    SLOW,
    STOP,
    TRANSITIONS,
    Cause,
    StateMachine,
)
from vla_humanoid_control.types import SafetyState


def cause(state: SafetyState) -> list[Cause]:
    return [] if state is RUN else [Cause('test', state, f'because of {state.name}')]


def test_the_table_covers_every_state() -> None:
    assert set(TRANSITIONS) == set(SafetyState) == set(SEVERITY)


@pytest.mark.parametrize(('start', 'end'), list(itertools.permutations(SafetyState, 2)))
def test_every_pair(start: SafetyState, end: SafetyState) -> None:
    machine = StateMachine(RUN, '', 0.0)
    machine.follow(cause(start), 1.0)
    machine.follow(cause(end), 2.0)
    allowed = end in TRANSITIONS[start]
    assert machine.state is (end if allowed and start is not ESTOP else
                             start if start is ESTOP else end)
    assert allowed or start is ESTOP


def test_the_gravest_cause_decides_and_gives_the_reason() -> None:
    machine = StateMachine(RUN, '', 0.0)
    machine.follow(cause(SLOW) + cause(STOP) + cause(HOLD), 1.0)
    assert (machine.state, machine.reason, machine.since_s) == (STOP, 'because of STOP', 1.0)


def test_only_reset_leaves_estop_and_leads_to_stop() -> None:
    machine = StateMachine(RUN, '', 0.0)
    machine.follow(cause(ESTOP), 1.0)
    for state in (RUN, SLOW, HOLD, STOP):
        assert machine.follow(cause(state), 2.0) is ESTOP
    machine.reset('by a person', 3.0)
    assert machine.state is STOP


def test_a_transition_that_is_not_listed_cannot_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, RUN, {})  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match='no transition from RUN to STOP'):
        StateMachine(RUN, '', 0.0).follow(cause(STOP), 1.0)
