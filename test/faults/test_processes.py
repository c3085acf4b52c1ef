"""Faults 42 to 51, 65 and 79: processes that die, stall and return, and what is between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_report import Fault
from geometry_msgs.msg import Twist
from graph_under_test import PERIOD_S, GraphUnderTest
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import to_ns
from vla_humanoid_control.safety.config import SafetyConfig

ROBOT = load_robot('humanoid')
T_S = SafetyConfig().proposal_timeout_s


def killed(graph: GraphUnderTest, fault: Fault, name: str) -> None:
    """Kill a node in motion; the robot stops, and walks again once the node is back."""
    graph.walk_on()
    since = time.monotonic()
    graph.kill(name)
    fault.stops(graph, since, T_S)
    fault.happened(graph.safety)
    graph.processes.processes[name].wait()
    graph.task_states.clear()
    graph.start(name)
    graph.wait_until_restarted()
    graph.walk_on()
    fault.happened('walked again after a restart of the node')


def test_fault_42_killed_controller(graph: GraphUnderTest, fault: Fault) -> None:
    """`kill -9` of vla_controller in motion."""
    killed(graph, fault, 'vla_controller')


def test_fault_43_killed_confidence_monitor(graph: GraphUnderTest, fault: Fault) -> None:
    """`kill -9` of confidence_monitor in motion."""
    killed(graph, fault, 'confidence_monitor')


def test_fault_44_killed_safety_monitor(domain_id: int, tmp_path: Path, fault: Fault) -> None:
    """`kill -9` of safety_monitor in motion; the simulated robot has a watchdog of its own."""
    pytest.importorskip('mujoco')
    with GraphUnderTest(domain_id, tmp_path, simulated=True) as graph:
        truth: list[tuple[float, float]] = []
        graph.node.create_subscription(
            String, '/humanoid_sim/task_truth', lambda m: truth.append(
                (time.monotonic(), abs(json.loads(m.data)['twist'][0]))), qos.STREAM)
        graph.wait_until_ready()
        graph.walk()
        graph.wait_for(lambda: truth and truth[-1][1] > 0.2, 'the base moves')
        since = time.monotonic()
        graph.kill('safety_monitor')
        graph.wait_for(lambda: truth[-1][1] < 0.01, 'the base has stopped')
        top = max(s for t, s in truth if t > since - 0.2)
        fault.stopped_after(max(t for t, s in truth if s > top - 0.02) - since, 0.5)
        fault.happened("stopped by the robot's own watchdog")


def test_fault_45_suspended_safety_monitor(graph: GraphUnderTest, fault: Fault) -> None:
    """SIGSTOP of safety_monitor for 2 s in motion, then SIGCONT."""
    graph.walk_on()
    graph.kill('safety_monitor', signal.SIGSTOP)
    graph.pause(2.0)
    sent_ns: list[int] = []  # by safety's own account
    heard = graph.node.create_subscription(
        JointState, '/joint_commands', lambda m: sent_ns.append(to_ns(m.header.stamp)), 500)
    before, resumed = len(graph.twists), time.monotonic()
    resumed_ns = graph.node.get_clock().now().nanoseconds
    graph.kill('safety_monitor', signal.SIGCONT)
    graph.wait_for(lambda: len(graph.twists) > before + 20 and len(sent_ns) > 20, 'commands again')
    graph.drop(heard)
    # At most one was under way when it was suspended; then it begins from rest.
    assert np.abs(next(v for t, v in graph.twists[before:] if t >= resumed)).max() < 0.05
    old = sum(stamp < resumed_ns for stamp in sent_ns)
    assert old <= 1
    assert sent_ns == sorted(set(sent_ns))  # each command of a moment of its own: no burst
    fault.happened(f'resumed from rest; {old} commands were from before')


def test_fault_46_restart_while_latched(graph: GraphUnderTest, fault: Fault) -> None:
    """safety_monitor is killed and started again while an emergency stop is latched."""
    graph.walk_on()
    graph.press(True)
    graph.wait_for(lambda: graph.safety.startswith('ESTOP'), 'it is latched')
    graph.kill('safety_monitor')
    graph.processes.processes['safety_monitor'].wait()
    graph.press(False)
    graph.safety_states.clear()
    graph.twists.clear()
    graph.start('safety_monitor')
    graph.wait_for(lambda: graph.safety, 'it speaks again')
    assert graph.safety.startswith('ESTOP')
    fault.happened(f'came up as {graph.safety}')

    def refuses() -> bool:
        graph.say('walk endlessly')
        graph.pause(0.7)
        # Until the controller has found the new process, it goes by what the old one said.
        return 'comes up latched' in graph.task
    graph.wait_for(refuses, 'refused by the new process')
    assert graph.safety.startswith('ESTOP')
    assert not any(v.any() for _, v in graph.twists)


def test_fault_47_late_joiner(graph: GraphUnderTest, fault: Fault) -> None:
    """A node that joins after the last change of state."""
    graph.press(True)
    graph.wait_for(lambda: graph.safety.startswith('ESTOP'), 'it is latched')
    heard: dict[str, str] = {}
    joined = time.monotonic()
    for topic in ('/vla/task_state', '/safety/state'):
        graph.node.create_subscription(
            String, topic, lambda m, t=topic: heard.setdefault(t, m.data), qos.STATE)
    graph.wait_for(lambda: len(heard) == 2, 'both states')
    assert heard['/vla/task_state'] == graph.task and heard['/safety/state'].startswith('ESTOP')
    fault.happened(f'learned both states within {time.monotonic() - joined:.2f} s')


def test_fault_48_qos_mismatch(graph: GraphUnderTest, fault: Fault) -> None:
    """A best-effort publisher on a topic whose subscriber asks for reliable."""
    publisher = graph.node.create_publisher(String, '/vla_command', qos.SENSOR_INPUT)
    try:
        graph.wait_for(lambda: 'QoS mismatch on /vla_command' in graph.health('vla_controller'),
                       'reported')
        fault.happened(graph.health('vla_controller'))
    finally:
        graph.drop(publisher)


@pytest.mark.parametrize(('topic', 'kind'), [('/cmd_vel', Twist), ('/joint_commands', JointState)],
                         ids=['cmd_vel', 'joint_commands'])
def test_fault_49_foreign_publisher(graph: GraphUnderTest, fault: Fault, topic: str,
                                    kind: type) -> None:
    """Another publisher on a topic of the robot, in motion."""
    graph.walk_on()
    since = time.monotonic()
    publisher = graph.node.create_publisher(kind, topic, qos.STREAM)
    try:
        fault.stops(graph, since, 0.1)
        assert graph.safety.startswith('STOP') and topic in graph.safety
        graph.wait_for(lambda: topic in graph.health('safety_monitor'), 'reported')
        fault.happened(graph.safety)
    finally:
        graph.drop(publisher)
    graph.wait_for(lambda: not graph.safety.startswith('STOP'), 'free again')


@contextmanager
def busy_cores() -> Iterator[None]:
    """Two processes for each core that do nothing but work."""
    work = [sys.executable, '-c', 'while True: pass']
    hogs = [subprocess.Popen(work) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def longest_s(stamps_ns: list[int], since: int) -> float:
    """The longest time between two stamps, from the last one before the `since`-th [s]."""
    return float(max(np.diff(stamps_ns[max(since - 1, 0):]))) * 1e-9


def test_fault_50_loaded_cores(graph: GraphUnderTest, fault: Fault) -> None:
    """Two busy processes on each core, in motion."""
    frames: list[int] = []  # stamps of the camera frames behind the proposals, each once
    commands: list[int] = []  # when safety sent its commands, by its own account

    def on_gated(msg: JointState) -> None:
        stamp_ns = to_ns(msg.header.stamp)
        if not frames or stamp_ns > frames[-1]:
            frames.append(stamp_ns)

    heard = [graph.node.create_subscription(kind, topic, callback, 100) for kind, topic, callback
             in ((JointState, '/vla/action_gated', on_gated),
                 (JointState, '/joint_commands',
                  lambda m: commands.append(to_ns(m.header.stamp))))]
    graph.walk_on()
    graph.forget()
    began = len(frames), len(commands)
    with busy_cores():
        graph.pause(4.0)
    # What was under way is over with the next of each.
    ended = len(frames), len(commands)
    graph.wait_for(lambda: len(frames) > ended[0] and len(commands) > ended[1], 'it goes on')
    for subscription in heard:
        graph.drop(subscription)
    graph.assert_within_limits()
    # By the stamps of the senders: it does not count how long this process had to wait.
    frame, command = longest_s(frames, began[0]), longest_s(commands, began[1])
    stopped = graph.has_stopped_for('')
    # Met: proposals came within their deadline. Else it stopped.
    assert frame < T_S + 2 * PERIOD_S or stopped
    # Likewise for commands: after a silence in which the robot stopped, it begins from rest.
    for (before_s, _), (after_s, twist) in pairwise(list(graph.twists)):
        assert after_s - before_s < ROBOT.command_timeout_s or np.abs(twist).max() < 0.05
    fault.happened(f'commands at most {command * 1e3:.0f} ms apart, frames of proposals at most '
                   f'{frame * 1e3:.0f} ms; ' + ('stopped' if stopped else 'deadline met'))
    graph.settle()
    graph.walk_on()


def test_fault_51_log_flood(graph: GraphUnderTest, fault: Fault) -> None:
    """Bad images at 30 Hz, bad joint states at 50 Hz, bad scans, and 200 bad commands a second."""
    def bad_image(image: Image) -> Image:
        image.encoding = 'rgb9'
        return image

    graph.walk_on()
    graph.robot.spoil = bad_image
    graph.robot.spoil_joints = lambda msg: JointState(header=msg.header, name=list(msg.name))
    graph.robot.spoil_scan = lambda msg: type(msg)(header=msg.header)
    graph.log.clear()
    began = time.monotonic()
    for _ in range(400):
        graph.say('\x07')
        time.sleep(0.005)  # the rate is what is tested
    seconds = time.monotonic() - began
    graph.wait_for(lambda: graph.count('vla_controller', 'commands_rejected') > 100, 'they came')
    lines = len(graph.log)
    errors = graph.count_now('vla_controller', 'commands_rejected') \
        + graph.count('vla_controller', 'joint_states_rejected')
    assert 0 < lines < errors / 4
    fault.happened(f'about 290 errors a second became {lines / seconds:.1f} lines a second')


def test_fault_65_deactivation_in_motion(graph: GraphUnderTest, fault: Fault) -> None:
    """Lifecycle deactivation of safety_monitor in motion."""
    graph.walk_on()
    assert graph.change_state('safety_monitor', 'deactivate')
    graph.wait_for(lambda: not graph.twists[-1][1].any(), 'the last command is zero')
    graph.assert_within_limits()
    count = len(graph.twists)
    graph.pause(0.3)
    assert len(graph.twists) == count
    fault.happened('braked to zero within limits, and fell silent')
    assert graph.change_state('safety_monitor', 'activate')
    graph.wait_for(lambda: len(graph.twists) > count + 10, 'commands again')


# Starts the nodes as `ros2 launch` does, of which no wheel exists: they inherit its session, and
# it leaves them alone when it is killed.
LAUNCH = """
import os, subprocess, time
from vla_humanoid_control.graph import bringup, processes
from vla_humanoid_control.graph.lifetime import PARENT_VARIABLE
deployment = bringup.Deployment(policy='scripted', simulated=False)
variables = {**os.environ, **bringup.environment(), PARENT_VARIABLE: str(os.getpid())}
for entry in bringup.graph(deployment):
    subprocess.Popen(processes._command(entry), env=variables)
time.sleep(600)
"""


def start_launcher(kind: str, domain_id: int, folder: Path) -> tuple[int, int]:
    """Starts a launcher in a terminal of its own; gives its process id and the terminal."""
    arguments = ['-c', LAUNCH] if kind == 'launch' else [
        '-m', 'vla_humanoid_control.cli.main', 'run', '--policy', 'scripted', '--log',
        str(folder / 'graph.log')]
    process, terminal = os.forkpty()
    if process == 0:
        variables = {**os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'ROS_HOME': str(folder),
                     'PYTHONPATH': os.pathsep.join(sys.path)}
        os.execve(sys.executable, [sys.executable, *arguments], variables)
    return process, terminal


@pytest.mark.parametrize('kind', ['vla run', 'launch'])
@pytest.mark.parametrize('end', ['SIGTERM', 'SIGHUP', 'SIGKILL', 'its terminal is closed'])
def test_fault_79_end_of_the_launcher(domain_id: int, tmp_path: Path, fault: Fault, kind: str,
                                      end: str) -> None:
    """The launcher alone is asked to end, loses its terminal, or is killed, in motion."""
    psutil = pytest.importorskip('psutil')
    nodes = ('vla_controller', 'confidence_monitor', 'safety_monitor')
    with GraphUnderTest(domain_id, tmp_path, without=nodes) as graph:
        pid, terminal = start_launcher(kind, domain_id, tmp_path)
        launcher = psutil.Process(pid)
        running: list[Any] = []
        try:
            graph.wait_until_ready()
            running += launcher.children(recursive=True)
            assert len(running) == len(nodes)
            graph.walk()
            if end.startswith('SIG'):
                launcher.send_signal(signal.Signals[end])
            else:
                os.close(terminal)
            graph.wait_for(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 'the launcher has ended')
            graph.wait_for(lambda: not any(is_running(p) for p in running), 'all have ended')
            graph.wait_for(lambda: not graph.twists[-1][1].any(), 'the last command is zero')
            graph.assert_within_limits()
            moving = [t for t, v in graph.twists if v.any()]
            assert graph.twists[-1][0] > max(moving)
            fault.happened(f'{kind}, {end}: braked to zero within limits, and nothing was left')
        finally:
            for process in (launcher, *running):
                if is_running(process):
                    process.kill()


def is_running(process: Any) -> bool:
    """Whether it is more than an entry that its parent has yet to take."""
    return process.is_running() and process.status() != 'zombie'
