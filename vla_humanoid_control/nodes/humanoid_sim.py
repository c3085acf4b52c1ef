"""Node: the simulated robot, with the topics that a real one would have."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_humanoid_control.nodes.simulator_parameters import SimulatorParameters
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.joint_commands import (
    ARRAY_COMMANDS_GOES,
    JointCommand,
)
from vla_humanoid_control.ros.managed import OK, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.messages import (
    MessageError,
    imu_to_msg,
    joints_to_msg,
    odometry_to_msg,
    rgb_to_msg,
    scan_to_msg,
    to_stamp,
)
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.ros.robot_commands import base_command, joint_command
from vla_humanoid_control.ros.topics import OUTSIDE_TOPIC
from vla_humanoid_control.simulation.camera import Camera
from vla_humanoid_control.simulation.camera_noise import CameraNoise
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError

STEP_S = 0.01
ODOM_EVERY, TRUTH_EVERY, SCAN_EVERY = 2, 5, 10  # steps


class HumanoidSim(ManagedNode):
    """Runs the world in real time; publishes what sensors see and follows commands.

    A robot on legs walks by its own walking policy, here as on the real machine: /cmd_vel says how
    fast. When no command comes for the robot file's `command_timeout_s`, the base stops, on the
    steady clock. Drawing happens in a thread of its own on a copy of the state, so it never delays
    the physics.

    Subscribers:
        cmd_vel (geometry_msgs/Twist, or TwistStamped)
        joint_commands (sensor_msgs/JointState, std_msgs/Float64MultiArray, or
            trajectory_msgs/JointTrajectory of one point)

    Publishers:
        camera topics of the robot file (sensor_msgs/Image, rgb8)
        joint_states (JointState), imu/data (Imu) and /clock at 100 Hz, odom at 50 Hz,
        scan (LaserScan) at 10 Hz
        humanoid_sim/task_truth (std_msgs/String): JSON, for evaluation only

    Services:
        humanoid_sim/reset (std_srvs/Trigger): arrange the scene of the parameters `scene_*`
        humanoid_sim/watch (std_srvs/Trigger): judge its task from now on, in the scene as it is

    Parameters: `SimulatorParameters`.
    """

    def __init__(self) -> None:
        super().__init__('humanoid_sim')
        self._settings = Parameters(self, SimulatorParameters)

    def configure(self) -> None:
        p = self._settings.value
        robot = load_robot(p.robot)
        self._controlled = tuple(j.name for j in robot.controlled)
        self._lock = threading.Lock()  # model and data of the world
        self._world = World(robot)
        # Stamps follow the wall clock at the start and never go back at a reset, so that nodes
        # with and without `use_sim_time` understand them.
        self._epoch_ns = time.time_ns()
        self._scenes = 0
        self._monitor: TaskMonitor | None = None
        self._command: tuple[float, np.ndarray] = (float('-inf'), np.zeros(3))
        self._silent = True
        self._problem = ''
        self._counts = {'steps': 0, 'late_steps': 0, 'frames': 0, 'commands_rejected': 0,
                        'watchdog_stops': 0}
        self._arrange()
        sensors = robot.sensors
        self._trunk = '' if robot.simulation is None else robot.simulation.trunk
        self._clock_out = self.advertise(Clock, '/clock', qos.SENSOR_OUTPUT)
        self._joints_out = self.advertise(JointState, sensors['joint_states'].topic,
                                          qos.SENSOR_OUTPUT)
        self._imu_out = self._sensor(Imu, 'imu')
        self._odom_out = self._sensor(Odometry, 'odom')
        self._scan_out = self._sensor(LaserScan, 'scan')
        self._truth_out = self.advertise(String, 'humanoid_sim/task_truth', qos.STREAM)
        views = {name: (sensor.topic, p.camera_rate_hz) for name, sensor in robot.cameras.items()}
        if p.outside_rate_hz:
            views['outside'] = (OUTSIDE_TOPIC, p.outside_rate_hz)
        self._views = {name: (self.advertise(Image, topic, qos.SENSOR_OUTPUT), rate)
                       for name, (topic, rate) in views.items()}
        self.subscribe(TwistStamped if p.stamped_twist else Twist, 'cmd_vel', self._on_twist,
                       qos.STREAM)
        self._joint_form = p.joint_commands()
        self.subscribe(self._joint_form.kind, 'joint_commands', self._on_joints, qos.STREAM)
        if p.array_commands:
            self.get_logger().warning(ARRAY_COMMANDS_GOES)
        self.serve(Trigger, 'humanoid_sim/reset', self._on_reset)
        self.serve(Trigger, 'humanoid_sim/watch', self._on_watch)

    def _sensor(self, kind: Any, name: str) -> Any:
        sensor = self._robot_sensors.get(name)
        return self.advertise(kind, sensor.topic, qos.SENSOR_OUTPUT) if sensor else None

    @property
    def _robot_sensors(self) -> Mapping[str, Any]:
        return self._world.robot.sensors

    def activate(self) -> None:
        self._stepped_s = time.monotonic()
        self._ending = threading.Event()
        self._camera_error: UserError | None = None
        ready = threading.Event()
        self._painter = threading.Thread(target=self._paint, args=(ready,), name='camera',
                                         daemon=True)
        self._painter.start()
        ready.wait()
        if self._camera_error:
            raise self._camera_error
        self.every(STEP_S, self._tick)

    def deactivate(self) -> None:
        self._ending.set()
        self._painter.join()

    def release(self) -> None:
        if hasattr(self, '_world'):
            self._world.close()

    # --- commands ---------------------------------------------------------------------------

    def _on_twist(self, msg: Twist | TwistStamped) -> None:
        try:
            self._command = (time.monotonic(), base_command(msg))
        except MessageError as error:
            self._refuse(str(error))

    def _on_joints(self, msg: JointCommand) -> None:
        try:
            targets = joint_command(msg, self._joint_form, self._controlled)
        except MessageError as error:
            self._refuse(str(error))
            return
        with self._lock:
            self._world.apply(self._command[1], targets)

    def _refuse(self, problem: str) -> None:
        self._counts['commands_rejected'] += 1
        self._problem = problem
        self.warn('command', problem)

    # --- physics ----------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._painter.is_alive():
            raise RuntimeError('the camera thread has ended; its error is above')
        now = time.monotonic()
        # As many steps as time has passed; what the machine cannot catch up with is dropped.
        steps = int((now - self._stepped_s) / STEP_S)
        if steps > 5:
            self._counts['late_steps'] += steps - 5
            self._stepped_s += (steps - 5) * STEP_S
            steps = 5
        self._stepped_s += steps * STEP_S
        for _ in range(steps):
            with self._lock:
                self._world.apply(self._twist(now), {})
                self._world.advance(STEP_S)
                if self._monitor and self._counts['steps'] % 2 == 0:
                    self._monitor.update(self._world)
            self._counts['steps'] += 1
            self._publish(self._counts['steps'])

    def _twist(self, now: float) -> np.ndarray:
        heard_s, twist = self._command
        silent = now - heard_s > self._world.robot.command_timeout_s
        if silent and not self._silent:
            self._counts['watchdog_stops'] += 1
            self.get_logger().warning('no base command; the base stops')
        self._silent = silent
        return np.zeros(3) if silent else twist

    def _stamp_ns(self) -> int:
        return self._epoch_ns + self._world.stamp_ns

    def _publish(self, step: int) -> None:
        # The lock also while measuring: ray casts use the scratch memory that the camera's copy
        # of the state finds in use otherwise.
        with self._lock:
            world, stamp_ns = self._world, self._stamp_ns()
            joints, imu, odometry = world.joint_reading(), world.imu_reading(), world.odometry()
            scan = world.scan_reading() if step % SCAN_EVERY == 0 else None
            truth = self._truth() if step % TRUTH_EVERY == 0 else None
        self._clock_out.publish(Clock(clock=to_stamp(stamp_ns)))
        self._joints_out.publish(joints_to_msg(stamp_ns, joints.positions, joints.velocities))
        if self._imu_out:
            self._imu_out.publish(imu_to_msg(replace(imu, stamp_ns=stamp_ns), self._trunk))
        if self._odom_out and step % ODOM_EVERY == 0:
            self._odom_out.publish(odometry_to_msg(stamp_ns, *odometry, world.robot.base_frame))
        if self._scan_out and scan:
            self._scan_out.publish(scan_to_msg(replace(scan, stamp_ns=stamp_ns),
                                               world.robot.base_frame))
        if truth:
            self._truth_out.publish(String(data=json.dumps(truth)))

    def _truth(self) -> dict[str, Any]:
        world, monitor = self._world, self._monitor
        pose, twist = world.odometry()
        truth: dict[str, Any] = {'scene': self._scenes, 'time_s': round(world.time_s, 3),
                                 'pose': pose.round(4).tolist(),
                                 'twist': twist.round(4).tolist(), 'task': None}
        if monitor is not None:
            truth.update(task=monitor.task.key, success=bool(monitor.success(world)),
                         settle_s=monitor.settle_s,
                         knocked_over=bool(monitor.knocked_over(world)))
        if world.robot.walks:
            truth['fallen'] = world.fallen
        return truth

    # --- drawing ----------------------------------------------------------------------------

    def _paint(self, ready: threading.Event) -> None:
        import mujoco  # `world` decides first what it draws with

        p = self._settings.value
        try:  # a drawing context belongs to the thread that made it
            camera = Camera(self._world.model, p.camera_width, p.camera_height)
        except UserError as error:
            self._camera_error = error
            return
        finally:
            ready.set()
        data, noise = mujoco.MjData(self._world.model), CameraNoise(0)
        due = dict.fromkeys(self._views, time.monotonic())
        try:
            while not self._ending.is_set():
                name = min(due, key=due.__getitem__)
                publisher, rate = self._views[name]
                now = time.monotonic()
                if now < due[name]:
                    self._ending.wait(due[name] - now)
                    continue
                due[name] = max(due[name] + 1.0 / rate, now)
                with self._lock:
                    mujoco.mj_copyData(data, self._world.model, self._world.data)
                    stamp_ns = self._stamp_ns()
                image = camera.render(data, name)
                if name != 'outside':  # which is no sensor of the robot
                    image = noise.on(image)
                publisher.publish(rgb_to_msg(stamp_ns, f'{name}_camera', image))
                self._counts['frames'] += 1
        finally:
            camera.close()

    # --- scenes -----------------------------------------------------------------------------

    def _arrange(self) -> None:
        asked = self._settings.value
        seed, task, setting = asked.scene_seed, asked.task(), asked.setting()
        with self._lock:
            self._epoch_ns += self._world.stamp_ns
            # The robot enters the scene as it stands: its controllers know of no reset, and would
            # drive it back to the posture that they hold.
            self._world.reset(seed, task, self._world.joint_targets(), setting)
            self._monitor = TaskMonitor(task, self._world) if task else None
        self._scenes += 1

    def _on_reset(self, _request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        return _answered(answer, self._arrange)

    def _on_watch(self, _request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        def watch() -> None:
            task = self._settings.value.task()
            with self._lock:
                self._monitor = TaskMonitor(task, self._world) if task else None
        return _answered(answer, watch)

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        if self._world.fallen:
            return Health(WARN, 'the robot has fallen', self._counts)
        if self._problem:
            return Health(WARN, self._problem, self._counts)
        return Health(OK, 'no base command' if self._silent else '', self._counts)


def _answered(answer: Trigger.Response, work: Any) -> Trigger.Response:
    try:
        work()
        answer.success, answer.message = True, ''
    except UserError as error:
        answer.success, answer.message = False, str(error)
    return answer


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(HumanoidSim, args)


if __name__ == '__main__':
    main()
