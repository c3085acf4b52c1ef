"""A robot on legs: a fall latches with torque on, and balance is judged while it stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_bench import Bench, imu_reading

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.types import Action, GatedProposal, Proposal

RAISED = {'left_shoulder_pitch': -1.2, 'right_shoulder_pitch': -1.2}


@pytest.fixture
def walker(robot: RobotSpec) -> RobotSpec:
    return replace(robot, body='legged')


def test_a_fall_latches_with_the_base_at_zero_and_the_joints_held(walker: RobotSpec) -> None:
    bench = Bench(walker)
    assert bench.run(1.5).twist[0] == pytest.approx(0.4)
    bench.overrides['imu'] = imu_reading(0, 1.2)
    fallen = bench.run(1.0)
    assert fallen.state.name == 'ESTOP' and 'the robot has fallen: tilted by 1.2' in fallen.reason
    assert not fallen.twist.any()
    assert set(fallen.joints) == {j.name for j in walker.controlled}  # torque stays on
    assert bench.safety.reset(bench.now_s) == (
        False, 'Refused: the robot lies. Set it on its feet first.')
    del bench.overrides['imu']
    assert bench.run(1.0).state.name == 'ESTOP'  # upright again, and latched until a person resets
    bench.twist = (0.0, 0.0, 0.0)
    bench.run(0.5)
    assert bench.safety.reset(bench.now_s)[0]
    assert bench.run(1.0).state.name == 'RUN'


def test_a_lean_only_stops_and_goes_on(walker: RobotSpec) -> None:
    bench = Bench(walker)
    bench.run(1.5)
    bench.overrides['imu'] = imu_reading(0, 0.7)
    assert bench.run(1.0).state.name == 'STOP'
    del bench.overrides['imu']
    assert bench.run(1.5).state.name == 'RUN'


def test_a_robot_on_a_base_never_counts_as_fallen(robot: RobotSpec) -> None:
    bench = Bench(robot)
    bench.run(1.5)
    bench.overrides['imu'] = imu_reading(0, 1.2)
    assert bench.run(1.0).state.name == 'STOP'


@pytest.mark.parametrize(('body', 'refused'), [('legged', False), ('planar', True)])
def test_balance_of_a_walking_robot_is_its_walking_controllers(
        robot: RobotSpec, body: str, refused: bool) -> None:
    """With a margin that no posture keeps, arms go on only where nobody judges balance."""
    bench = Bench(replace(robot, body=body), SafetyConfig(balance_margin_m=0.2))
    bench.run(1.0)
    bench.joints = RAISED
    states = {c.state.name for _, c in bench.log[-1:]} | {bench.run(0.5).state.name}
    assert ('HOLD' in states) == refused


def test_balance_of_a_walker_that_stands_is_judged_once_its_last_steps_are_done(
        walker: RobotSpec) -> None:
    bench = Bench(walker, SafetyConfig(balance_margin_m=0.2))
    bench.run(1.0)
    bench.twist, bench.joints = (0.0, 0.0, 0.0), {}
    bench.run(1.6)
    bench.safety.on_gated(GatedProposal(Proposal(bench.stamp_ns, Action(np.zeros(3), RAISED),
                                                 0.9, 0.1), True, ''), bench.now_s)
    bench.joints = RAISED
    held = bench.run(0.5)
    assert held.state.name == 'HOLD' and 'centre of mass' in held.reason
