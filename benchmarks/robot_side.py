"""Plays the robot for a measurement: publishes what its sensors give, notes what reaches it.

Frames are sent from a thread of its own and everything else from another, so that neither waits
for the other nor for what is received. The robot is in a wide room and follows commands at once:
its pictures turn with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from std_msgs.msg import String

from vla_humanoid_control.channels import GATE
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import (
    imu_to_msg,
    joints_to_msg,
    odometry_to_msg,
    rgb_to_msg,
    scan_to_msg,
    to_ns,
    to_stamp,
    twist_from_msg,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import ImuReading, ScanReading

JOINTS_HZ, ODOM_EVERY, SCAN_EVERY = 100.0, 2, 10  # as humanoid_sim has them
RAYS = 180
CAMERA_HZ = 29.97
"""30 Hz as cameras mean it. A camera has its own clock, so its frames drift against the loops of
the nodes, and in half a minute every offset between the two occurs once."""


class RobotSide:
    """The robot's end of every topic. Use as a context manager.

    Args:
        robot: The robot.
        frames: What the camera sees in a full turn to the left, in even steps, RGB uint8
            [H, W, 3]. The one of the robot's heading is sent.
        domain_id: ROS domain of the graph.

    Attributes:
        frames_published: Camera frames sent so far.
        arrivals: When each /cmd_vel was sent and when it arrived, by the middleware's clock [ns].
        stamped: For the proposal and the gated topic, (stamp of the frame, when sent) [ns].
        newest_ns: Stamp of the frame behind the newest gated proposal that is open [ns].
        health: Node name to the values that it last gave in /diagnostics.
        reports: How many diagnostics have come from each node.
    """

    def __init__(self, robot: RobotSpec, frames: Sequence[NDArray[np.uint8]],
                 domain_id: int) -> None:
        self._robot = robot
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node('bench_robot', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.frames_published = 0
        self.arrivals: list[tuple[int, int]] = []
        self.stamped: dict[str, list[tuple[int, int]]] = {'proposal': [], 'gated': []}
        self.newest_ns = 0
        self.health: dict[str, Mapping[str, str]] = {}
        self.reports: dict[str, int] = {}
        self.task_state = ''
        self._noting = True
        self._frames = [rgb_to_msg(0, 'head_camera', frame) for frame in frames]
        self._positions = {j.name: j.home for j in robot.joints}
        self._twist = np.zeros(3)
        self._pose = np.zeros(3)  # written by the thread of the sensors alone
        self._camera_on = threading.Event()
        self._ending = threading.Event()
        self._advertise()
        self._subscribe()
        self._threads = [threading.Thread(target=work, daemon=True)
                         for work in (self._film, self._feel)]

    def __enter__(self) -> RobotSide:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ending.set()
        self._camera_on.set()
        for thread in self._threads:
            thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def say(self, text: str) -> None:
        """Give a command."""
        self._words.publish(String(data=text))

    def film(self, is_on: bool) -> None:
        """Start or stop the camera."""
        if is_on:
            self._camera_on.set()
        else:
            self._camera_on.clear()

    def listeners(self) -> tuple[int, int]:
        """How many listen to the camera, and to commands in words."""
        return self._camera.get_subscription_count(), self._words.get_subscription_count()

    def note(self, is_on: bool) -> None:
        """Begin to note arrivals and stamps anew, or note no more."""
        self._noting = is_on
        if not is_on:
            return
        self.arrivals.clear()
        for times in self.stamped.values():
            times.clear()

    def spin_until(self, condition: Callable[[], Any], timeout_s: float, what: str,
                   check: Callable[[], None]) -> None:
        """Receive until something is true.

        Args:
            condition: What is waited for.
            timeout_s: How long at most [s].
            what: What it is, for the error.
            check: Called now and then; raises where a process has died.

        Raises:
            UserError: It did not become true in time.
        """
        deadline_s = time.monotonic() + timeout_s
        check_s = 0.0
        while not condition():
            now = time.monotonic()
            if now > deadline_s:
                raise UserError(f'Waited {timeout_s:g} s in vain for {what}.')
            if now > check_s:
                check()
                check_s = now + 0.5
            self._executor.spin_once(timeout_sec=0.05)

    # --- topics -----------------------------------------------------------------------------

    def _advertise(self) -> None:
        sensors, make = self._robot.sensors, self.node.create_publisher
        self._camera = make(Image, self._robot.cameras['head'].topic, qos.SENSOR_OUTPUT)
        self._out = {name: make(kind, sensors[name].topic, qos.SENSOR_OUTPUT)
                     for name, kind in (('joint_states', JointState), ('imu', Imu),
                                        ('odom', Odometry), ('scan', LaserScan))
                     if name in sensors}
        self._words = make(String, '/vla_command', qos.EVENT)

    def _subscribe(self) -> None:
        # Deep queues: what is noted must be complete, however late this process gets to it.
        deep = QoSProfile(depth=200)
        subscribe = self.node.create_subscription
        subscribe(Twist, '/cmd_vel', self._on_cmd_vel, deep)
        subscribe(JointState, '/joint_commands', self._on_joint_commands, qos.STREAM)
        subscribe(String, '/vla/task_state', self._on_task_state, qos.STATE)
        subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics, deep)
        subscribe(JointState, '/vla/action_proposal', self._on_proposal, deep)
        subscribe(JointState, '/vla/action_gated', self._on_gated, deep)

    def _on_cmd_vel(self, msg: Twist, info: Mapping[str, int]) -> None:
        if self._noting:
            self.arrivals.append((info['source_timestamp'], info['received_timestamp']))
        self._twist = twist_from_msg(msg)

    def _on_joint_commands(self, msg: JointState) -> None:
        self._positions = {**self._positions, **dict(zip(msg.name, msg.position))}

    def _on_task_state(self, msg: String) -> None:
        self.task_state = msg.data

    def _on_proposal(self, msg: JointState, info: Mapping[str, int]) -> None:
        self._note_stamp('proposal', msg, info)

    def _on_gated(self, msg: JointState, info: Mapping[str, int]) -> None:
        if GATE in msg.name and msg.position[list(msg.name).index(GATE)] == 1.0:
            self.newest_ns = to_ns(msg.header.stamp)
        self._note_stamp('gated', msg, info)

    def _note_stamp(self, which: str, msg: JointState, info: Mapping[str, int]) -> None:
        if self._noting:
            self.stamped[which].append((to_ns(msg.header.stamp), info['source_timestamp']))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self.health[status.name] = {v.key: v.value for v in status.values}
            self.reports[status.name] = self.reports.get(status.name, 0) + 1

    # --- sensors ----------------------------------------------------------------------------

    def _film(self) -> None:
        due_s = time.monotonic()
        while not self._ending.is_set():
            self._camera_on.wait()
            due_s = self._sleep_until(due_s + 1 / CAMERA_HZ)
            if not self._camera_on.is_set() or self._ending.is_set():
                continue
            turned = float(self._pose[2]) / (2 * np.pi)
            image = self._frames[round(turned * len(self._frames)) % len(self._frames)]
            image.data[len(image.data) // 2] ^= 1  # of a camera, no two pictures are equal
            image.header.stamp = to_stamp(time.time_ns())
            self._camera.publish(image)
            self.frames_published += 1

    def _feel(self) -> None:
        rng = np.random.default_rng(0)
        due_s, step = time.monotonic(), 0
        while not self._ending.is_set():
            due_s = self._sleep_until(due_s + 1 / JOINTS_HZ)
            step += 1
            self._pose = self._pose + self._twist / JOINTS_HZ
            self._publish_sensors(step, rng)

    def _publish_sensors(self, step: int, rng: np.random.Generator) -> None:
        stamp_ns = time.time_ns()
        noisy = {n: p + 1e-5 * e for (n, p), e in
                 zip(self._positions.items(), rng.standard_normal(len(self._positions)))}
        self._out['joint_states'].publish(joints_to_msg(stamp_ns, noisy))
        if 'imu' in self._out:
            level = ImuReading(stamp_ns, np.array([0.0, 0.0, 0.0, 1.0]),
                               1e-4 * rng.standard_normal(3), np.array([0.0, 0.0, 9.81]))
            self._out['imu'].publish(imu_to_msg(level, 'torso'))
        if 'odom' in self._out and step % ODOM_EVERY == 0:
            self._out['odom'].publish(odometry_to_msg(stamp_ns, self._pose, self._twist))
        if 'scan' in self._out and step % SCAN_EVERY == 0:
            self._out['scan'].publish(scan_to_msg(room_scan(stamp_ns, rng), 'base_link'))

    def _sleep_until(self, due_s: float) -> float:
        """Wait; gives when the next period starts: late ones are dropped, not caught up with."""
        now = time.monotonic()
        if now < due_s:
            self._ending.wait(due_s - now)
            return due_s
        return due_s if now - due_s < 0.01 else now


def room_scan(stamp_ns: int, rng: np.random.Generator) -> ScanReading:
    """Walls four metres away all around, with the noise of a scanner."""
    return ScanReading(stamp_ns, -np.pi, 2 * np.pi / RAYS, 0.05, 8.0,
                       4.0 + 0.01 * rng.standard_normal(RAYS))
