"""The simulated robot as a process: its sensors, its scenes, and its own watchdog."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from geometry_msgs.msg import Twist
from graph_under_test import ROBOT, GraphUnderTest
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import to_ns

pytest.importorskip('mujoco')

OTHERS = ('vla_controller', 'confidence_monitor', 'safety_monitor')
SCENE = {'scene_seed': 3, 'scene_task': 'move:forward'}


class Listener:
    """Counts messages and keeps the newest of each topic."""

    def __init__(self, graph: GraphUnderTest) -> None:
        self.count: dict[str, int] = {}
        self.last: dict[str, Any] = {}
        self.clock_went_back = False
        for kind, topic in ((Image, '/camera/rgb/image_raw'), (JointState, '/joint_states'),
                            (Imu, '/imu/data'), (LaserScan, '/scan'), (Clock, '/clock'),
                            (String, '/humanoid_sim/task_truth')):
            graph.node.create_subscription(
                kind, topic, lambda m, t=topic: self._keep(t, m), qos.SENSOR_INPUT)

    def _keep(self, topic: str, msg: Any) -> None:
        if topic == '/clock' and topic in self.last:
            self.clock_went_back |= to_ns(msg.clock) < to_ns(self.last[topic].clock)
        self.count[topic] = self.count.get(topic, 0) + 1
        self.last[topic] = msg

    @property
    def truth(self) -> dict[str, Any]:
        return json.loads(self.last['/humanoid_sim/task_truth'].data)


@pytest.fixture
def robot(domain_id: int, tmp_path: Path) -> Iterator[GraphUnderTest]:
    """The simulated robot without a controller."""
    parameters = {'humanoid_sim': SCENE}
    with GraphUnderTest(domain_id, tmp_path, simulated=True, without=OTHERS,
                        parameters=parameters) as running:
        yield running


def test_sensors_scenes_and_watchdog(robot: GraphUnderTest) -> None:
    """One process for all of it: drawing takes a while to start."""
    heard = Listener(robot)
    robot.wait_for(lambda: len(heard.count) == 6, 'all topics', 40.0)
    image = heard.last['/camera/rgb/image_raw']
    assert (image.width, image.height, image.encoding) == (640, 480, 'rgb8')
    assert len(set(bytes(image.data[:30000]))) > 3
    assert set(heard.last['/joint_states'].name) == set(ROBOT.joint_names)

    # It goes as it is told, and stops by itself when nothing comes any more.
    drive = robot.node.create_publisher(Twist, '/cmd_vel', qos.STREAM)
    message = Twist()
    message.linear.x = 0.4
    robot.wait_for(lambda: (drive.publish(message), time.sleep(0.02),
                            heard.truth['success'])[-1], 'it has moved 0.5 m', 10.0)
    silent = time.monotonic()
    robot.wait_for(lambda: abs(heard.truth['twist'][0]) < 0.01, 'it has stopped', 10.0)
    assert time.monotonic() - silent < 0.5 + 0.4 + robot.slack_s(silent)

    # A scene begins anew, and the clock goes on.
    scene = heard.truth['scene']
    assert robot.call(Trigger, '/humanoid_sim/reset').success
    robot.wait_for(lambda: heard.truth['scene'] == scene + 1, 'a new scene')
    assert heard.truth['success'] is False and heard.truth['time_s'] < 1.0
    assert not heard.clock_went_back

    for name, nonsense in (('scene_seed', -1), ('scene_task', 'fly'), ('scene_task', 'go_to:red'),
                           ('scene_task', 'go_to:red:car'), ('scene_distractors', -2)):
        accepted, reason = robot.set('humanoid_sim', name, nonsense)
        assert not accepted and reason


def test_killed_safety_monitor_stops_by_the_robots_own_watchdog(
        domain_id: int, tmp_path: Path) -> None:
    with GraphUnderTest(domain_id, tmp_path, simulated=True) as graph:
        heard = Listener(graph)
        graph.wait_until_ready()
        graph.wait_for(lambda: '/humanoid_sim/task_truth' in heard.last, 'the simulator speaks')
        graph.walk()
        graph.kill('safety_monitor')
        killed = time.monotonic()
        graph.wait_for(lambda: abs(heard.truth['twist'][0]) < 0.01, 'it has stopped', 10.0)
        assert time.monotonic() - killed < 0.5 + 0.6 + graph.slack_s(killed)


def test_nothing_listens_beyond_this_machine(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    for process in graph.processes.processes.values():
        # DDS receives on the ports of its domain; on others it only sends.
        first = 7400 + 250 * graph.domain_id
        sockets = [s for s in _listening(process.pid)
                   if s[1] in range(first, first + 250) or s[2] == 'tcp']
        assert sockets
        assert all(address.startswith('127.') for address, _, _ in sockets), sockets


def _listening(pid: int) -> list[tuple[str, int, str]]:
    """Local address, port and kind of a process's UDP and listening TCP sockets, IPv4."""
    inodes = set()
    for link in Path(f'/proc/{pid}/fd').iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith('socket:'):
            inodes.add(target[8:-1])
    sockets = []
    for table in ('udp', 'tcp'):
        for line in Path(f'/proc/{pid}/net/{table}').read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (table == 'udp' or fields[3] == '0A'):
                address, port = fields[1].split(':')
                sockets.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16),
                                table))
    return sockets
