"""The supervisor as a whole, on a bench where every input can be tampered with.

Every test that uses `bench` or `running` also checks that what was sent is within all limits.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vla_humanoid_control.robot.spec import RobotSpec, SensorSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.types import Action, GatedProposal, JointReading, Proposal

# ---- start


def test_starts_stopped_with_a_list_of_what_is_missing(bench: Any) -> None:
    command = bench.safety.step(bench.now_s)
    assert command.state.name == 'STOP'
    for name in ('joint_states', 'scan', 'imu', 'odom', 'proposal'):
        assert f'{name} missing' in command.reason
    assert command.joints == {}
    assert not command.twist.any()


@pytest.mark.parametrize('name', ['joint_states', 'scan', 'imu', 'odom', 'proposal'])
def test_stays_stopped_while_one_input_is_missing(bench: Any, name: str) -> None:
    bench.off = {name}
    assert bench.run(1.0).state.name == 'STOP'
    assert f'{name} missing' in bench.log[-1][1].reason
    assert not bench.twists().any()


def test_runs_once_everything_is_there(running: Any) -> None:
    assert running.log[-1][1].reason == ''


def test_sensors_that_the_robot_lacks_are_not_watched(robot: RobotSpec, make_bench: Any) -> None:
    bare = replace(robot, sensors={'joint_states': SensorSpec('/joint_states', 0.2)})
    bench = make_bench(bare, off={'scan', 'imu', 'odom'})
    assert bench.run(1.0).state.name == 'RUN'


def test_commands_begin_at_the_measured_posture(bench: Any) -> None:
    bench.measured['left_elbow'] = -1.3
    bench.run(0.5)
    assert bench.log[0][1].joints['left_elbow'] == pytest.approx(-1.3, abs=1e-3)


def test_a_joint_beyond_its_limit_only_moves_back_inside(bench: Any) -> None:
    bench.follow = False
    upper = bench.robot.joint('left_elbow').upper
    bench.measured['left_elbow'] = upper + 0.1
    bench.joints = {'left_elbow': -0.5}
    bench.run(0.3)
    assert 'left_elbow' in bench.safety.diagnostics(bench.now_s)['beyond_limits']
    before = bench.log[-1][1].joints['left_elbow']
    assert before < upper
    bench.run(0.5)
    inside = bench.log[-1][1].joints['left_elbow']
    bench.joints = {'left_elbow': upper}
    bench.run(0.5)
    assert bench.log[-1][1].joints['left_elbow'] <= inside + 1e-9


# ---- following the proposal


def test_reaches_the_proposed_posture(running: Any) -> None:
    running.twist = (0.0, 0.0, 0.0)
    running.joints = {'left_elbow': -1.2, 'neck_yaw': 0.6}
    running.run(2.0)
    last = running.log[-1][1].joints
    assert last['left_elbow'] == pytest.approx(-1.2)
    assert last['neck_yaw'] == pytest.approx(0.6)
    assert last['right_elbow'] == pytest.approx(running.robot.joint('right_elbow').home, abs=1e-3)


def test_a_thousand_times_too_large_is_clamped_and_counted(running: Any) -> None:
    running.twist = (400.0, -400.0, 1000.0)
    running.joints = {'neck_yaw': 1000.0}
    running.run(2.0)
    last = running.log[-1][1]
    assert last.twist == pytest.approx([0.6, -0.4, 1.0])
    assert last.joints['neck_yaw'] == pytest.approx(1.3)
    assert running.safety.diagnostics(running.now_s)['count/clamped'] >= 4


def test_alternating_full_commands_stay_within_limits(running: Any) -> None:
    for k in range(60):
        sign = (-1.0) ** k
        running.twist = (9 * sign, 9 * sign, 9 * sign)
        running.joints = {j.name: j.upper if k % 2 else j.lower for j in running.robot.controlled}
        running.safety.on_gated(running.gated(), running.now_s)
        running.run(0.1)


def test_a_closed_gate_holds(running: Any) -> None:
    running.joints = {'left_elbow': -1.5}
    running.run(0.3)
    running.is_open = False
    running.run(1.0)
    command = running.log[-1][1]
    assert (command.state.name, command.reason) == ('HOLD', 'confidence is low')
    assert not command.twist.any()
    assert running.safety.at_rest


def test_a_closed_gate_is_heeded_even_with_a_stale_stamp(running: Any) -> None:
    """A gate that closes because proposals cease repeats the last stamp, or has none."""
    running.off = {'proposal'}
    for stamp_ns in (0, running.stamp_ns - 10**10):
        running.safety.on_gated(GatedProposal(Proposal(stamp_ns, Action.hold(), 0.0, 0.0), False,
                                              'confidence stale'), running.now_s)
        assert running.step().state.name == 'HOLD'


def test_a_later_action_from_the_same_frame_is_used_but_extends_nothing(running: Any) -> None:
    stamp_ns = running.stamp_ns
    running.off = {'proposal'}
    start = running.now_s
    while running.now_s < start + 0.2:
        running.safety.on_gated(GatedProposal(Proposal(
            stamp_ns, Action(np.array([0.1, 0, 0]), {}), 0.9, 0.0), True, ''), running.now_s)
        running.step()
    assert running.log[-1][1].state.name == 'RUN'
    assert running.log[-1][1].twist[0] < 0.3
    while running.now_s < start + 0.5:
        running.safety.on_gated(GatedProposal(Proposal(
            stamp_ns, Action(np.array([0.1, 0, 0]), {}), 0.9, 0.0), True, ''), running.now_s)
        running.step()
    assert running.log[-1][1].state.name == 'STOP'
    assert 'proposal stale' in running.log[-1][1].reason


# ---- bad proposals


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('where', ['twist', 'joint'])
def test_a_non_finite_action_stops_at_once_with_its_reason(running: Any, value: float,
                                                           where: str) -> None:
    action = Action(np.array([0.4, value, 0.0]), {}) if where == 'twist' \
        else Action(np.array([0.4, 0, 0]), {'left_elbow': value})
    running.safety.on_gated(GatedProposal(Proposal(running.stamp_ns, action, 0.9, 0), True, ''),
                            running.now_s)
    command = running.safety.step(running.now_s)
    assert command.state.name == 'STOP'
    assert 'not finite' in command.reason


@pytest.mark.parametrize('action', [
    Action(np.zeros(2), {}), Action(np.zeros((3, 1)), {}), Action(np.zeros(3), {'tail': 0.0}),
    Action(np.zeros(3), {'left_knee': 0.3})], ids=['short', 'wrong shape', 'unknown', 'legs'])
def test_a_message_that_does_not_fit_is_rejected_whole(running: Any, action: Action) -> None:
    running.overrides['gated'] = GatedProposal(Proposal(running.stamp_ns, action, 0.9, 0), True,
                                               '')
    running.run(0.2)
    assert running.log[-1][1].state.name == 'STOP'
    assert 'rejected' in running.log[-1][1].reason
    assert running.safety.diagnostics(running.now_s)['rejected/proposal'] >= 1
    running.overrides.clear()
    running.until('RUN')


@pytest.mark.parametrize('confidence', [math.nan, math.inf, -0.1, 1.1])
def test_an_impossible_confidence_counts_as_none(running: Any, confidence: float) -> None:
    gated = running.gated()
    running.safety.on_gated(replace(gated, proposal=replace(
        gated.proposal, confidence=confidence, stamp_ns=running.stamp_ns)), running.now_s)
    assert running.safety.step(running.now_s).state.name == 'HOLD'


def test_a_message_refused_at_the_border_stops_the_robot(running: Any) -> None:
    running.off = {'proposal'}
    running.safety.on_rejected('proposal', 'a joint is named twice', running.now_s)
    command = running.step()
    assert command.state.name == 'STOP'
    assert 'a joint is named twice' in command.reason


def test_stops_when_proposals_cease(running: Any) -> None:
    running.off = {'proposal'}
    assert running.until('STOP') <= running.config.proposal_timeout_s + 0.02
    running.run(1.0)
    assert not running.log[-1][1].twist.any()


def test_stops_when_proposals_come_from_an_old_frame(running: Any) -> None:
    """The policy goes on, but its camera does not."""
    gated = running.gated()
    running.overrides['gated'] = gated
    assert running.until('STOP') <= running.config.proposal_timeout_s + 0.12


# ---- sensors


@pytest.mark.parametrize('name', ['joint_states', 'scan', 'imu', 'odom'])
def test_a_silent_sensor_stops_within_its_timeout(running: Any, name: str) -> None:
    running.off = {name}
    timeout_s = running.robot.sensors[name].timeout_s
    assert running.until('STOP') <= timeout_s + 0.02
    assert f'{name} stale' in running.log[-1][1].reason
    running.off = set()
    running.until('RUN')


@pytest.mark.parametrize('bad', ['missing', 'nan', 'inf'])
def test_bad_joint_readings_stop(running: Any, bad: str) -> None:
    reading = running.joint_reading()
    positions = dict(reading.positions)
    if bad == 'missing':
        del positions['left_knee']
    else:
        positions['left_knee'] = float(bad)
    running.overrides['joint_states'] = replace(reading, positions=positions)
    assert running.until('STOP') <= running.robot.sensors['joint_states'].timeout_s + 0.02
    assert 'left_knee' in running.log[-1][1].reason


def test_frozen_joint_readings_stop(running: Any) -> None:
    running.joints = {'left_elbow': -1.5, 'right_elbow': -1.5}
    reading = running.joint_reading()
    start = running.now_s
    while running.now_s - start < 1.0:
        running.overrides['joint_states'] = replace(reading, stamp_ns=running.stamp_ns)
        running.step()
    assert running.log[-1][1].state.name == 'STOP'
    assert 'joint_states repeats itself' in running.log[-1][1].reason
    running.run(2.0)  # the stop itself must not clear it
    assert running.log[-1][1].state.name == 'STOP'


def test_a_joint_of_no_concern_does_not_hide_frozen_ones(running: Any) -> None:
    """Regression: any joint that went on, or was NaN for ever, told all of them apart."""
    running.joints = {'left_elbow': -1.5, 'right_elbow': -1.5}
    reading = running.joint_reading()
    names = list(reading.positions)
    for tick in range(50):
        order = names if tick % 2 else names[::-1]
        running.overrides['joint_states'] = replace(
            reading, stamp_ns=running.stamp_ns,
            positions={**{n: reading.positions[n] for n in order}, 'wheel': 0.1 * tick,
                       'broken': float('nan')})
        running.step()
    assert running.log[-1][1].state.name == 'STOP'
    assert 'joint_states repeats itself' in running.log[-1][1].reason


@pytest.mark.parametrize('legs', [True, False])
def test_frozen_joint_readings_stop_a_walking_robot(robot: RobotSpec, make_bench: Any,
                                                    legs: bool) -> None:
    """Legs move when the base does; a base on wheels may stand still above them."""
    joints = robot.joints if legs else robot.controlled
    bench = make_bench(replace(robot, joints=joints, mjcf=None))
    bench.until('RUN')
    reading = bench.joint_reading()
    start = bench.now_s
    while bench.now_s - start < 1.5:
        bench.overrides['joint_states'] = replace(reading, stamp_ns=bench.stamp_ns)
        bench.step()
    assert bench.log[-1][1].state.name == ('STOP' if legs else 'RUN')
    assert ('joint_states repeats itself' in bench.log[-1][1].reason) is legs
    bench.check_limits()


def joints_in_parts(bench: Any, arms_on: bool = True) -> None:
    """The joints of a tick, from a driver for the arms, and one for the rest that is slower, and
    whose stamps are behind."""
    whole = bench.joint_reading()
    arms = {n: p for n, p in whole.positions.items() if n.startswith(('left_', 'right_'))}
    rest = {n: p for n, p in whole.positions.items() if n not in arms}
    bench.off = {*bench.off, 'joint_states'}
    if arms_on:
        bench.safety.on_joint_states(JointReading(whole.stamp_ns, arms, dict.fromkeys(
            arms, math.nan)), bench.now_s)
    if bench.tick % 3 == 0:
        bench.safety.on_joint_states(JointReading(whole.stamp_ns - 15_000_000, rest), bench.now_s)
    bench.step()


def test_joint_states_may_come_in_parts(bench: Any) -> None:
    """Regression: each of them lacked joints, and so the robot never moved."""
    bench.joints = {'left_elbow': -1.2, 'neck_yaw': 0.6}
    bench.twist = (0.0, 0.0, 0.0)
    for _ in range(150):
        joints_in_parts(bench)
    command = bench.log[-1][1]
    assert command.state.name == 'RUN', command.reason
    assert command.joints['left_elbow'] == pytest.approx(-1.2)
    assert {c.state.name for _, c in bench.log[75:]} == {'RUN'}
    assert bench.safety.diagnostics(bench.now_s)['rejected/joint_states'] == 0


def test_one_silent_driver_of_several_stops(bench: Any) -> None:
    bench.off = {'joint_states'}
    while bench.now_s < 1001.5:
        joints_in_parts(bench)
    assert bench.log[-1][1].state.name == 'RUN', bench.log[-1][1].reason
    since = bench.now_s
    while bench.log[-1][1].state.name == 'RUN':
        joints_in_parts(bench, arms_on=False)
    assert bench.now_s - since <= bench.robot.sensors['joint_states'].timeout_s + 0.05
    assert re.search('joint_states: left_shoulder_pitch, .* not heard for 0.2',
                     bench.log[-1][1].reason), bench.log[-1][1].reason
    for _ in range(40):
        joints_in_parts(bench)
    assert bench.log[-1][1].state.name == 'RUN'


def test_one_frozen_driver_of_several_stops(bench: Any) -> None:
    """That the other goes on must not hide it."""
    while bench.now_s < 1001.5:
        joints_in_parts(bench)
    bench.joints, bench.follow = {'left_elbow': -1.2}, False
    frozen = {n: p for n, p in bench.measured.items() if n.startswith(('left_', 'right_'))}
    head = ('neck_yaw', 'neck_pitch', 'waist_yaw')
    bench.off = {'joint_states'}
    start = bench.now_s
    while bench.log[-1][1].state.name != 'STOP' and bench.now_s < start + 3.0:
        bench.safety.on_joint_states(JointReading(bench.stamp_ns, frozen, dict.fromkeys(
            frozen, math.nan)), bench.now_s)
        positions = bench.joint_reading().positions
        bench.safety.on_joint_states(JointReading(
            bench.stamp_ns, {n: positions[n] for n in head}), bench.now_s)
        bench.step()
    assert 'repeats itself' in bench.log[-1][1].reason and 'left_' in bench.log[-1][1].reason


def test_a_gripper_that_holds_something_is_not_frozen(robot: RobotSpec, make_bench: Any) -> None:
    """It stands still to the last bit, though it is commanded to close on."""
    bench = make_bench(robot, twist=(0.0, 0.0, 0.0))
    grippers = {'left_gripper': 0.04, 'right_gripper': 0.04}
    bench.measured.update(grippers)
    bench.joints = dict.fromkeys(grippers, 0.0)
    bench.follow = False
    bench.off = {'joint_states'}
    for _ in range(200):
        positions = bench.joint_reading().positions
        rest = {n: p for n, p in positions.items() if n not in grippers}
        for part in (rest, grippers):
            bench.safety.on_joint_states(JointReading(bench.stamp_ns, part), bench.now_s)
        bench.step()
    assert bench.log[-1][1].state.name == 'RUN', bench.log[-1][1].reason
    assert bench.log[-1][1].joints['left_gripper'] == pytest.approx(0.0, abs=1e-6)


def test_commands_do_not_begin_at_what_was_heard_long_ago(bench: Any) -> None:
    """The driver of the head is gone when that of the arms comes: nobody knows where the head is.
    """
    positions = bench.joint_reading().positions
    head = {n: positions.pop(n) for n in ('neck_yaw', 'neck_pitch')}
    bench.off = {'joint_states'}
    bench.safety.on_clock(bench.stamp_ns, bench.now_s)
    bench.safety.on_joint_states(JointReading(bench.stamp_ns, head), bench.now_s)
    bench.run(1.0)
    bench.safety.on_joint_states(JointReading(bench.stamp_ns, positions), bench.now_s)
    assert bench.step().joints == {}
    assert 'neck_yaw, neck_pitch not heard for 1.0' in bench.log[-1][1].reason
    bench.safety.on_joint_states(JointReading(bench.stamp_ns, dict.fromkeys(head, 0.3)),
                                 bench.now_s)
    assert bench.step().joints['neck_yaw'] == 0.3


def test_a_frozen_scan_stops(running: Any) -> None:
    running.overrides['scan'] = running.scan()
    assert running.until('STOP') <= running.config.frozen_after_s + 0.3
    assert 'scan repeats itself' in running.log[-1][1].reason


def test_an_empty_scan_is_not_frozen(running: Any) -> None:
    running.overrides['scan'] = replace(running.scan(), ranges_m=np.full(360, np.inf))
    assert running.run(2.0).state.name == 'RUN'


@pytest.mark.parametrize('moving', [True, False])
def test_frozen_pixels_stop_a_moving_robot(robot: RobotSpec, make_bench: Any, moving: bool
                                           ) -> None:
    bench = make_bench(robot, SafetyConfig(watch_cameras=True))
    bench.twist = (0.4 if moving else 0.0, 0.0, 0.0)
    for _ in range(150):
        bench.safety.on_camera('head', bench.stamp_ns, 42, bench.now_s)
        bench.step()
    assert bench.log[-1][1].state.name == ('STOP' if moving else 'RUN')
    if moving:
        assert 'camera head repeats itself' in bench.log[-1][1].reason
    bench.check_limits()


def test_a_frozen_camera_that_is_no_longer_watched_stops_nothing(robot: RobotSpec,
                                                                 make_bench: Any) -> None:
    """Regression: it stopped the robot for good, although nobody listened to it any more."""
    bench = make_bench(robot, SafetyConfig(watch_cameras=True))
    for _ in range(150):
        bench.safety.on_camera('head', bench.stamp_ns, 42, bench.now_s)
        bench.step()
    assert 'camera head repeats itself' in bench.log[-1][1].reason
    assert bench.safety.configure({'watch_cameras': False}, bench.now_s)[0]
    bench.until('RUN')
    assert bench.run(1.0).state.name == 'RUN'


def test_camera_watchdog_is_optional(robot: RobotSpec, make_bench: Any) -> None:
    bench = make_bench(robot, SafetyConfig(watch_cameras=True))
    assert 'camera head missing' in bench.run(0.5).reason


@pytest.mark.parametrize('damage', ['nan', 'zero', 'short', 'empty', 'increment', 'turns'])
def test_a_bad_scan_is_rejected_and_then_stale(running: Any, damage: str) -> None:
    scan = running.scan()
    changes: dict[str, Any] = {
        'nan': {'ranges_m': np.full(360, np.nan)}, 'zero': {'ranges_m': np.zeros(360)},
        'short': {'ranges_m': scan.ranges_m[:100]}, 'empty': {'ranges_m': np.zeros(0)},
        'increment': {'angle_increment_rad': math.nan}, 'turns': {'angle_increment_rad': 0.1}}
    running.overrides['scan'] = replace(scan, **changes[damage])
    assert running.until('STOP') <= running.robot.sensors['scan'].timeout_s + 0.02
    assert running.safety.diagnostics(running.now_s)['rejected/scan'] >= 1


def test_a_first_scan_that_is_cut_off_delays_the_start_only(bench: Any) -> None:
    """Regression: every later scan was rejected, as it had another number of rays."""
    scan = bench.scan()
    bench.safety.on_scan(replace(scan, ranges_m=scan.ranges_m[:100]), bench.now_s)
    bench.run(0.02)
    bench.until('RUN')


@pytest.mark.parametrize('offset_s', [-2.0, 10.0])
def test_stamps_that_are_old_or_ahead_extend_nothing(running: Any, offset_s: float) -> None:
    scan = running.scan()
    start = running.now_s
    running.off = {'scan'}
    while running.log[-1][1].state.name != 'STOP':
        running.safety.on_scan(replace(scan, stamp_ns=running.stamp_ns + int(offset_s * 1e9)),
                               running.now_s)
        running.step()
    assert running.now_s - start <= running.robot.sensors['scan'].timeout_s + 0.04


@pytest.mark.parametrize('offset_s', [-2.0, 10.0, None])
def test_odometry_with_bad_stamps_extends_nothing(running: Any, offset_s: float | None) -> None:
    """None: the same stamp again and again."""
    running.off = {'odom'}
    first_ns, start = running.stamp_ns, running.now_s
    while running.log[-1][1].state.name != 'STOP' and running.now_s - start < 2.0:
        stamp_ns = first_ns if offset_s is None else running.stamp_ns + int(offset_s * 1e9)
        running.safety.on_odom(np.zeros(3), running.now_s, stamp_ns)
        running.step()
    assert running.now_s - start <= running.robot.sensors['odom'].timeout_s + 0.04
    assert 'odom stale' in running.log[-1][1].reason
    assert running.safety.diagnostics(running.now_s)['rejected/odom'] > 10


@pytest.mark.parametrize('jump_s', [-5.0, 3600.0, -0.3])
def test_a_jump_of_the_clock_changes_nothing(running: Any, jump_s: float) -> None:
    running.clock_offset_s += jump_s
    running.run(1.0)
    assert {c.state.name for _, c in running.log[-50:]} == {'RUN'}


def test_a_paused_clock_stops(running: Any) -> None:
    running.paused_ns = running.stamp_ns
    assert running.until('STOP') <= 0.5


def test_tilt_stops_and_keeps_commanding_the_posture(running: Any) -> None:
    running.overrides['imu'] = running.imu(0.6)
    assert running.until('STOP') <= 0.02
    assert 'tilted by 0.60 rad' in running.log[-1][1].reason
    held = running.run(1.0).joints
    assert len(held) == len(running.robot.controlled)
    running.overrides['imu'] = running.imu(0.48)  # not upright enough yet
    assert running.run(1.0).state.name == 'STOP'
    del running.overrides['imu']
    running.until('RUN')


@pytest.mark.parametrize('quaternion', [[0, 0, 0, 0], [math.nan, 0, 0, 1], [0, 0, 0, 2], [0, 1]])
def test_a_bad_imu_is_rejected(running: Any, quaternion: list[float]) -> None:
    running.overrides['imu'] = replace(running.imu(), orientation_xyzw=np.array(quaternion))
    assert running.until('STOP') <= running.robot.sensors['imu'].timeout_s + 0.02


def test_losing_track_of_a_joint_stops_and_yields(running: Any) -> None:
    """An arm is held fast; the command gives in to it, smoothly."""
    running.follow = False
    running.joints = {'left_elbow': -2.0}
    running.until('STOP')
    assert 'far from the command: left_elbow' in running.log[-1][1].reason
    running.joints = {}
    running.run(2.0)
    measured = running.measured['left_elbow']
    assert abs(running.log[-1][1].joints['left_elbow'] - measured) < 0.3
    running.until('RUN')


# ---- obstacles


def test_slows_down_then_stops_before_an_obstacle(running: Any) -> None:
    """The obstacle comes nearer as the robot walks."""
    distance = 2.0
    states = []
    for _ in range(500):
        running.obstacle = (0.0, distance)
        command = running.step()
        distance -= command.twist[0] * 0.02
        states.append(command.state.name)
    assert states.index('RUN') < states.index('SLOW') < states.index('STOP')
    assert states[-1] == 'STOP'
    assert not running.log[-1][1].twist.any()
    assert running.robot.footprint_radius_m < distance < 0.7


@pytest.mark.parametrize('speed', [0.1, 0.3, 0.6])
def test_never_touches_a_wall_at_any_speed(bench: Any, speed: float) -> None:
    bench.twist = (speed, 0.0, 0.0)
    distance = 1.5
    for _ in range(1000):
        bench.obstacle = (0.0, distance)
        distance -= bench.step().twist[0] * 0.02
    assert distance > bench.robot.footprint_radius_m


@pytest.mark.parametrize(('changes', 'acceleration'), [
    ({'slow_ttc_s': 0.2, 'stop_ttc_s': 0.1}, 1.2), ({}, 0.1)], ids=['late', 'sluggish'])
def test_never_touches_a_wall_whatever_the_thresholds(
        robot: RobotSpec, make_bench: Any, changes: dict[str, float], acceleration: float) -> None:
    """Regression: what was further away than `slow_ttc_s` was overlooked, though it took longer
    to brake."""
    base = {name: replace(m, acceleration=acceleration) for name, m in robot.base.items()}
    bench = make_bench(replace(robot, base=base), SafetyConfig(**changes))
    bench.twist = (0.6, 0.0, 0.0)
    distance = 4.0
    for _ in range(1000):
        bench.obstacle = (0.0, distance)
        distance -= bench.step().twist[0] * 0.02
    assert bench.robot.footprint_radius_m < distance < 0.7
    bench.check_limits()


def test_a_sudden_obstacle_inside_the_zone_stops_and_motion_away_is_possible(running: Any) -> None:
    running.obstacle = (0.0, 0.28)
    running.until('STOP')
    running.run(1.0)
    assert not running.log[-1][1].twist.any()
    for twist in ((-0.3, 0.0, 0.0), (0.0, 0.0, 0.8), (0.0, 0.3, 0.0)):
        running.twist = twist
        running.until('RUN')
        running.run(1.0)
        assert running.log[-1][1].twist == pytest.approx(twist)


def test_an_obstacle_that_came_while_the_scan_was_silent_is_seen_at_once(running: Any) -> None:
    """Regression: scans from before the silence outvoted the first one after it."""
    assert running.safety.configure({'recover_s': 0.0}, running.now_s)[0]
    running.off = {'scan'}
    running.run(2.0)
    assert 'scan stale' in running.log[-1][1].reason
    running.obstacle = (0.0, 0.28)
    running.safety.on_scan(running.scan(), running.now_s)
    running.step()
    assert running.log[-1][1].state.name == 'STOP'
    assert 'collision' in running.log[-1][1].reason


def test_creeping_at_an_obstacle_leaves_the_arms_free(bench: Any) -> None:
    bench.twist, bench.obstacle = (0.02, 0.0, 0.0), (0.0, 0.28)
    bench.joints = {'left_elbow': -1.0}
    command = bench.run(2.0)
    assert command.state.name == 'SLOW'
    assert not command.twist.any()
    assert command.joints['left_elbow'] == pytest.approx(-1.0)


def test_creeping_at_an_obstacle_leaves_it_free_to_turn(bench: Any) -> None:
    """Regression: a policy that meant to turn on the spot, and crept a little, was stuck there."""
    bench.twist, bench.obstacle = (0.02, 0.0, 0.5), (0.0, 0.28)
    command = bench.run(2.0)
    assert command.state.name == 'SLOW'
    assert not command.twist[:2].any() and command.twist[2] == pytest.approx(0.5)
    bench.twist = (0.2, 0.0, 0.5)  # this is no creeping
    command = bench.run(2.0)
    assert command.state.name == 'STOP' and not command.twist.any()


def test_without_the_scan_watchdog_there_is_no_obstacle(robot: RobotSpec, make_bench: Any) -> None:
    bench = make_bench(robot, SafetyConfig(watch_scan=False), obstacle=(0.0, 0.4))
    assert bench.run(1.0).state.name == 'RUN'


def test_depth_obstacles_and_unknown_depth(robot: RobotSpec, make_bench: Any) -> None:
    sensors = {**robot.sensors, 'depth': SensorSpec('/depth', 0.5)}
    bench = make_bench(replace(robot, sensors=sensors))

    def run(points: np.ndarray | None) -> str:
        for _ in range(50):
            bench.safety.on_depth(points, bench.stamp_ns, bench.now_s)
            bench.step()
        return str(bench.log[-1][1].state.name)

    assert 'depth missing' in bench.run(0.5).reason
    assert run(np.zeros((0, 2))) == 'RUN'
    noise = np.random.default_rng(0)
    assert run(np.array([0.5, 0.0]) + noise.normal(size=(20, 2)) * 0.01) in ('SLOW', 'STOP')
    assert run(None) == 'STOP'
    assert 'depth' in bench.log[-1][1].reason
    assert run(np.zeros((0, 2))) == 'RUN'
    bench.check_limits()


def test_a_frozen_depth_image_stops_though_nothing_is_near(robot: RobotSpec,
                                                           make_bench: Any) -> None:
    sensors = {**robot.sensors, 'depth': SensorSpec('/depth', 0.5)}
    bench = make_bench(replace(robot, sensors=sensors))
    nothing = np.zeros((0, 2))
    for digest in range(100):
        bench.safety.on_depth(nothing, bench.stamp_ns, bench.now_s, digest)
        bench.step()
    assert bench.log[-1][1].state.name == 'RUN'
    for _ in range(100):
        bench.safety.on_depth(nothing, bench.stamp_ns, bench.now_s, 99)
        bench.step()
    assert bench.log[-1][1].state.name == 'STOP'
    assert 'depth repeats itself' in bench.log[-1][1].reason
    bench.check_limits()


# ---- posture

FOLDED = {'left_shoulder_yaw': -1.8, 'left_elbow': -1.6, 'left_shoulder_roll': -0.25}


def test_a_posture_that_collides_is_refused_and_the_last_safe_one_held(running: Any) -> None:
    running.joints = {'left_elbow': -1.0}
    running.run(1.0)
    before = running.log[-1][1].joints
    running.joints = FOLDED
    running.run(1.0)
    command = running.log[-1][1]
    assert command.state.name == 'HOLD'
    assert 'posture refused' in command.reason and 'left' in command.reason
    assert command.joints == pytest.approx(before, abs=1e-6)
    assert not command.twist.any()
    running.joints = {'left_elbow': -0.5}
    running.until('RUN')


def test_a_target_that_grazes_the_body_is_followed_until_it_would_touch(running: Any) -> None:
    """A hand on the belly is no reason to freeze, but it must not touch."""
    from vla_humanoid_control.safety.posture import PostureChecker

    checker, home = PostureChecker(running.robot, running.config), running.robot.home
    grazing = {'left_shoulder_pitch': -0.56, 'left_shoulder_roll': -0.22,
               'left_shoulder_yaw': -0.3, 'left_elbow': -1.06}

    def posture(joints: dict[str, float]) -> np.ndarray:
        result = home.copy()
        for name, value in joints.items():
            result[running.robot.joint_names.index(name)] = value
        return result

    assert 'torso would touch left forearm' in checker.problem(posture(grazing), home)
    running.joints = grazing
    running.run(3.0)
    reached = running.log[-1][1].joints
    assert max(abs(reached[n] - v) for n, v in grazing.items()) < 0.25
    assert all(checker.problem(posture(c.joints), home) == '' for _, c in running.log[::3])
    assert any('waiting: ' in c.reason for _, c in running.log)


def test_stops_before_a_collision_on_the_way_to_a_safe_target(running: Any) -> None:
    """The supervisor is told nothing of the way, so it looks one braking distance ahead."""
    from vla_humanoid_control.safety.posture import PostureChecker

    checker = PostureChecker(running.robot, running.config)
    noise = np.random.default_rng(1)
    names = [j.name for j in running.robot.controlled if 'arm' in j.name or 'left' in j.name]
    for _ in range(12):
        running.joints = {n: noise.uniform(running.robot.joint(n).lower,
                                           running.robot.joint(n).upper) for n in names}
        running.run(1.0)
    home = running.robot.home
    for _, command in running.log[::3]:
        posture = home.copy()
        for name, value in command.joints.items():
            posture[running.robot.joint_names.index(name)] = value
        assert checker.problem(posture, home) == ''


# ---- emergency stop and reset


def test_an_emergency_stop_while_accelerating(bench: Any) -> None:
    bench.run(0.2)
    assert 0 < bench.log[-1][1].twist[0] < 0.4
    bench.safety.emergency_stop(True, 'button', bench.now_s)
    assert bench.step().state.name == 'ESTOP'
    bench.run(1.0)
    command = bench.log[-1][1]
    assert (command.state.name, command.reason) == ('ESTOP', 'emergency stop (button)')
    assert not command.twist.any()
    assert bench.safety.at_rest


def test_an_emergency_stop_stays_when_the_button_is_released(running: Any) -> None:
    running.safety.emergency_stop(True, 'button', running.now_s)
    running.run(0.5)
    running.safety.emergency_stop(False, 'button', running.now_s)
    assert running.run(2.0).state.name == 'ESTOP'


def test_a_button_that_says_that_it_is_not_pressed_changes_nothing(running: Any) -> None:
    """Regression: each time, the state was that without an obstacle until the next tick."""
    running.obstacle = (0.0, 0.28)
    running.until('STOP')
    before = running.safety.diagnostics(running.now_s)
    running.safety.emergency_stop(False, 'button', running.now_s)
    after = running.safety.diagnostics(running.now_s)
    assert (after['state'], after['reason']) == (before['state'], before['reason'])
    assert after['transitions'] == before['transitions']


def latched(bench: Any) -> None:
    bench.safety.emergency_stop(True, 'button', bench.now_s)
    bench.run(1.0)


def test_reset_is_refused_while_pressed(running: Any) -> None:
    latched(running)
    running.is_open = False
    running.run(0.5)
    ok, why = running.safety.reset(running.now_s)
    assert not ok and 'still pressed (button)' in why
    assert running.run(0.2).state.name == 'ESTOP'


def test_reset_is_refused_while_a_motion_command_stands(running: Any) -> None:
    latched(running)
    running.safety.emergency_stop(False, 'button', running.now_s)
    ok, why = running.safety.reset(running.now_s)
    assert not ok and 'motion command stands' in why
    assert running.run(1.0).state.name == 'ESTOP'
    assert not running.twists()[-1].any()


def test_after_a_reset_a_new_command_moves(running: Any) -> None:
    latched(running)
    running.safety.emergency_stop(False, 'button', running.now_s)
    running.is_open = False
    running.run(0.5)
    assert running.safety.reset(running.now_s)[0]
    running.run(0.5)
    assert running.log[-1][1].state.name == 'HOLD'
    running.is_open = True
    running.until('RUN')


def test_after_a_reset_the_old_command_moves_nothing(running: Any) -> None:
    """The controller fell silent, so no command stood; then it goes on as if nothing had been."""
    latched(running)
    running.safety.emergency_stop(False, 'button', running.now_s)
    running.off = {'proposal'}
    running.run(1.0)
    assert running.safety.reset(running.now_s)[0]
    running.off = set()
    running.run(1.0)
    assert running.log[-1][1].state.name == 'HOLD'
    assert 'waiting' in running.log[-1][1].reason
    assert not running.twists()[-1].any()
    running.is_open = False
    running.run(0.2)
    running.is_open = True
    running.until('RUN')


def test_a_lost_heartbeat_latches(robot: RobotSpec, make_bench: Any) -> None:
    bench = make_bench(robot, SafetyConfig(heartbeat_timeout_s=0.5))
    assert 'heartbeat missing' in bench.run(0.5).reason
    assert bench.safety.diagnostics(bench.now_s)['age_s/heartbeat'] == math.inf
    for _ in range(50):
        bench.safety.on_heartbeat(bench.now_s)
        bench.step()
    assert bench.log[-1][1].state.name == 'RUN'
    assert bench.until('ESTOP') <= 0.54
    assert bench.safety.diagnostics(bench.now_s)['age_s/heartbeat'] > 0.5
    bench.is_open = False
    bench.run(1.0)
    assert 'heartbeat is still lost' in bench.safety.reset(bench.now_s)[1]
    bench.safety.on_heartbeat(bench.now_s)
    assert bench.log[-1][1].state.name == 'ESTOP'
    assert bench.safety.reset(bench.now_s)[0]
    bench.check_limits()


@pytest.mark.parametrize('pause_s', [0.6, 3.0])
def test_a_heartbeat_that_was_lost_in_a_pause_of_the_gate_latches(
        robot: RobotSpec, make_bench: Any, pause_s: float) -> None:
    """Regression: after a SIGSTOP, one heartbeat from the queue made all of the pause undone."""
    robot = replace(robot, command_timeout_s=1.0)
    bench = make_bench(robot, SafetyConfig(heartbeat_timeout_s=0.5))
    for _ in range(100):
        bench.safety.on_heartbeat(bench.now_s)
        bench.step()
    before = bench.log[-1][1]
    assert before.state.name == 'RUN'
    bench.now_s += pause_s
    bench.safety.on_heartbeat(bench.now_s)
    after = bench.step()
    assert after.state.name == 'ESTOP' and 'heartbeat lost' in after.reason
    # The first command is braking already, or, after so long, rest.
    assert after.twist[0] < before.twist[0] if pause_s < 1.0 else not after.twist.any()
    for _ in range(100):
        bench.safety.on_heartbeat(bench.now_s)
        bench.step()
    assert bench.log[-1][1].state.name == 'ESTOP' and not bench.log[-1][1].twist.any()


def test_reset_is_refused_while_the_heartbeat_was_never_heard(robot: RobotSpec,
                                                              make_bench: Any) -> None:
    """As after a restart of the process that a lost heartbeat had latched."""
    bench = make_bench(robot, SafetyConfig(heartbeat_timeout_s=0.5, start_latched=True),
                       is_open=False)
    bench.run(0.5)
    accepted, reason = bench.safety.reset(bench.now_s)
    assert not accepted and 'heartbeat is missing' in reason
    assert bench.run(0.1).state.name == 'ESTOP'
    bench.safety.on_heartbeat(bench.now_s)
    assert bench.safety.reset(bench.now_s)[0]


def test_can_come_up_latched(robot: RobotSpec, make_bench: Any) -> None:
    bench = make_bench(robot, SafetyConfig(start_latched=True))
    assert bench.run(0.5).state.name == 'ESTOP'
    assert not bench.twists().any()


# ---- the node's requests


def test_a_foreign_publisher_stops_while_it_lasts(running: Any) -> None:
    running.safety.on_foreign_publisher(['/cmd_vel'], running.now_s)
    running.run(1.0)
    assert 'someone else publishes on /cmd_vel' in running.log[-1][1].reason
    assert running.log[-1][1].state.name == 'STOP'
    running.safety.on_foreign_publisher([], running.now_s)
    running.until('RUN')


def test_commands_that_nobody_hears_move_nothing(running: Any) -> None:
    """Regression: what reached no base counted as done."""
    running.safety.on_listeners('', running.now_s)
    running.safety.on_listeners('/cmd_vel: nobody listens', running.now_s)
    assert running.step().state.name == 'STOP'
    assert running.log[-1][1].reason == '/cmd_vel: nobody listens'
    running.run(1.0)
    assert running.safety.at_rest
    assert not running.safety.configure({'require_listener': 1}, running.now_s)[0]
    running.safety.on_listeners('', running.now_s)
    running.until('RUN')
    running.run(1.0)
    assert not running.safety.configure({'require_listener': False}, running.now_s)[0]


def test_a_robot_may_do_without_a_listener(robot: RobotSpec, make_bench: Any) -> None:
    bench = make_bench(robot, SafetyConfig(require_listener=False))
    bench.safety.on_listeners('/cmd_vel: nobody listens', bench.now_s)
    assert bench.run(1.0).state.name == 'RUN'


def test_stop_comes_to_rest_and_resume_takes_it_back(running: Any) -> None:
    running.safety.stop('shutting down', running.now_s)
    command = running.run(1.0)
    assert (command.state.name, command.reason) == ('STOP', 'shutting down')
    assert running.safety.at_rest
    running.safety.resume(running.now_s)
    running.until('RUN')


def test_after_others_have_moved_the_robot_it_begins_where_the_joints_are(
        robot: RobotSpec, make_bench: Any) -> None:
    """Regression: a node that was activated again sent the arms back to where it had left them."""
    bench = make_bench(robot, joints={'left_elbow': -1.0})
    bench.run(2.0)
    bench.safety.stop('being deactivated', bench.now_s)
    bench.run(1.0)
    assert bench.safety.at_rest
    bench.measured['left_elbow'], bench.joints = -0.2, {}
    bench.now_s += 5.0
    bench.log.clear()
    bench.safety.begin(bench.now_s)
    assert bench.run(1.0).state.name == 'RUN'
    assert all(c.joints['left_elbow'] == pytest.approx(-0.2, abs=1e-3) for _, c in bench.log)
    bench.check_limits()


@pytest.mark.parametrize(('changes', 'why'), [
    ({'proposal_timeout_s': math.nan}, 'proposal_timeout_s'),
    ({'slow_ttc_s': math.inf}, 'slow_ttc_s'), ({'stop_margin_m': -1.0}, 'stop_margin_m'),
    ({'base_velocity_scale': [1.0, 1.0]}, '3 numbers'), ({'colour': 1.0}, 'does not exist'),
    ({'rate_hz': 100.0}, 'fixed at start'),
    ({'recover_s': 0.1, 'tracking_s': -1.0}, 'tracking_s')])
def test_nonsense_parameters_are_refused_and_nothing_changes(running: Any, changes: dict[str, Any],
                                                             why: str) -> None:
    before = running.safety.config
    ok, message = running.safety.configure(changes, running.now_s)
    assert not ok and why in message
    assert running.safety.config == before
    assert running.run(0.5).state.name == 'RUN'


def test_a_watchdog_cannot_be_switched_off_in_motion(running: Any) -> None:
    ok, message = running.safety.configure({'watch_scan': False}, running.now_s)
    assert not ok and 'cannot be switched off while the robot moves' in message
    running.is_open = False
    running.run(1.0)
    assert running.safety.configure({'watch_scan': False}, running.now_s)[0]
    running.off = {'scan'}
    running.is_open = True
    running.until('RUN')


def test_a_lower_speed_limit_takes_effect_smoothly(running: Any) -> None:
    ok, _ = running.safety.configure({'base_velocity_scale': (0.5, 1.0, 1.0)}, running.now_s)
    assert ok
    assert running.run(1.0).twist[0] == pytest.approx(0.3)


# ---- time


def test_calls_in_a_burst_do_not_move_faster(bench: Any) -> None:
    bench.run(0.3)
    bench.feed()
    first = bench.safety.step(bench.now_s)
    for k in range(10):
        again = bench.safety.step(bench.now_s + 1e-4 * k)
        assert again.twist == pytest.approx(first.twist)
        assert again.joints == pytest.approx(first.joints)
    bench.log.append((bench.now_s, first))


def test_time_before_the_first_tick_is_not_held_against_the_loop(bench: Any) -> None:
    """Regression: a node that was activated late said that its loop was too slow."""
    bench.now_s += 60.0
    bench.step()
    assert 'the safety loop itself' not in bench.log[-1][1].reason
    assert bench.safety.diagnostics(bench.now_s)['loop_hz'] == pytest.approx(50.0)
    assert not bench.safety.diagnostics(bench.now_s).get('count/gaps')


def test_after_a_long_pause_it_resumes_from_rest(running: Any) -> None:
    """Suspended for 2 s: the robot's own watchdog has stopped it, so the old speed is history."""
    running.now_s += 2.0
    command = running.safety.step(running.now_s)
    assert command.state.name == 'STOP'
    assert not command.twist.any()
    running.log.clear()


def test_a_loop_that_cannot_keep_its_rate_stops(running: Any) -> None:
    for _ in range(30):
        running.feed()
        command = running.safety.step(running.now_s)
        running.now_s += 0.08
    assert command.state.name == 'STOP'
    assert 'the safety loop itself runs at' in command.reason
    running.log.clear()


def test_the_steady_clock_cannot_be_turned_back(running: Any) -> None:
    running.off = {'proposal'}
    running.run(0.2)
    running.safety.step(running.now_s - 100.0)
    running.safety.step(math.nan)
    assert running.until('STOP') <= 0.2


def test_diagnostics_tell_ages_counts_and_state(running: Any) -> None:
    values = running.safety.diagnostics(running.now_s)
    assert values['state'] == 'RUN'
    assert 0 <= values['age_s/scan'] <= 0.12
    assert values['accepted/joint_states'] > 50
    assert all(isinstance(v, (str, float, int)) for v in values.values())


def test_a_robot_without_a_model_is_not_checked(robot: RobotSpec) -> None:
    SafetySupervisor(replace(robot, mjcf=None), SafetyConfig(), 0.0)
