"""Node: the last gate, and the only publisher of what the robot is told."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, JointState, LaserScan
from std_msgs.msg import Empty, String
from std_srvs.srv import Trigger

from vla_humanoid_control.channels import ChannelError, decode_gated
from vla_humanoid_control.perception.image_decoding import ImageError
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import messages, qos
from vla_humanoid_control.ros.button import Button
from vla_humanoid_control.ros.cameras import subscribe_cameras
from vla_humanoid_control.ros.command_peers import CMD_VEL, JOINT_COMMANDS, CommandPeers
from vla_humanoid_control.ros.depth_camera import DepthCamera
from vla_humanoid_control.ros.joint_commands import (
    ARRAY_COMMANDS_GOES,
    JOINT_STATE,
    JointCommandForm,
    command_form,
)
from vla_humanoid_control.ros.latch_file import LatchFile, LatchMemory
from vla_humanoid_control.ros.managed import ERROR, OK, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.state_text import safety_line
from vla_humanoid_control.support.bounds import bounded, check_bounds, fixed
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.loop_timing import LoopTiming
from vla_humanoid_control.support.names import beside
from vla_humanoid_control.types import Command, SafetyState

RESET = 'safety/reset'
FOREIGN_PERIOD_S = 0.1
LISTENERS_PERIOD_S = 0.2
STATE_PERIOD_S = 1.0
USERS_PERIOD_S = 2.0
LONGEST_STOP_S = 3.0
LEVELS = {SafetyState.RUN: OK, SafetyState.HOLD: OK, SafetyState.SLOW: WARN,
          SafetyState.STOP: ERROR, SafetyState.ESTOP: ERROR}


@dataclass(frozen=True)
class MonitorParameters:
    """Parameters of `safety_monitor` beyond its thresholds.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        compressed: Whether the cameras, where they are watched, are heard on their .../compressed
            topics; as in `vla_controller`, so give it to both, below `/**`.
        stamped_twist: Publish /cmd_vel as TwistStamped.
        joint_command_type: What /joint_commands is: joint_state for a JointState; array for a
            Float64MultiArray, as `forward_command_controller` takes it, in the order of the
            controlled joints of the robot file; trajectory for a JointTrajectory of one point, as
            `joint_trajectory_controller` takes it.
        array_commands: Former name of `joint_command_type` array; goes with the next release.
        remember_latch: Whether an emergency stop outlives this process: it then comes up latched.
        depth_heights: Only what depth sees between these heights above the ground is an
            obstacle [m].
    """

    robot: str = fixed('humanoid')
    compressed: bool = fixed(False)
    stamped_twist: bool = fixed(False)
    joint_command_type: str = fixed(JOINT_STATE)
    array_commands: bool = fixed(False)
    remember_latch: bool = fixed(True)
    depth_heights: tuple[float, ...] = bounded((0.05, 1.5), -10.0, 10.0, at_start=True)

    def __post_init__(self) -> None:
        check_bounds(self)
        self.joint_commands()
        if len(self.depth_heights) != 2:
            raise ValueError('depth_heights must have 2 numbers')
        if not self.depth_heights[0] < self.depth_heights[1]:
            raise ValueError('depth_heights must be a lower and a higher one, got '
                             f'{self.depth_heights[0]:g} and {self.depth_heights[1]:g}')

    def joint_commands(self) -> JointCommandForm:
        """The form of /joint_commands."""
        return command_form(self.joint_command_type, self.array_commands)


class SafetyMonitor(ManagedNode):
    """Turns gated proposals into bounded commands, continuously, whatever arrives or does not.

    Subscribers:
        vla/action_gated (sensor_msgs/JointState): see `channels`
        sensors of the robot file: joint_states, scan, imu, odom, depth with its camera_info
        emergency_stop (std_msgs/Bool): true latches, false says that the button is out again
        safety/heartbeat (std_msgs/Empty): only where `heartbeat_timeout_s` is set

    Publishers:
        cmd_vel (geometry_msgs/Twist, or TwistStamped) at `rate_hz`
        joint_commands (by `joint_command_type`) at `rate_hz`
        safety/state (std_msgs/String): 'STATE: reason' on change and at 1 Hz, latched

    Services:
        safety/emergency_stop, safety/reset (std_srvs/Trigger)

    Parameters: `MonitorParameters`, and `SafetyConfig` below `safety.`.
    """

    def __init__(self) -> None:
        super().__init__('safety_monitor')
        self._supervisor: SafetySupervisor | None = None
        self._settings = Parameters(self, MonitorParameters)
        self._thresholds = Parameters(self, SafetyConfig, prefix='safety.',
                                      veto=self._judge_thresholds,
                                      apply=self._set_thresholds)

    def _judge_thresholds(self, config: SafetyConfig, names: frozenset[str]) -> str:
        changes = {name: getattr(config, name) for name in names}
        return self._supervisor.refusal(changes, time.monotonic()) if self._supervisor else ''

    def _set_thresholds(self, config: SafetyConfig, names: frozenset[str]) -> None:
        if self._supervisor is None:
            return
        changes = {name: getattr(config, name) for name in names}
        self._supervisor.configure(changes, time.monotonic())
        if config.watch_cameras:
            self._watch_cameras()

    def configure(self) -> None:
        p, config = self._settings.value, self._thresholds.value
        self._robot = robot = load_robot(p.robot)
        self._joint_names = frozenset(j.name for j in robot.controlled)
        self._latch = LatchMemory(LatchFile.of(robot.name, self.context, self.get_namespace())
                                  if p.remember_latch else None)
        self._loop = LoopTiming(1.0 / config.rate_hz)
        self._depth = DepthCamera((p.depth_heights[0], p.depth_heights[1]))
        self._announced: tuple[str, float] = ('', 0.0)
        self._state = SafetyState.STOP
        self._worst_check_s = 0.0
        self._twists = self.advertise(TwistStamped if p.stamped_twist else Twist, CMD_VEL,
                                      qos.STREAM)
        self._joint_form = p.joint_commands()
        self._joint_targets = self.advertise(self._joint_form.kind, JOINT_COMMANDS, qos.STREAM)
        self._peers = CommandPeers(self, robot, self._twists, self._joint_targets)
        if p.array_commands:
            self.get_logger().warning(ARRAY_COMMANDS_GOES)
        self._states = self.advertise(String, 'safety/state', qos.STATE)
        self._supervise()
        self._listen(config)

    def _supervise(self) -> None:
        """Begin with a new supervisor: stopped, and latched if the last one ended so."""
        config = self._thresholds.value
        if reason := self._latch.reason:
            self.get_logger().warning(f'latched before: {reason}; reset to begin')
            config = config.replace({'start_latched': True})
        self._supervisor = SafetySupervisor(self._robot, config, time.monotonic())

    def _listen(self, config: SafetyConfig) -> None:
        sensors = self._robot.sensors
        self.subscribe(JointState, 'vla/action_gated', self._on_gated, qos.STREAM)
        Button(self, self._on_button)
        self.subscribe(Empty, 'safety/heartbeat', self._on_heartbeat, qos.STREAM)
        self.serve(Trigger, 'safety/emergency_stop', self._on_stop_service)
        self.serve(Trigger, RESET, self._on_reset)
        for name, kind, callback in (('joint_states', JointState, self._on_joints),
                                     ('scan', LaserScan, self._on_scan),
                                     ('imu', Imu, self._on_imu),
                                     ('odom', Odometry, self._on_odom),
                                     ('depth', Image, self._on_depth)):
            if name in sensors:
                self.subscribe(kind, sensors[name].topic, callback, qos.SENSOR_INPUT)
        if 'depth' in sensors:
            self.subscribe(CameraInfo, beside(sensors['depth'].topic, 'camera_info'),
                           self._depth.on_info, qos.SENSOR_INPUT)
        self._watches_cameras = False
        if config.watch_cameras:
            self._watch_cameras()

    def _watch_cameras(self) -> None:
        """Subscribe to the cameras, at start or when a person asks for it later."""
        if self._watches_cameras:
            return
        self._watches_cameras = True
        subscribe_cameras(self, self._robot, self._robot.cameras,
                          self._settings.value.compressed, self._on_camera)

    def activate(self) -> None:
        self.supervisor.begin(time.monotonic())
        self._look_for_listeners()
        self._loop.begin(time.monotonic())
        self.every(self._loop.period_s, self._tick)
        self.every(FOREIGN_PERIOD_S, self._look_for_foreign_publishers)
        self.every(USERS_PERIOD_S, self._look_for_other_users)
        self.every(LISTENERS_PERIOD_S, self._look_for_listeners)

    def deactivate(self) -> None:
        """Bring the robot to rest before falling silent."""
        began_s = due_s = time.monotonic()
        self.supervisor.stop('safety monitor is being deactivated', began_s)
        while not self.supervisor.at_rest and due_s - began_s < LONGEST_STOP_S:
            self._publish(self.supervisor.step(due_s))
            due_s += self._loop.period_s
            time.sleep(max(0.0, due_s - time.monotonic()))
        self._publish(self.supervisor.step(due_s))
        # The last word stays with late joiners: it must not be a state of a gate that watches.
        state = SafetyState.ESTOP if self._state is SafetyState.ESTOP else SafetyState.STOP
        self._states.publish(String(data=safety_line(state, 'safety monitor is not active')))
        self._announced = ('', float('-inf'))

    def release(self) -> None:
        self._supervisor = None  # thresholds that are set from now on are for the next one

    @property
    def supervisor(self) -> SafetySupervisor:
        """The supervisor; there is one from `configure` on."""
        if self._supervisor is None:
            raise UserError('safety_monitor is not configured')
        return self._supervisor

    # --- inputs: convert, hand over, return -------------------------------------------------

    def _now(self) -> float:
        now = time.monotonic()
        robot_now_ns = self.now_ns()
        if robot_now_ns > 0:  # 0 under use_sim_time until /clock was heard
            self.supervisor.on_clock(robot_now_ns, now)
        return now

    def _on_gated(self, msg: JointState) -> None:
        now = self._now()
        try:
            channels = messages.channels_from_msg(msg)
            self.supervisor.on_gated(decode_gated(channels, self._joint_names), now)
        except ChannelError as error:
            self._reject('gated', error, now)

    def _on_joints(self, msg: JointState) -> None:
        now = self._now()
        try:
            self.supervisor.on_joint_states(messages.joints_from_msg(msg), now)
        except messages.MessageError as error:
            self._reject('joint_states', error, now)

    def _on_scan(self, msg: LaserScan) -> None:
        now = self._now()
        try:
            self.supervisor.on_scan(messages.scan_from_msg(msg), now)
        except messages.MessageError as error:
            self._reject('scan', error, now)

    def _on_imu(self, msg: Imu) -> None:
        now = self._now()
        try:
            self.supervisor.on_imu(messages.imu_from_msg(msg), now)
        except messages.MessageError as error:
            self._reject('imu', error, now)

    def _on_odom(self, msg: Odometry) -> None:
        odometry = messages.odometry_from_msg(msg)
        self.supervisor.on_odom(odometry.twist, self._now(), odometry.stamp_ns, odometry.pose)

    def _on_depth(self, msg: Image) -> None:
        now, supervisor = self._now(), self.supervisor
        try:
            points = self._depth.points(msg, supervisor.obstacles,
                                        supervisor.config.min_valid_fraction)
        except (ImageError, messages.MessageError) as error:
            self._reject('depth', error, now)
            return
        supervisor.on_depth(points, messages.to_ns(msg.header.stamp), now, zlib.crc32(msg.data))

    def _on_camera(self, camera: str, msg: Image | CompressedImage) -> None:
        self.supervisor.on_camera(camera, messages.to_ns(msg.header.stamp), zlib.crc32(msg.data),
                                  self._now())

    def _reject(self, source: str, error: Exception, now: float) -> None:
        self.warn(source, f'{source} rejected: {error}')
        self.supervisor.on_rejected(source, str(error), now)

    def _on_button(self, pressed: bool) -> None:
        self._press(pressed, 'topic')

    def _on_heartbeat(self, _msg: Empty) -> None:
        self.supervisor.on_heartbeat(time.monotonic())

    def _on_stop_service(self, _request: Trigger.Request,
                         answer: Trigger.Response) -> Trigger.Response:
        self._press(True, 'service')
        # A call is a push of a button, and not a button that stays pushed.
        self._press(False, 'service')
        answer.success = True
        answer.message = f'Latched; {self.resolve_service_name(RESET)} releases it.'
        return answer

    def _press(self, pressed: bool, source: str) -> None:
        self.supervisor.emergency_stop(pressed, source, time.monotonic())
        if pressed:  # here too, as there may be no loop: the node need not be active
            self._remember(safety_line(SafetyState.ESTOP, f'emergency stop ({source})'))

    def _on_reset(self, _request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        answer.success, answer.message = self.supervisor.reset(time.monotonic())
        if answer.success:
            self._remember('')
            if self.is_active:  # who hears of it may command at once, and must not be refused
                self._publish(self.supervisor.step(time.monotonic()))
        self.get_logger().info(f'reset: {answer.message}')
        return answer

    def _look_for_foreign_publishers(self) -> None:
        self.supervisor.on_foreign_publisher(self._peers.foreign(), time.monotonic())

    def _look_for_other_users(self) -> None:
        self._peers.look_for_other_users()
        if self._peers.apart:
            self.warn('users', self._peers.apart, every_s=60.0)

    def _look_for_listeners(self) -> None:
        """Who hears the commands? A base that does not is said, and the robot kept from moving."""
        self.supervisor.on_listeners(self._peers.unheard(), time.monotonic())

    # --- the loop ---------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._now()
        self._loop.tick(now)
        command = self.supervisor.step(now)
        self._worst_check_s = max(self._worst_check_s, time.monotonic() - now)
        self._publish(command)

    def _publish(self, command: Command) -> None:
        p, stamp = self._settings.value, messages.to_stamp(self.now_ns())
        twist = messages.twist_to_msg(command.twist)
        if p.stamped_twist:
            message = TwistStamped(twist=twist)
            message.header.stamp, message.header.frame_id = stamp, self._robot.base_frame
            self._twists.publish(message)
        else:
            self._twists.publish(twist)
        if command.joints:
            targets = {j.name: command.joints[j.name] for j in self._robot.controlled}
            self._joint_targets.publish(self._joint_form.message(self.now_ns(), targets,
                                                                 self._loop.period_s))
        self._announce(command)

    def _announce(self, command: Command) -> None:
        """State on change and at 1 Hz. Numbers in a reason may tick without being news."""
        now = time.monotonic()
        line = safety_line(command.state, command.reason)
        news = re.sub(r'[\d.]+', '', line)
        before, at_s = self._announced
        if news == before and now - at_s < STATE_PERIOD_S:
            return
        self._announced = (news, now)
        changed = command.state is not self._state
        if changed:
            self._state = command.state
            # First, so that nobody hears of a latch that a crash could still undo.
            self._remember(line if self._state is SafetyState.ESTOP else '')
        self._states.publish(String(data=line))
        if changed:
            self.tell('state', line)

    def _remember(self, latch: str) -> None:
        if problem := self._latch.remember(latch):  # a full disk is no reason to stop commanding
            self.get_logger().error(problem)

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        values: dict[str, Any] = dict(self.supervisor.diagnostics(time.monotonic()))
        values.update(self._loop.counts, worst_check_ms=self._worst_check_s * 1e3)
        text = safety_line(SafetyState(values['state']), values['reason'])
        if 'missing' in text and self._peers.apart:
            text += f'; {self._peers.apart}'
        level = LEVELS[SafetyState(values['state'])]
        news = [said for said in self._peers.deaf if said not in text]
        if news:
            level, text = max(level, WARN), '; '.join([text, *news])
        return Health(level, text, values)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(SafetyMonitor, args)


if __name__ == '__main__':
    main()
