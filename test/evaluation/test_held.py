"""When a robot counts as held, on commands made by hand."""

import numpy as np
import pytest

from vla_humanoid_control.evaluation.held import WATCH_S, HoldWatch
from vla_humanoid_control.types import Command, SafetyState

DT_S = 0.02


def watched(closes_s: float, *, opens_again_s: float = 9.0, rests_s: float = 0.3,
            state: SafetyState = SafetyState.HOLD, joints_move: bool = False) -> HoldWatch:
    """A robot that goes on for `closes_s`, then slows down for `rests_s`."""
    watch = HoldWatch()
    for step in range(round(WATCH_S / DT_S)):
        now_s = step * DT_S
        is_open = now_s < closes_s or now_s >= opens_again_s
        speed = max(0.0, 1 - max(0.0, now_s - closes_s) / rests_s) * 0.3
        joints = {'neck_yaw': now_s if joints_move else 0.0}
        watch.take(now_s, is_open, Command(np.array([speed, 0, 0]), joints,
                                           SafetyState.RUN if is_open else state, ''))
    return watch


def test_a_gate_that_never_opened_is_held_at_once() -> None:
    watch = watched(0.0)
    assert (watch.problem, watch.held_s, watch.acted) == ('', 0.0, False)


def test_held_in_time_after_acting() -> None:
    watch = watched(0.9)
    assert (watch.problem, watch.acted) == ('', True)
    assert watch.held_s == pytest.approx(0.9)


@pytest.mark.parametrize('state', [SafetyState.STOP, SafetyState.ESTOP])
def test_a_stop_by_safety_is_a_hold_too(state: SafetyState) -> None:
    assert watched(0.5, state=state).problem == ''


def test_too_late_is_not_held_though_the_time_is_known() -> None:
    watch = watched(1.1)
    assert 'gate was open after 1.0 s' in watch.problem
    assert watch.held_s == pytest.approx(1.1, abs=DT_S)


def test_opening_again_on_a_retry_is_not_held() -> None:
    watch = watched(0.2, opens_again_s=2.4)
    assert 'gate was open after 2.4 s' in watch.problem
    assert watch.held_s is None


def test_a_gate_that_nobody_obeys_is_not_held() -> None:
    assert 'safety let it move' in watched(0.2, state=SafetyState.RUN).problem


@pytest.mark.parametrize('fault', [{'rests_s': 2.5}, {'joints_move': True}])
def test_commands_must_come_to_rest(fault: dict[str, float]) -> None:
    assert 'not at rest after 2.0 s' in watched(0.2, **fault).problem  # type: ignore[arg-type]


def test_nothing_watched_is_not_held() -> None:
    assert HoldWatch().problem


def test_what_is_declared_done_is_not_held_and_the_first_problem_stays() -> None:
    still, moved = watched(0.0), watched(1.1)
    for watch in (still, moved):
        watch.declare_done()
    assert 'declared done' in still.problem
    assert 'gate was open' in moved.problem
