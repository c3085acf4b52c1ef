"""What the integration tests share: the processes, and a probe node beside them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import Trigger

from vla_humanoid_control.graph.bringup import Deployment, NodeEntry
from vla_humanoid_control.graph.bringup import graph as nodes_of
from vla_humanoid_control.graph.processes import ProcessGroup
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import (
    imu_to_msg,
    joints_to_msg,
    odometry_to_msg,
    rgb_to_msg,
    scan_to_msg,
    to_stamp,
    twist_from_msg,
)
from vla_humanoid_control.support.names import folder_of, full_name
from vla_humanoid_control.types import BASE_CHANNELS, ImuReading, ScanReading

ROBOT = load_robot('humanoid')
HERE = Path(__file__).resolve().parent
PERIOD_S = 0.02


def _unspoilt(message: Any) -> Any:
    return message


class Robot:
    """Publishes what a robot would: follows joint commands at once, stands in an empty field.

    Attributes:
        camera_on, joints_on, scan_on: Whether these still come.
        base_on: Whether the base does what it is told; else it stands.
        spoil, spoil_joints, spoil_scan, spoil_imu: Applied to each message before it is sent;
            None sends nothing.
        now_ns: The robot's clock.
        stamp_ns: What its readings are stamped with; that clock, unless set.
        tells_clock: Whether it publishes its clock on /clock.
        pose: Where it has walked: x, y, yaw in the odometry frame [m, m, rad].
    """

    def __init__(self, node: Any, tells_clock: bool = False) -> None:
        self._clock = node.get_clock()
        self._random = np.random.default_rng(0)
        self.mend()
        self.tells_clock = tells_clock
        self.positions = {j.name: j.home for j in ROBOT.joints}
        self.twist = np.zeros(3)
        self.pose = np.zeros(3)
        self._camera = node.create_publisher(Image, ROBOT.cameras['head'].topic, qos.SENSOR_OUTPUT)
        self._out = {name: node.create_publisher(kind, ROBOT.sensors[name].topic,
                                                 qos.SENSOR_OUTPUT)
                     for name, kind in (('joint_states', JointState), ('imu', Imu),
                                        ('odom', Odometry), ('scan', LaserScan))}
        self._clock_out = node.create_publisher(Clock, '/clock', qos.SENSOR_OUTPUT)
        node.create_timer(1 / 30, self._see)
        node.create_timer(1 / 50, self._feel)
        node.create_timer(1 / 10, self._scan)

    def mend(self) -> None:
        """Back to good health."""
        self.camera_on = self.joints_on = self.scan_on = self.base_on = True
        self.spoil: Callable[[Image], Image | None] = _unspoilt
        self.spoil_joints: Callable[[JointState], JointState | None] = _unspoilt
        self.spoil_scan: Callable[[LaserScan], LaserScan | None] = _unspoilt
        self.spoil_imu: Callable[[Imu], Imu | None] = _unspoilt
        self.now_ns: Callable[[], int] = lambda: self._clock.now().nanoseconds
        self.stamp_ns: Callable[[], int] = lambda: self.now_ns()

    def _see(self) -> None:
        if self.camera_on:
            pixels = self._random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            self._send(self._camera, self.spoil(rgb_to_msg(self.stamp_ns(), 'head', pixels)))

    def _feel(self) -> None:
        stamp = self.stamp_ns()
        if self.tells_clock:
            self._clock_out.publish(Clock(clock=to_stamp(self.now_ns())))
        twist = self.twist if self.base_on else np.zeros(3)
        self.pose = self.pose + 0.02 * twist
        if self.joints_on:
            noise = self._random.normal(size=len(self.positions)) * 1e-5
            measured = {n: p + e for (n, p), e in zip(self.positions.items(), noise)}
            self._send(self._out['joint_states'],
                       self.spoil_joints(joints_to_msg(stamp, measured)))
        level = ImuReading(stamp, np.array([0.0, 0, 0, 1]), np.zeros(3), np.array([0, 0, 9.81]))
        self._send(self._out['imu'], self.spoil_imu(imu_to_msg(level, 'torso')))
        self._out['odom'].publish(odometry_to_msg(stamp, self.pose, twist))

    def _scan(self) -> None:
        if self.scan_on:
            scan = ScanReading(self.stamp_ns(), -np.pi, 2 * np.pi / 180, 0.05, 8.0,
                               np.full(180, np.inf))
            self._send(self._out['scan'], self.spoil_scan(scan_to_msg(scan, 'base_link')))

    @staticmethod
    def _send(publisher: Any, message: Any) -> None:
        if message is not None:
            publisher.publish(message)


class GraphUnderTest:
    """Starts processes, plays the robot, and records what the graph says.

    Attributes:
        twists: (steady seconds, float64 [3]) of every base command, by when it was published: what
            it waited for this process does not count.
        targets: Names and positions of every joint command, with its time.
        task_states, safety_states: (time, text) of every one.
        confidences: (time, value).
    """

    def __init__(self, domain_id: int, folder: Path, *, controller: str = '',
                 parameters: Mapping[str, Mapping[str, Any]] | None = None,
                 without: tuple[str, ...] = (), simulated: bool = False,
                 tells_clock: bool = False, robot: str = 'humanoid',
                 namespace: str = '', **chosen: Any) -> None:
        """Make one; `chosen` is what else a person may choose, of `Deployment`."""
        self.domain_id, self.namespace = domain_id, namespace
        self._context = rclpy.Context()
        self.twists: list[tuple[float, np.ndarray]] = []
        self.targets: list[tuple[float, dict[str, float]]] = []
        self.task_states: list[tuple[float, str]] = []
        self.safety_states: list[tuple[float, str]] = []
        self.confidences: list[tuple[float, float]] = []
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        self._ended = False
        self._stalls: list[tuple[float, float]] = []
        self.reported_s: dict[str, float] = {}
        self.log: list[str] = []
        entries = nodes_of(Deployment(**{
            'robot': robot, 'policy': 'scripted', 'simulated': simulated,
            'parameters': parameters or {}, 'namespace': namespace, **chosen}))
        if controller:
            entries = tuple(replace(e, module=controller) if e.name == 'vla_controller' else e
                            for e in entries)
        self.entries = {e.name: e for e in entries if e.name not in without}
        self._simulated, self._tells_clock = simulated, tells_clock
        self.processes = ProcessGroup(
            tuple(self.entries.values()), folder_of(namespace, folder) / 'graph.log',
            echo=self.log.append,
            extra_environment={'ROS_DOMAIN_ID': str(domain_id), 'ROS_HOME': str(folder / 'ros'),
                               'PYTHONPATH': os.pathsep.join((str(HERE), *sys.path))})

    def __enter__(self) -> GraphUnderTest:
        rclpy.init(context=self._context, domain_id=self.domain_id)
        self.node = rclpy.create_node('probe', context=self._context,
                                      namespace=self.namespace or None)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._subscribe()
        if not self._simulated:
            self.robot = Robot(self.node, self._tells_clock)
        self._words = self.node.create_publisher(String, 'vla_command', qos.EVENT)
        self._button = self.node.create_publisher(Bool, 'emergency_stop', qos.EVENT)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch_the_machine, daemon=True).start()
        self.processes.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.processes.stop()
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _subscribe(self) -> None:
        def record(kind: Any, topic: str, profile: Any,
                   keep: Callable[[float, Any], None]) -> None:
            self.node.create_subscription(kind, topic, lambda m: keep(time.monotonic(), m),
                                          profile)
        # Deep queues: a test that lags behind on a busy machine must still see every command.
        every = QoSProfile(depth=500)
        self.base = self.listen_as_base()
        record(JointState, 'joint_commands', every, self._on_joints)
        record(String, 'vla/task_state', qos.STATE,
               lambda t, m: self.task_states.append((t, m.data)))
        record(String, 'safety/state', qos.STATE,
               lambda t, m: self.safety_states.append((t, m.data)))
        record(Float32, 'vla_confidence', qos.STREAM,
               lambda t, m: self.confidences.append((t, m.data)))
        record(DiagnosticArray, 'diagnostics', qos.EVENT, self._on_diagnostics)

    def listen_as_base(self) -> Subscription:
        """Listen to /cmd_vel, and do what it says."""
        # On Humble, rclpy does not tell when a message was sent.
        tells = hasattr(Subscription, 'CallbackType')
        return self.node.create_subscription(
            Twist, 'cmd_vel', self._on_twist if tells else
            lambda m: self._on_twist(m, {'source_timestamp': time.time_ns()}),
            QoSProfile(depth=500))

    def _on_diagnostics(self, now: float, msg: DiagnosticArray) -> None:
        for entry in msg.status:
            name = entry.name.rpartition('/')[2]
            self.reported_s[name] = now
            self.diagnostics[name] = entry

    def _on_twist(self, msg: Twist, info: Mapping[str, int]) -> None:
        twist = twist_from_msg(msg)
        waited_s = (time.time_ns() - info['source_timestamp']) * 1e-9
        self.twists.append((time.monotonic() - waited_s, twist))
        if not self._simulated:
            self.robot.twist = twist

    def _on_joints(self, now: float, msg: JointState) -> None:
        targets = dict(zip(msg.name, msg.position))
        self.targets.append((now, targets))
        if not self._simulated:
            self.robot.positions.update(targets)

    # --- what a test does and asks ----------------------------------------------------------

    def wait_for(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> float:
        """Wait until a condition holds; gives the time that it took [s]."""
        began = time.monotonic()
        while not condition():
            assert self._thread.is_alive(), 'the probe has come to an end; its error is above'
            if time.monotonic() - began > timeout_s:
                raise AssertionError(f'{what}: not within {timeout_s} s. Safety: {self.safety!r}, '
                                     f'task: {self.task!r}. Log:\n' + '\n'.join(self.log[-30:]))
            time.sleep(0.005)
        return time.monotonic() - began

    def wait_until_ready(self) -> None:
        """All nodes are up, have found each other, and hold."""
        def holds() -> bool:
            self.processes.check()
            return self.safety.startswith('HOLD')
        self.wait_for(holds, 'safety holds', 90.0)
        self.wait_for(lambda: self.task == 'IDLE', 'the controller is idle')
        self.wait_for(lambda: self._words.get_subscription_count() == 1
                      and self._button.get_subscription_count() == 2, 'discovery')

    def wait_until_restarted(self) -> None:
        """As `wait_until_ready`, where a task, or what a dead process offered, may be left."""
        def hears() -> bool:
            self.say('stop')
            self.pause(0.1)
            return self.task.startswith('DONE: stop')
        self.wait_for(hears, 'the controller hears')
        self.settle()

    def say(self, words: str) -> None:
        """A person gives a command."""
        self._words.publish(String(data=words))

    def say_raw(self, serialized: bytes) -> None:
        """Publish a command as it goes over the wire, for what no String could hold."""
        self._words.publish(serialized)

    @property
    def misbehaved_s(self) -> list[float]:
        """When the faulty policy began to misbehave, on the steady clock [s]."""
        return [float(line.split()[-1]) for line in self.log if 'misbehaves at' in line]

    def press(self, pressed: bool) -> None:
        """A person presses or releases the emergency stop."""
        self._button.publish(Bool(data=pressed))

    def walk(self) -> None:
        """Get the robot to walk forward at some speed."""
        self.say('walk forward')
        self.wait_for(lambda: self.speed > 0.2, 'the robot walks')

    def walk_on(self) -> None:
        """Get the robot to walk forward at 0.3 m/s for as long as it is let; needs the faulty
        policy.
        """
        self.say('walk endlessly')
        self.wait_for(lambda: self.speed > 0.299, 'the robot walks')

    def pause(self, seconds: float) -> None:
        """Let time pass: what is looked at is what happens meanwhile, or does not."""
        until = time.monotonic() + seconds
        self.wait_for(lambda: time.monotonic() >= until, 'time passes', seconds + 1.0)

    def settle(self) -> None:
        """Undo what a test has done: all is well, nothing is asked for, the robot holds."""
        self.robot.mend()
        self.press(False)
        self.say('stop')
        self.wait_for(lambda: self.task.startswith(('IDLE', 'DONE: stop')), 'the task has ended')
        if self.safety.startswith('ESTOP'):
            self.wait_for(lambda: self.reset()[0], 'the reset is accepted')
        self.wait_for(lambda: self.safety.startswith('HOLD') and 'reset' not in self.safety
                      and self.is_at_rest(), 'it holds')

    def forget(self) -> None:
        """Begin to record anew; what was last said of task and safety stays."""
        self.twists.clear()
        self.targets.clear()
        self.confidences.clear()
        self.diagnostics.clear()
        self.task_states[:-1] = []
        self.safety_states[:-1] = []
        self.log.clear()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a node's process."""
        self.processes.processes[name].send_signal(number)

    def start(self, name: str) -> None:
        """Start a node again."""
        self.processes.start(self.entries[name])

    def entry(self, name: str) -> NodeEntry:
        """How a node is started."""
        return self.entries[name]

    def call(self, kind: Any, name: str, request: Any = None) -> Any:
        """Call a service of this graph."""
        client = self.node.create_client(kind, full_name(name, self.namespace))
        assert client.wait_for_service(10.0), name
        future = client.call_async(request if request is not None else kind.Request())
        self.wait_for(future.done, name)
        self.node.destroy_client(client)
        return future.result()

    def drop(self, entity: Publisher | Subscription) -> None:
        """Destroy a publisher or subscription of the probe, in the thread that spins it.

        In another thread it might vanish while rclpy waits for it, which ends the spinning.
        """
        destroy = self.node.destroy_publisher if isinstance(entity, Publisher) \
            else self.node.destroy_subscription
        self.wait_for(self._executor.create_task(destroy, entity).done, 'it is destroyed')

    def reset(self) -> tuple[bool, str]:
        """Call `/safety/reset`."""
        answer = self.call(Trigger, '/safety/reset')
        return answer.success, answer.message

    def set(self, node: str, name: str, value: Any) -> tuple[bool, str]:
        """Set a parameter of a node."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value)
                                                    .to_parameter_msg()])
        result = self.call(SetParameters, f'/{node}/set_parameters', request).results[0]
        return result.successful, result.reason

    def change_state(self, node: str, transition: str) -> bool:
        """Take a node through a lifecycle transition."""
        request = ChangeState.Request()
        request.transition.label = transition
        return self.call(ChangeState, f'/{node}/change_state', request).success

    @property
    def safety(self) -> str:
        """The newest safety state, with its reason."""
        return self.safety_states[-1][1] if self.safety_states else ''

    @property
    def task(self) -> str:
        """The newest task state."""
        return self.task_states[-1][1] if self.task_states else ''

    def health(self, node: str) -> str:
        """What a node last said of itself in `/diagnostics`; empty before it did."""
        return self.diagnostics[node].message if node in self.diagnostics else ''

    def counter(self, node: str, key: str) -> tuple[()] | tuple[float, int]:
        """When a node last reported, and a count of its diagnostics then; () before it did."""
        if node not in self.diagnostics:
            return ()
        values = {v.key: v.value for v in self.diagnostics[node].values}
        return self.reported_s[node], int(values[key])

    def value(self, node: str, key: str) -> str:
        """A value of a node's last diagnostics; empty where there is none."""
        values = self.diagnostics[node].values if node in self.diagnostics else ()
        return next((v.value for v in values if v.key == key), '')

    def count(self, node: str, key: str) -> int:
        """A count of a node's last diagnostics; 0 before there is one."""
        return int(self.value(node, key) or 0)

    def count_now(self, node: str, key: str) -> int:
        """As `count`, from diagnostics that are yet to come."""
        self.diagnostics.pop(node, None)
        self.wait_for(lambda: node in self.diagnostics, 'diagnostics')
        return self.count(node, key)

    @property
    def speed(self) -> float:
        """Greatest component of the newest base command."""
        return float(np.abs(self.twists[-1][1]).max()) if self.twists else 0.0

    def is_at_rest(self) -> bool:
        """The last ten base commands were exactly zero, and the last is new."""
        recent = self.twists[-10:]
        return (len(recent) == 10 and time.monotonic() - recent[-1][0] < 0.2
                and all(not t.any() for _, t in recent))

    def slack_s(self, since: float) -> float:
        """How late a reaction may be: 1 s, and what other processes took from this machine.

        A reaction passes through several processes, each of which waits for the machine. The 0.1 s
        that are required at the 99th percentile are measured, by `make faults`.
        """
        return 1.0 + 4 * max((late for t, late in self._stalls if t >= since - 0.2), default=0.0)

    def _watch_the_machine(self) -> None:
        while not self._ended:
            began = time.monotonic()
            time.sleep(0.01)
            now = time.monotonic()
            self._stalls.append((now, now - began - 0.01))

    def stopping_began_after(self, since: float) -> float:
        """How long after `since` the base command first got smaller [s]."""
        speeds = [(t, float(np.linalg.norm(v))) for t, v in self.twists if t >= since - 0.1]
        top = max(s for _, s in speeds)
        last_at_top = max(t for t, s in speeds if s >= top - 1e-3)
        return last_at_top - since

    def assert_within_limits(self) -> None:
        """Every command that was published is finite and within limits: base commands within
        velocity and acceleration, joint commands within position and velocity.
        """
        self._assert_joints_within_limits()
        limits = [ROBOT.base[c] for c in BASE_CHANNELS]
        recorded = list(self.twists)  # more may come meanwhile
        twists = np.array([t for _, t in recorded])
        assert np.isfinite(twists).all()
        assert (np.abs(twists) <= np.array([m.velocity for m in limits]) * (1 + 1e-6)).all()
        steps = np.abs(np.diff(twists, axis=0))
        # Only the newest command counts, so a busy machine skips some: the next one stands for all
        # periods since. Those show as gaps between arrivals, of this one or of one before it.
        gaps = np.diff([t for t, _ in recorded])
        before = np.max([np.roll(gaps, n) for n in (1, 2, 3)], axis=0)
        span_s = np.maximum(2 * PERIOD_S, gaps + before)[:, None]
        assert (steps <= span_s * np.array([m.acceleration for m in limits]) + 1e-6).all()
        assert np.median(steps.max(axis=1)) <= max(m.acceleration for m in limits) * PERIOD_S

    def _assert_joints_within_limits(self) -> None:
        targets = list(self.targets)
        if not targets:
            return
        joints = ROBOT.controlled
        positions = np.array([[t[j.name] for j in joints] for _, t in targets])
        # NaN is not between the limits either.
        assert (positions >= np.array([j.lower for j in joints]) - 1e-9).all()
        assert (positions <= np.array([j.upper for j in joints]) + 1e-9).all()
        gaps = np.diff([t for t, _ in targets])
        if len(gaps) < 4:
            return
        # As for the base: a listener that had to wait sees several periods at once.
        before = np.max([np.roll(gaps, n) for n in (1, 2, 3)], axis=0)
        span_s = np.maximum(2 * PERIOD_S, gaps + before)[:, None]
        top = np.array([j.motion.velocity for j in joints])
        assert (np.abs(np.diff(positions, axis=0)) <= span_s * top + 1e-6).all()

    def has_stopped_for(self, reason: str) -> bool:
        """Whether safety said STOP with this reason: on its topic, or in its log.

        The topic keeps one state only, and a listener that had to wait may have missed one.
        """
        return any(s.startswith('STOP') and reason in s for _, s in self.safety_states) \
            or any('STOP: ' in line and reason in line for line in list(self.log))
