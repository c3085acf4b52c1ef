"""Velocity, acceleration and jerk are bounded for every sequence of targets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_humanoid_control.robot.spec import MotionLimits, RobotSpec
from vla_humanoid_control.safety.limits import JointLimiter, Plan, TwistLimiter

DT = 0.02
UNIT = MotionLimits(2.0, 10.0, 150.0)


def joint_limiter(motion: MotionLimits = UNIT, lower: float = -1.0, upper: float = 1.0,
                  start: float = 0.0) -> JointLimiter:
    return JointLimiter([motion], np.array([lower]), np.array([upper]), np.array([start]), DT)


def follow(limiter: JointLimiter, targets: list[float | None]) -> np.ndarray:
    """Positions [T] after each target; None is a hold."""
    return np.array([limiter.step(None if t is None else np.array([t]))[0] for t in targets])


def assert_bounded(positions: np.ndarray, start: float, motion: MotionLimits) -> None:
    velocity = np.diff(np.concatenate([[start] * 3, positions])) / DT
    acceleration = np.diff(velocity) / DT
    jerk = np.diff(acceleration) / DT
    # Rounding of positions is magnified by 1 / DT³.
    assert np.abs(velocity).max() <= motion.velocity * (1 + 1e-9)
    assert np.abs(acceleration).max() <= motion.acceleration * (1 + 1e-8)
    assert np.abs(jerk).max() <= motion.jerk * (1 + 1e-6) + 1e-7


@pytest.mark.parametrize('target', [0.0, 1e-6, 1e-3, 0.05, 0.5, 0.999, 1.0, -0.7, -1.0])
def test_reaches_a_target_exactly_without_passing_it(target: float) -> None:
    positions = follow(joint_limiter(), [target] * 150)
    assert positions[-1] == pytest.approx(target, abs=1e-9)
    assert (np.abs(positions) <= abs(target) + 1e-9).all()
    assert_bounded(positions, 0.0, UNIT)


def test_comes_to_exact_rest() -> None:
    limiter = joint_limiter()
    follow(limiter, [0.5] * 150)
    assert limiter.at_rest


def test_is_nearly_as_fast_as_possible() -> None:
    """The time-optimal motion over d = 1.5 takes d / v + v / a + a / j = 1.02 s."""
    positions = follow(joint_limiter(start=-1.0), [0.5] * 150)
    arrival_s = DT * int(np.argmax(positions > 0.5 - 1e-4))
    assert arrival_s <= 1.02 * 1.1


def test_a_target_beyond_the_limit_ends_at_the_limit() -> None:
    positions = follow(joint_limiter(), [1e6] * 200)
    assert positions[-1] == pytest.approx(1.0)
    assert positions.max() <= 1.0


def test_full_reversals_stay_bounded() -> None:
    """Targets jump between both limits as fast as they can."""
    positions = follow(joint_limiter(), [(-1.0) ** (k // 6) * 9 for k in range(600)])
    assert_bounded(positions, 0.0, UNIT)
    assert np.abs(positions).max() <= 1.0


def test_hold_brakes_to_the_stop_position() -> None:
    limiter = joint_limiter()
    follow(limiter, [1.0] * 15)
    stop = limiter.stop_position[0]
    positions = follow(limiter, [None] * 60)
    assert positions[-1] == pytest.approx(stop, abs=1e-9)
    assert limiter.at_rest


def test_nan_target_holds_that_joint_only() -> None:
    limiter = JointLimiter([UNIT, UNIT], -np.ones(2), np.ones(2), np.zeros(2), DT)
    for _ in range(100):
        limiter.step(np.array([np.nan, 0.5]))
    assert limiter.position == pytest.approx([0.0, 0.5])


def test_a_start_outside_the_limits_begins_at_the_limit() -> None:
    assert joint_limiter(start=1.2).position[0] == 1.0


def test_lowered_velocity_limit_is_approached_within_bounds() -> None:
    limiter = joint_limiter(lower=-50, upper=50)
    first = follow(limiter, [40.0] * 60)
    limiter.max_velocity = np.array([0.5])
    second = follow(limiter, [40.0] * 60)
    assert_bounded(np.concatenate([first, second]), 0.0, UNIT)
    assert np.diff(second)[-1] / DT == pytest.approx(0.5)


motions = st.builds(MotionLimits, st.floats(0.05, 8), st.floats(0.3, 80), st.floats(5, 2000))


@given(motions, st.lists(st.one_of(st.none(), st.floats(-1.5, 1.5)), min_size=1, max_size=60),
       st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_any_targets_any_limits(motion: MotionLimits, targets: list[float | None],
                                repeat: int) -> None:
    limiter = joint_limiter(motion)
    positions = follow(limiter, [t for t in targets for _ in range(repeat)])
    assert_bounded(positions, 0.0, motion)
    assert np.abs(positions).max() <= 1.0
    # However it was treated, it settles on its target in the end.
    for _ in range(3000):
        if follow(limiter, [0.3])[0] == pytest.approx(0.3, abs=1e-6):
            return
    pytest.fail('never arrived')


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 30)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_twists(targets: list[tuple[float, int]]) -> None:
    limiter = TwistLimiter([MotionLimits(0.6, 1.2, 12.0)], DT)
    velocity = [0.0, 0.0, 0.0]
    for target, ticks in targets:
        velocity += [limiter.step(np.array([target]))[0] for _ in range(ticks)]
    acceleration = np.diff(velocity) / DT
    assert np.abs(velocity).max() <= 0.6 + 1e-12
    assert np.abs(acceleration).max() <= 1.2 + 1e-9
    assert np.abs(np.diff(acceleration) / DT).max() <= 12.0 + 1e-6


def test_twist_reaches_its_target_without_passing_it() -> None:
    limiter = TwistLimiter([MotionLimits(0.6, 1.2, 12.0)], DT)
    velocity = [limiter.step(np.array([0.5]))[0] for _ in range(60)]
    assert velocity[-1] == 0.5
    assert max(velocity) <= 0.5
    # 0.5 / 1.2 for the change and 1.2 / 12 for the ramps
    assert int(np.argmax(np.array(velocity) == 0.5)) * DT <= 0.5 / 1.2 + 0.1 + DT


def test_all_joints_of_the_robot_at_once(robot: RobotSpec) -> None:
    joints = robot.controlled
    lower, upper = (np.array([getattr(j, f) for j in joints]) for f in ('lower', 'upper'))
    home = np.array([j.home for j in joints])
    limiter = JointLimiter([j.motion for j in joints], lower, upper, home, DT)
    noise = np.random.default_rng(0)
    for _ in range(20):
        target = noise.uniform(lower, upper)
        for _ in range(200):
            limiter.step(target)
        assert limiter.position == pytest.approx(target, abs=1e-8)


@given(st.floats(-2, 2), st.floats(-10, 10))
@settings(max_examples=200, deadline=None)
def test_stop_position_is_where_braking_leads(velocity: float, acceleration: float) -> None:
    """The closed form of the way to rest agrees with going it."""
    limiter = joint_limiter(lower=-9.0, upper=9.0)
    limiter.velocity, limiter.acceleration = np.array([velocity]), np.array([acceleration])
    plan = limiter.plan(np.array([np.nan]))
    moving = Plan(np.array([[0.0], [velocity], [acceleration]]), plan.stop)
    path = limiter.brake_path(moving, np.array([0.0, 10.0]))
    for _ in range(100):
        limiter.step(None)
    assert not limiter.velocity.any()
    assert path[:, 0] == pytest.approx([0.0, limiter.position[0]], abs=1e-9)
    assert limiter._stop(moving.state) == pytest.approx(path[1], abs=1e-9)
