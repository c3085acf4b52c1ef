"""Base and arms are taken over and given back in time, and never at once."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.unitree.arms import ArmCommand, ArmHandover
from vla_humanoid_control.unitree.base import STAND_S, BaseHandover
from vla_humanoid_control.unitree.odometry import PoseDifferences

RAMP_S, STALE_S, PERIOD_S = 2.0, 0.2, 0.02


class Arms:
    """An `ArmHandover` with commands and measurements as long as each is on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.commanded = self.measured = True
        self.arms = ArmHandover(('waist', 'elbow', 'wrist'), RAMP_S, STALE_S)

    def run(self, duration_s: float, **options: bool) -> list[ArmCommand | None]:
        said = []
        for _ in range(round(duration_s / PERIOD_S)):
            self.now += PERIOD_S
            if self.commanded:
                self.arms.on_targets({'elbow': 1.0}, self.now)
            if self.measured:
                self.arms.on_measured({'waist': 0.1, 'elbow': 0.2, 'wrist': 0.3}, self.now)
            said.append(self.arms.step(self.now, **options))
        return said


def weights(said: list[ArmCommand | None]) -> list[float]:
    return [command.weight for command in said if command is not None]


def test_the_weight_takes_its_time() -> None:
    rising = weights(Arms().run(RAMP_S + 0.1))
    assert rising[0] == 0.0
    assert max(np.diff(rising)) == pytest.approx(PERIOD_S / RAMP_S)
    assert rising[-1] == 1.0
    assert rising[round(RAMP_S / 2 / PERIOD_S)] == pytest.approx(0.5, abs=0.02)


def test_joints_without_a_target_stay_where_they_are() -> None:
    said = Arms().run(1.0)[-1]
    assert said is not None
    assert said.targets == {'waist': 0.1, 'elbow': 1.0, 'wrist': 0.3}


@pytest.mark.parametrize('silent', ['commanded', 'measured'])
def test_what_is_stale_gives_the_arms_back(silent: str) -> None:
    arms = Arms()
    arms.run(RAMP_S + 0.1)
    setattr(arms, silent, False)
    said = arms.run(STALE_S + RAMP_S + 1.0)
    falling = weights(said)
    assert falling[round(STALE_S / PERIOD_S) - 2] == 1.0
    assert min(np.diff(falling)) == pytest.approx(-PERIOD_S / RAMP_S)
    assert falling[-10:] == [0.0] * 10  # said often enough to be heard
    assert said[-1] is None  # and then no more
    assert all(c.targets['elbow'] == 1.0 for c in said if c is not None)
    setattr(arms, silent, True)
    assert weights(arms.run(0.1))[0] < 0.05


def test_a_late_step_makes_no_leap() -> None:
    arms = Arms()
    arms.run(0.1)
    before, arms.now = arms.arms.weight, arms.now + 1.0
    arms.run(PERIOD_S)
    assert arms.arms.weight - before <= 0.1 / RAMP_S


def test_letting_go_goes_before_fresh_commands() -> None:
    arms = Arms()
    arms.run(RAMP_S + 0.1)
    assert weights(arms.run(RAMP_S + 0.1, let_go=True))[-1] == 0.0


def test_targets_from_before_a_pause_are_forgotten() -> None:
    arms = Arms()
    arms.arms.on_targets({'wrist': -1.0}, 0.0)
    arms.now = 5.0
    said = arms.run(0.1)[-1]
    assert said is not None
    assert said.targets['wrist'] == 0.3


def test_nothing_is_said_before_there_are_commands_and_measurements() -> None:
    arms = Arms()
    arms.measured = False
    assert not weights(arms.run(1.0))


def base() -> BaseHandover:
    return BaseHandover(np.array([0.5, 0.2, 0.8]), 0.5)


def test_the_base_stands_within_its_command_timeout() -> None:
    handover = base()
    assert handover.step(10.0) is None
    handover.on_twist(np.array([0.3, 0.0, 0.0]), 10.0)
    assert handover.step(10.25) == pytest.approx([0.3, 0.0, 0.0])
    assert handover.step(10.26) == pytest.approx([0.0, 0.0, 0.0])
    assert handover.request_s == 0.25  # the last request may have been made at 10.25
    assert handover.step(10.25 + STAND_S + 0.01) is None


def test_a_base_command_beyond_the_limits_is_cut() -> None:
    handover = base()
    handover.on_twist(np.array([9.0, -9.0, 0.1]), 0.0)
    assert handover.step(0.0) == pytest.approx([0.5, -0.2, 0.1])
    assert handover.step(0.0, let_go=True) == pytest.approx([0.0, 0.0, 0.0])


def test_the_twist_is_in_the_frame_of_the_base() -> None:
    differences = PoseDifferences()
    yaw = np.pi - 0.05
    for n in range(50):  # forward at 0.4 m/s, across the seam of the angle
        pose = np.array([-0.004 * n, 0.0, (yaw + np.pi) % (2 * np.pi) - np.pi])
        twist = differences.twist(pose, n * 0.01)
    assert twist == pytest.approx([0.4 * np.cos(yaw - np.pi), 0.4 * np.sin(np.pi - yaw), 0.0],
                                  abs=1e-6)


def test_turning_crosses_the_seam() -> None:
    differences = PoseDifferences()
    for n in range(60):
        angle = np.pi - 0.2 + 0.008 * n
        twist = differences.twist(np.array([0.0, 0.0, (angle + np.pi) % (2 * np.pi) - np.pi]),
                                  n * 0.01)
    assert twist == pytest.approx([0.0, 0.0, 0.8], abs=1e-6)
    assert differences.twist(np.zeros(3), 0.0) == pytest.approx([0.0, 0.0, 0.0])  # begins anew
