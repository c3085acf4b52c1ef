"""The confidence gate: hysteresis, dwell, staleness, and what is invalid."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.confidence.gate import ConfidenceGate, GateConfig, Standing
from vla_humanoid_control.types import Action, Proposal

CONFIG = GateConfig(open_threshold=0.6, close_threshold=0.4, min_dwell_s=0.5, stale_after_s=0.3)


def proposal(confidence: float, stamp_ns: int = 1, x: float = 0.2) -> Proposal:
    return Proposal(stamp_ns, Action(np.array([x, 0.0, 0.0]), {'neck_yaw': 0.1}), confidence, 0.5)


def is_hold(action: Action) -> bool:
    return not action.twist.any() and not action.joints


def test_starts_closed_with_a_hold() -> None:
    gated = ConfidenceGate(CONFIG).update(None, 0.0)
    assert not gated.is_open and is_hold(gated.proposal.action) and gated.reason


def test_opens_passes_unchanged_and_keeps_open_between_the_thresholds() -> None:
    gate = ConfidenceGate(CONFIG)
    assert not gate.update(proposal(0.59), 0.0).is_open
    sent = proposal(0.61, 2)
    gated = gate.update(sent, 0.1)
    assert gated.is_open and gated.proposal is sent and gated.reason == ''
    assert gate.update(proposal(0.41, 3), 1.0).is_open
    closed = gate.update(proposal(0.39, 4), 1.1)
    assert not closed.is_open and is_hold(closed.proposal.action)
    assert closed.proposal.confidence == 0.39 and '0.39' in closed.reason
    assert not gate.update(proposal(0.5, 5), 2.0).is_open


def test_without_a_new_proposal_the_last_one_passes_until_it_is_stale() -> None:
    gate = ConfidenceGate(CONFIG)
    gate.update(proposal(0.9), 0.0)
    assert gate.update(None, 0.29).is_open
    closed = gate.update(None, 0.31)
    assert not closed.is_open and 'stale' in closed.reason


def test_a_frame_that_no_longer_advances_is_stale_even_if_proposals_keep_coming() -> None:
    gate = ConfidenceGate(CONFIG)
    for i in range(16):
        gate.update(proposal(0.9, stamp_ns=7), i * 0.02)
    assert not gate.update(proposal(0.9, stamp_ns=7), 0.32).is_open


@pytest.mark.parametrize('step_ns', [10**6, 10**9])
def test_frames_that_go_back_in_time_are_stale(step_ns: int) -> None:
    """Regression: every stamp that differed from the one before counted as a new frame."""
    gate = ConfidenceGate(CONFIG)
    for i in range(20):
        gated = gate.update(proposal(0.9, stamp_ns=10**11 - i * step_ns), i * 0.02)
        assert gated.is_open is (i * 0.02 <= CONFIG.stale_after_s)
    assert 'stale' in gated.reason


@pytest.mark.parametrize('back_ns', [2 * 10**8, 5 * 10**9])
def test_a_clock_that_jumps_back_and_goes_on_keeps_the_gate_open(back_ns: int) -> None:
    gate, start_ns = ConfidenceGate(CONFIG), 10**11
    for i in range(100):
        jump_ns = back_ns if i >= 50 else 0
        assert gate.update(proposal(0.9, start_ns + i * 10**8 // 5 - jump_ns), i * 0.02).is_open


def test_flicker_makes_at_most_one_transition_a_dwell_time() -> None:
    gate = ConfidenceGate(CONFIG)
    changes, before = [], False
    for i in range(500):
        now_s = i * 0.02
        is_open = gate.update(proposal(0.9 if i % 2 else 0.1, i), now_s).is_open
        if is_open != before:
            changes.append(now_s)
        before = is_open
    assert len(changes) > 5
    assert min(b - a for a, b in pairwise(changes)) >= CONFIG.min_dwell_s


@pytest.mark.parametrize('confidence', [math.nan, -0.1, 1.1, math.inf, -math.inf])
def test_impossible_confidence_counts_as_zero_and_closes_at_once(confidence: float) -> None:
    gate = ConfidenceGate(CONFIG)
    assert gate.update(proposal(0.9), 0.0).is_open
    gated = gate.update(proposal(confidence, 2), 0.02)
    assert not gated.is_open and gated.proposal.confidence == 0.0
    assert is_hold(gated.proposal.action)
    assert not gate.update(None, 0.04).is_open


@pytest.mark.parametrize('action', [Action(np.array([math.nan, 0, 0]), {}),
                                    Action(np.zeros(3), {'neck_yaw': math.inf})])
def test_action_that_is_not_finite_closes_at_once_with_the_reason(action: Action) -> None:
    gate = ConfidenceGate(CONFIG)
    assert gate.update(proposal(0.9), 0.0).is_open
    gated = gate.update(Proposal(2, action, 0.9, 0.0), 0.02)
    assert not gated.is_open and 'not finite' in gated.reason and is_hold(gated.proposal.action)
    later = gate.update(None, 0.04)
    assert not later.is_open and is_hold(later.proposal.action)


def test_after_an_immediate_close_the_dwell_holds_for_reopening() -> None:
    gate = ConfidenceGate(CONFIG)
    gate.update(proposal(0.9), 0.0)
    gate.update(proposal(math.nan, 2), 0.02)
    waiting = gate.update(proposal(0.9, 3), 0.3)
    assert not waiting.is_open and 'dwell' in waiting.reason
    assert gate.update(proposal(0.9, 4), 0.53).is_open


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats()), st.floats(0.0, 0.4)), max_size=60))
def test_whatever_comes_a_closed_gate_holds_and_an_open_one_passes_a_valid_proposal(
        events: list[tuple[float | None, float]]) -> None:
    gate, now_s = ConfidenceGate(CONFIG), 0.0
    for i, (confidence, dt_s) in enumerate(events):
        now_s += dt_s
        gated = gate.update(None if confidence is None else proposal(confidence, i), now_s)
        assert 0.0 <= gated.proposal.confidence <= 1.0
        if gated.is_open:
            assert gated.proposal.action.twist[0] == 0.2
        else:
            assert is_hold(gated.proposal.action) and gated.reason


@pytest.mark.parametrize('fields', [
    {'open_threshold': 0.3, 'close_threshold': 0.5}, {'open_threshold': math.nan},
    {'open_threshold': 1.2}, {'close_threshold': 0.0}, {'min_dwell_s': -1.0},
    {'min_dwell_s': math.inf}, {'min_dwell_s': 1e6}, {'stale_after_s': 0.0},
    {'stale_after_s': math.nan}, {'stale_after_s': 1e6}])
def test_nonsense_configuration_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        GateConfig(**fields)


def test_what_was_never_calibrated_passes_only_where_a_person_lets_it() -> None:
    sure = proposal(0.99)
    closed = ConfidenceGate(CONFIG, Standing.UNCALIBRATED).update(sure, 0.0)
    assert not closed.is_open and 'not calibrated' in closed.reason
    assert is_hold(closed.proposal.action)
    gate = ConfidenceGate(CONFIG, Standing.ALLOWED)
    assert not gate.update(proposal(0.0), 0.0).is_open  # the controller holds, unasked
    assert gate.update(replace(proposal(0.0), signals={'agreement': 0.0}), 0.0).is_open
    broken = replace(sure, action=Action(np.full(3, np.nan), {}))
    assert not gate.update(broken, 10.0).is_open  # what makes no sense still does not pass
