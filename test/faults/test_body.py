"""Faults 57 to 64, 66, 67, 76 and 77: joints, base, posture, obstacles, and the emergency stop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fault_report import Fault
from graph_under_test import ROBOT, GraphUnderTest
from safety_bench import Bench
from sensor_msgs.msg import Imu, JointState, LaserScan
from std_msgs.msg import Empty

from vla_humanoid_control.channels import CONFIDENCE, GATE, PROGRESS
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import joints_to_msg
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.posture import PostureChecker
from vla_humanoid_control.types import BASE_CHANNELS

LEAN_RAD = 0.03
"""Of both hips: the centre of mass is still 2.6 cm inside the edge of the feet [rad]."""


def nan_joint(msg: JointState) -> JointState:
    msg.position[msg.name.index('left_knee')] = float('nan')
    return msg


def missing_joint(msg: JointState) -> JointState:
    place = msg.name.index('left_knee')
    return JointState(header=msg.header, name=msg.name[:place] + msg.name[place + 1:],
                      position=msg.position[:place] + msg.position[place + 1:])


@pytest.mark.parametrize(('spoil', 'reason'), [(nan_joint, 'left_knee is not finite'),
                                               (missing_joint, 'left_knee not heard for'),
                                               (lambda msg: None, 'joint_states stale')],
                         ids=['nan', 'missing joint', 'silent'])
def test_fault_57_bad_joint_states(graph: GraphUnderTest, fault: Fault,
                                   spoil: Callable[[JointState], Any], reason: str) -> None:
    """/joint_states with a NaN, without a joint, or silent, in motion."""
    graph.walk_on()
    graph.robot.spoil_joints = spoil
    fault.stops(graph, time.monotonic(), ROBOT.sensors['joint_states'].timeout_s)
    assert graph.safety.startswith('STOP') and reason in graph.safety
    fault.happened(graph.safety)


def test_fault_57_frozen_joint_states(graph: GraphUnderTest, fault: Fault) -> None:
    """/joint_states repeats itself to the last bit while joints are commanded to move."""
    graph.say('wave')

    def turned_rad() -> float:
        last = np.array([list(targets.values()) for _, targets in graph.targets[-5:]])
        return float(np.ptp(last, axis=0).max()) if len(last) else 0.0

    # Whichever joint: a test before may have left the arm up. Only of what moves can be told that
    # it is frozen.
    graph.wait_for(lambda: turned_rad() > 0.02, 'a joint moves')
    frozen = dict(graph.robot.positions)
    since = time.monotonic()

    def freeze(msg: JointState) -> JointState:
        msg.position = [frozen[name] for name in msg.name]
        return msg

    graph.robot.spoil_joints = freeze
    def stop() -> list[tuple[float, str]]:  # whichever is noticed first
        return [(t, s) for t, s in graph.safety_states if s.startswith('STOP')
                and ('repeats itself' in s or 'far from the command' in s)]

    graph.wait_for(stop, 'stopped', 5.0)
    fault.stopped_after(stop()[0][0] - since, 0.5)
    fault.happened(stop()[0][1])


def test_fault_57_frozen_joint_states_in_walking(graph: GraphUnderTest, fault: Fault) -> None:
    """/joint_states repeats itself to the last bit while the base walks, and with it the legs."""
    graph.walk_on()
    frozen = list(graph.robot.positions.values())

    def freeze(msg: JointState) -> JointState:
        msg.position = frozen
        return msg

    since = time.monotonic()
    graph.robot.spoil_joints = freeze
    fault.stops(graph, since, 0.5 + 0.1)  # it has to move 2 cm first
    assert graph.safety.startswith('STOP') and 'joint_states repeats itself' in graph.safety
    fault.happened(graph.safety)


def test_fault_58_joint_beyond_its_limit(bench: Bench, fault: Fault) -> None:
    """An elbow measured 0.1 rad beyond its limit.

    To the supervisor: what it commands is exact there, and a process would add nothing.
    """
    bench.follow = False
    upper = bench.robot.joint('left_elbow').upper
    bench.measured['left_elbow'] = upper + 0.1
    bench.joints = {'left_elbow': upper}
    bench.run(0.5)
    start = bench.log[0][1].joints['left_elbow'] if bench.log[0][1].joints else upper
    assert 'left_elbow' in bench.safety.diagnostics(bench.now_s)['beyond_limits']
    bench.joints = {'left_elbow': -0.3}
    bench.run(0.4)
    inside = bench.log[-1][1].joints['left_elbow']
    assert inside < start - 0.05
    bench.joints = {'left_elbow': upper}
    bench.run(0.5)
    back = [c.joints['left_elbow'] for _, c in bench.log[-20:]]
    # It may come to rest, but goes no way back out.
    assert max(back) <= inside + 1e-9
    fault.happened(f'followed inwards to {inside:.2f} rad, and not outwards again')


def test_fault_59_tilt(graph: GraphUnderTest, fault: Fault) -> None:
    """The IMU says 0.6 rad of roll in motion; the limit is 0.5."""
    def tilted(msg: Imu) -> Imu:
        msg.orientation.x, msg.orientation.w = math.sin(0.3), math.cos(0.3)
        return msg

    graph.walk_on()
    since = time.monotonic()
    graph.robot.spoil_imu = tilted
    fault.stops(graph, since, 0.02)  # the next message tells
    assert graph.safety.startswith('STOP: tilted by 0.60 rad')
    # Torque stays on: the posture is commanded on and on, and it is the last one.
    before = len(graph.targets)
    graph.wait_for(lambda: len(graph.targets) > before + 20, 'joints are still commanded', 2.0)
    assert set(graph.targets[-1][1]) == {j.name for j in ROBOT.controlled}
    assert graph.targets[-1][1] == graph.targets[before][1]
    fault.happened(f'{graph.safety}; the posture was commanded on')


def test_fault_60_obstacle_inside_the_stop_zone(graph: GraphUnderTest, fault: Fault) -> None:
    """Something appears 0.28 m ahead of the centre of a walking robot."""
    def blocked(scan: LaserScan) -> LaserScan:
        middle = len(scan.ranges) // 2
        noise = np.random.default_rng(scan.header.stamp.nanosec).normal(size=13) * 0.002
        ranges = np.array(scan.ranges)
        ranges[middle - 6:middle + 7] = 0.28 + noise
        scan.ranges = ranges.tolist()
        return scan

    graph.walk_on()
    since = time.monotonic()
    graph.robot.spoil_scan = blocked
    fault.stops(graph, since, 0.2)  # two scans, so that one bad scan decides nothing
    graph.wait_for(lambda: graph.safety.startswith('STOP') and 'collision' in graph.safety,
                   'the reason')
    fault.happened(graph.safety)
    graph.say('walk backward')
    graph.wait_for(lambda: graph.twists[-1][1][0] < -0.2, 'it backs away')
    graph.say('turn left')
    graph.wait_for(lambda: graph.twists[-1][1][2] > 0.3, 'it turns on the spot')
    fault.happened('backed away and turned')


def test_fault_61_emergency_stop_during_acceleration(graph: GraphUnderTest, fault: Fault) -> None:
    """The emergency stop is pressed while the robot speeds up."""
    graph.say('walk endlessly')
    graph.wait_for(lambda: 0.05 < graph.speed < 0.29, 'the robot speeds up')
    since = time.monotonic()
    graph.press(True)
    fault.stops(graph, since, 0.0)
    assert graph.safety.startswith('ESTOP')
    graph.press(False)
    graph.say('walk endlessly')
    graph.pause(1.0)
    assert graph.safety.startswith('ESTOP') and graph.is_at_rest()
    assert graph.task.startswith('FAILED: walk endlessly (refused in ESTOP')
    fault.happened(f'latched: a new command moved nothing; {graph.task}')


def test_fault_62_reset_while_the_cause_persists(graph: GraphUnderTest, fault: Fault) -> None:
    """Reset with the button still pressed."""
    graph.press(True)
    graph.wait_for(lambda: graph.safety.startswith('ESTOP'), 'it is latched')
    graph.pause(0.2)
    accepted, reason = graph.reset()
    assert not accepted and 'still pressed' in reason
    fault.happened(reason)
    assert graph.safety.startswith('ESTOP')
    graph.press(False)
    graph.wait_for(lambda: graph.reset()[0], 'the reset is accepted')
    graph.pause(0.5)
    assert graph.is_at_rest()
    graph.walk_on()


class Impostor:
    """Takes the place of a suspended confidence monitor, and knows nothing of emergency stops."""

    def __init__(self, graph: GraphUnderTest) -> None:
        self.speed: float | None = 0.0
        self.publisher = graph.node.create_publisher(JointState, '/vla/action_gated', qos.STREAM)
        self._clock = graph.node.get_clock()
        self.timer = graph.node.create_timer(0.05, self._speak)

    def _speak(self) -> None:
        if self.speed is not None:
            names = [*BASE_CHANNELS, CONFIDENCE, PROGRESS, GATE]
            msg = JointState(name=names, position=[0.0, 0.0, 0.0, 0.9, 0.1, 1.0],
                             velocity=[self.speed, 0.0, 0.0, 0.0, 0.0, 0.0])
            msg.header.stamp = self._clock.now().to_msg()
            self.publisher.publish(msg)


def test_fault_63_reset_while_a_command_stands(graph: GraphUnderTest, fault: Fault) -> None:
    """Reset while a controller that never noticed the emergency stop still asks for motion."""
    graph.kill('confidence_monitor', signal.SIGSTOP)
    impostor = Impostor(graph)
    try:
        impostor.speed = 0.3
        graph.wait_for(lambda: graph.speed > 0.25, 'the robot walks')
        graph.press(True)
        graph.wait_for(graph.is_at_rest, 'the base is at rest')
        graph.press(False)
        graph.pause(0.3)
        accepted, reason = graph.reset()
        assert not accepted and 'motion command stands' in reason
        fault.happened(reason)
        impostor.speed = None  # silent: now no command stands, and then it goes on as before
        graph.pause(0.6)
        accepted, answer = graph.reset()
        assert accepted, answer
        impostor.speed = 0.3
        began = time.monotonic()
        graph.pause(1.5)
        assert not any(v.any() for t, v in graph.twists if t > began)
        fault.happened(graph.safety)
        impostor.speed = 0.0
        graph.pause(0.5)
        impostor.speed = 0.3
        graph.wait_for(lambda: graph.speed > 0.25, 'a new command moves it')
    finally:
        impostor.timer.cancel()
        graph.drop(impostor.publisher)
        graph.kill('confidence_monitor', signal.SIGCONT)


def test_fault_64_lost_heartbeat(graph: GraphUnderTest, fault: Fault) -> None:
    """The operator's heartbeat ceases in motion; its deadline is set to 0.5 s."""
    assert graph.set('safety_monitor', 'safety.heartbeat_timeout_s', 0.5)[0]
    publisher = graph.node.create_publisher(Empty, '/safety/heartbeat', qos.STREAM)
    timer = graph.node.create_timer(0.05, lambda: publisher.publish(Empty()))
    try:
        graph.wait_for(lambda: 'heartbeat' not in graph.safety, 'the heartbeat is heard')
        graph.walk_on()
        since = time.monotonic()
        timer.cancel()
        fault.stops(graph, since, 0.5)
        assert graph.safety.startswith('ESTOP: operator heartbeat lost')
        fault.happened(graph.safety)
        accepted, reason = graph.reset()
        assert not accepted and 'heartbeat is still lost' in reason
        timer.reset()
        graph.pause(0.3)
        assert graph.safety.startswith('ESTOP')
        graph.wait_for(lambda: graph.reset()[0], 'the reset is accepted')
    finally:
        graph.set('safety_monitor', 'safety.heartbeat_timeout_s', 0.0)
        timer.cancel()
        graph.drop(publisher)
    assert graph.set('safety_monitor', 'safety.heartbeat_timeout_s', 0.0)[0]


def test_fault_66_posture_that_collides_with_itself(running: Bench, fault: Fault) -> None:
    """A posture in which the left forearm lies inside the torso.

    To the supervisor: the posture is judged there, and a process would add nothing.
    """
    running.joints = {'left_elbow': -1.0}
    running.run(1.0)
    before = running.log[-1][1].joints
    running.joints = {'left_shoulder_yaw': -1.8, 'left_elbow': -1.6, 'left_shoulder_roll': -0.25}
    running.run(1.0)
    command = running.log[-1][1]
    assert command.state.name == 'HOLD' and 'posture refused' in command.reason
    assert command.joints == pytest.approx(before, abs=1e-6)
    assert not command.twist.any()
    fault.happened(f'{command.reason}; the posture before was held')
    running.joints = {'left_elbow': -0.5}
    running.until('RUN')


def test_fault_67_posture_out_of_balance(bench: Bench, fault: Fault) -> None:
    """Both arms stretched out ahead while the trunk already leans forward.

    To the supervisor, as above. At home no posture of the arms takes this robot's balance away.
    """
    lean = {'left_hip_pitch': LEAN_RAD, 'right_hip_pitch': LEAN_RAD}
    bench.measured.update(lean)
    checker = PostureChecker(bench.robot, SafetyConfig())

    def posture(joints: dict[str, float]) -> np.ndarray:
        return np.array([{**bench.measured, **joints}[n] for n in bench.robot.joint_names])

    ahead = {f'{side}_{joint}': value for side in ('left', 'right')
             for joint, value in (('shoulder_pitch', -1.5), ('elbow', -0.1))}
    assert checker.problem(posture({}), posture({})) == ''
    assert 'centre of mass' in checker.problem(posture(ahead), posture({}))
    bench.twist = (0.0, 0.0, 0.0)
    bench.run(1.0)
    assert bench.log[-1][1].state.name == 'RUN', bench.log[-1][1]
    before = bench.log[-1][1].joints
    bench.joints = ahead
    bench.run(1.0)
    command = bench.log[-1][1]
    assert command.state.name == 'HOLD' and 'centre of mass' in command.reason
    assert command.joints == pytest.approx(before, abs=1e-6)
    fault.happened(f'{command.reason}; the posture before was held')
    bench.joints = {}
    bench.until('RUN')


def test_fault_76_base_that_does_not_follow(graph: GraphUnderTest, fault: Fault) -> None:
    """The base stands in the middle of a walk, though it is told to go on."""
    graph.walk_on()
    graph.pause(SafetyConfig().base_lag_s + 0.2)  # what was told while it sped up is past
    since = time.monotonic()
    graph.robot.base_on = False
    # Odometry needs some readings to tell a velocity.
    fault.stops(graph, since, SafetyConfig().base_tracking_s + 0.2)
    graph.wait_for(lambda: graph.safety.startswith('STOP: the base does not follow: 0.0'),
                   'the reason is reported')
    fault.happened(graph.safety)
    graph.robot.base_on = True
    graph.pause(1.0)
    assert graph.is_at_rest() and graph.safety.startswith('STOP')
    fault.happened('stayed stopped until the command ended')
    graph.settle()
    graph.walk_on()


def test_fault_76_base_that_never_moves(graph: GraphUnderTest, fault: Fault) -> None:
    """Motors are off: 'walk forward' is told to a base that stands."""
    graph.robot.base_on = False
    graph.say('walk forward')
    graph.wait_for(lambda: graph.has_stopped_for('the base does not follow'), 'it stops')
    graph.wait_for(graph.is_at_rest, 'the base is at rest')
    graph.pause(3.0)
    assert not any(state.startswith('DONE: walk') for _, state in graph.task_states)
    fault.happened(f'{graph.safety}; task: {graph.task}')


def test_fault_77_joint_states_in_parts(graph: GraphUnderTest, fault: Fault) -> None:
    """The head's joints come from a driver of its own, at 20 Hz and 30 ms late; then it dies.

    To safety, which an impostor asks to walk.
    """
    head = ('neck_yaw', 'neck_pitch')
    publisher = graph.node.create_publisher(JointState, ROBOT.sensors['joint_states'].topic,
                                            qos.SENSOR_OUTPUT)

    def nod() -> None:
        positions = {n: graph.robot.positions[n] for n in head}
        publisher.publish(joints_to_msg(graph.robot.stamp_ns() - 30_000_000, positions))

    def rest(msg: JointState) -> JointState:
        kept = {n: p for n, p in zip(msg.name, msg.position) if n not in head}
        return JointState(header=msg.header, name=list(kept), position=list(kept.values()))

    graph.kill('confidence_monitor', signal.SIGSTOP)
    impostor = Impostor(graph)
    timer = graph.node.create_timer(0.05, nod)
    try:
        graph.robot.spoil_joints = rest
        impostor.speed = 0.3
        graph.wait_for(lambda: graph.speed > 0.299, 'the robot walks')
        graph.pause(1.0)
        assert graph.speed > 0.29 and graph.safety.startswith('RUN'), graph.safety
        fault.happened('walked')
        since = time.monotonic()
        timer.cancel()
        fault.stops(graph, since, ROBOT.sensors['joint_states'].timeout_s)
        assert graph.safety.startswith('STOP: joint_states: neck_yaw, neck_pitch not heard for')
        fault.happened(graph.safety)
    finally:
        timer.cancel()
        impostor.timer.cancel()
        graph.drop(impostor.publisher)
        graph.drop(publisher)
        graph.kill('confidence_monitor', signal.SIGCONT)
