"""Dead reckoning of base commands."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.control.dead_reckoning import DeadReckoning

TIMEOUT_S = 0.25


def drive(odometer: DeadReckoning, twist: tuple[float, float, float], seconds: float,
          start_s: float = 0.0) -> float:
    end_s = start_s + seconds
    for now_s in np.arange(start_s, end_s - 1e-9, 0.02):
        odometer.on_command(np.array(twist), float(now_s))
    odometer.on_command(np.zeros(3), end_s)
    return end_s


def test_straight_ahead() -> None:
    odometer = DeadReckoning(TIMEOUT_S)
    end = drive(odometer, (0.5, 0.1, 0.0), 2.0)
    assert odometer.travelled(end) == pytest.approx([1.0, 0.2, 0.0])


def test_circle_comes_back_and_the_turn_is_not_wrapped() -> None:
    odometer = DeadReckoning(TIMEOUT_S)
    end = drive(odometer, (0.3, 0.0, 1.0), 2 * np.pi * 1.5)
    x, y, yaw = odometer.travelled(end)
    assert yaw == pytest.approx(3 * np.pi)
    assert (x, y) == pytest.approx((0.0, 0.6), abs=1e-3)


def test_frame_begins_anew_at_a_reset() -> None:
    odometer = DeadReckoning(TIMEOUT_S)
    end = drive(odometer, (0.0, 0.0, 1.0), 1.0)
    odometer.reset(end)
    end = drive(odometer, (0.5, 0.0, 0.0), 1.0, end)
    assert odometer.travelled(end) == pytest.approx([0.5, 0.0, 0.0])


def test_silence_does_not_drive_on() -> None:
    odometer = DeadReckoning(TIMEOUT_S)
    odometer.on_command(np.array([1.0, 0.0, 0.0]), 0.0)
    assert odometer.is_moving(0.1)
    assert odometer.travelled(100.0)[0] == pytest.approx(TIMEOUT_S)
    assert not odometer.is_moving(100.0)


def test_before_any_command_it_has_not_moved() -> None:
    assert not DeadReckoning(TIMEOUT_S).travelled(5.0).any()
    assert not DeadReckoning(TIMEOUT_S).is_moving(5.0)


def test_a_reset_in_motion_forgets_the_motion_before_it() -> None:
    """Regression: what the base had moved since the last command before it counted after it."""
    odometer = DeadReckoning(TIMEOUT_S)
    odometer.on_command(np.array([1.0, 0.0, 0.0]), 10.0)
    odometer.reset(10.1)
    assert not odometer.travelled(10.1).any()
    assert odometer.travelled(10.15)[0] == pytest.approx(0.05)
    assert odometer.travelled(99.0)[0] == pytest.approx(TIMEOUT_S - 0.1)
