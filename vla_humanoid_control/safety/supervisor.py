"""The safety supervisor: everything that arrives goes in, and `step` says what may be commanded.

    on_gated, on_joint_states, on_scan, ...  ──►  causes  ──►  state  ──►  limiters  ──►  Command
       checked once, here, then stored          (why not to move)       (how to move)

It decides in three questions a tick: what speaks against moving (a list of causes, each demanding
a state), how far the proposal may be followed, and what the limiters make of that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import FALLEN_RAD, RobotSpec
from vla_humanoid_control.safety.base import STILL, Base
from vla_humanoid_control.safety.body import Body
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.inputs import action_problem, imu_problem, tilt_rad
from vla_humanoid_control.safety.latch import Latch
from vla_humanoid_control.safety.monitors import PROPOSAL, Monitors
from vla_humanoid_control.safety.obstacles import Obstacles
from vla_humanoid_control.safety.posture import PostureChecker
from vla_humanoid_control.safety.states import (
    ESTOP,
    HOLD,
    RUN,
    SLOW,
    STOP,
    Cause,
    Recovery,
    StateMachine,
)
from vla_humanoid_control.safety.ticks import Ticks
from vla_humanoid_control.types import (
    Command,
    GatedProposal,
    ImuReading,
    JointReading,
    ScanReading,
)

_PROPOSAL_SOURCES = (PROPOSAL, 'gated', 'action_gated', '/vla/action_gated')
_TILT_RETURN = 0.9  # share of the tilt limit below which the robot counts as upright again


class SafetySupervisor:
    """The only thing that decides what is commanded. Time is always an argument: steady seconds.

    Args:
        robot: The robot and its limits.
        config: Thresholds.
        now_s: The steady clock now [s].

    Attributes:
        obstacles: What scans and depth images show.
    """

    def __init__(self, robot: RobotSpec, config: SafetyConfig, now_s: float) -> None:
        self.robot = robot
        self.config = config
        self._now_s = now_s
        self._monitors = Monitors(robot, config)
        self._latch = Latch(config)
        self._base = Base(robot, config, now_s)
        self._body = Body(robot, config, PostureChecker(robot, config) if robot.mjcf else None)
        self.obstacles = Obstacles(robot, config, self._monitors, self._base)
        self._gated: GatedProposal | None = None
        self._proposal_problem = ''
        self._tilt_rad = 0.0
        self._tilted = False
        self._foreign: tuple[str, ...] = ()
        self._unheard = ''
        self._heard = False  # whether anyone ever was there to hear commands
        self._counts: Counter[str] = Counter()
        self._ticks = Ticks(1.0 / config.rate_hz, robot.command_timeout_s, now_s)
        self._refused_s = -math.inf
        self._refused_why = ''
        self._moving_causes: list[Cause] = []
        self._recovery = Recovery()
        self._machine = StateMachine(STOP, 'nothing has arrived yet', now_s)

    # ---- what arrives

    def on_clock(self, robot_now_ns: int, now_s: float) -> None:
        """Take the robot's clock, against which stamps are judged from now on."""
        self._time(now_s)
        self._monitors.clock.set(robot_now_ns)

    def on_gated(self, gated: GatedProposal, now_s: float) -> None:
        """Take a proposal that passed the confidence gate. A bad one stops the robot."""
        now_s = self._time(now_s)
        proposal = gated.proposal
        problem = action_problem(proposal.action, self._body.names)
        if problem:
            self._monitors.proposal.reject(problem, now_s)
            self._proposal_problem = f'proposal rejected: {problem}'
            return
        watchdog = self._monitors.proposal
        # A later action from the same camera frame is used, but extends no deadline. A closed gate
        # is heeded whatever its stamp.
        usable = watchdog.is_latest(proposal.stamp_ns) \
            or self._monitors.offer(watchdog, proposal.stamp_ns, now_s)
        if gated.is_open and not usable:
            return
        confidence = proposal.confidence
        if gated.is_open and not 0.0 <= confidence <= 1.0:  # NaN is not in between either
            self._counts['confidence'] += 1
            gated = GatedProposal(proposal, False, f'the confidence is {confidence}')
        self._gated, self._proposal_problem = gated, ''
        self._base.propose(proposal.action.twist if gated.is_open else None)
        self._latch.on_command(self._is_motion(gated))
        if gated.is_open:
            self._counts['clamped'] += self._beyond_limits(gated)
            self._body.target(proposal.action.joints)
        else:
            self._body.target({})

    def on_joint_states(self, reading: JointReading, now_s: float) -> None:
        """Take a reading of some or all joints. Commands begin where all were found first."""
        now_s = self._time(now_s)
        joints, scale = self._monitors.joints, self.config.sensor_timeout_scale
        if self._monitors.offer_joints(reading, now_s) and joints.seen \
                and (self._body.has_begun or not joints.stale(now_s, scale)):
            self._body.measured(joints.merged.positions, now_s)

    def on_scan(self, reading: ScanReading, now_s: float) -> None:
        """Take a laser scan."""
        self.obstacles.on_scan(reading, self._time(now_s))

    def on_depth(self, points: NDArray[np.float64] | None, stamp_ns: int, now_s: float,
                 digest: int | None = None) -> None:
        """Take what `collision.depth_points` made of a depth image; None stops the robot.

        `digest` is of the image's pixels: it tells a frozen image although no point is near.
        """
        self.obstacles.on_depth(points, stamp_ns, digest, self._time(now_s))

    def on_imu(self, reading: ImuReading, now_s: float) -> None:
        """Take an IMU reading."""
        now_s = self._time(now_s)
        watchdog = self._monitors.sensors.get('imu')
        if watchdog is None:
            return
        if problem := imu_problem(reading):
            watchdog.reject(problem, now_s)
        elif self._monitors.offer(watchdog, reading.stamp_ns, now_s):
            self._tilt_rad = tilt_rad(reading)
            limit = self.robot.max_tilt_rad
            self._tilted = self._tilt_rad > (limit * _TILT_RETURN if self._tilted else limit)
            if self.robot.walks and self._monitors.watched('imu') \
                    and (self._tilt_rad > FALLEN_RAD or not self._tilted):
                self._latch.lies(f'the robot has fallen: tilted by {self._tilt_rad:.2f} rad'
                                 if self._tilted else '')

    def on_odom(self, twist: NDArray[np.float64], now_s: float, stamp_ns: int | None = None,
                pose: NDArray[np.float64] | None = None) -> None:
        """Take odometry; without a stamp it counts as taken now.

        Args:
            twist: float64 [3], of the base, in its own frame [m/s, m/s, rad/s].
            now_s: The steady clock [s].
            stamp_ns: Time of measurement, in the robot's clock [ns].
            pose: float64 [3], x, y, yaw in any frame that does not move [m, m, rad]. Without it,
                nobody judges whether the base does what it is told.
        """
        now_s = self._time(now_s)
        watchdog = self._monitors.sensors.get('odom')
        if watchdog is None:
            return
        for what, values in (('twist', twist), ('pose', twist if pose is None else pose)):
            if np.shape(values) != (3,) or not all(map(math.isfinite, values.tolist())):
                watchdog.reject(f'the {what} is not three finite numbers', now_s)
                return
        if stamp_ns is None:
            watchdog.touch(now_s)
        elif not self._monitors.offer(watchdog, stamp_ns, now_s):
            return
        self._base.measured(twist, pose, now_s)

    def on_camera(self, camera: str, stamp_ns: int, digest: int, now_s: float) -> None:
        """Take a camera frame's stamp and a digest of its pixels."""
        now_s = self._time(now_s)
        watchdog = self._monitors.cameras.get(camera)
        if watchdog is None:
            self._counts['unknown_camera'] += 1
        elif self._monitors.offer(watchdog, stamp_ns, now_s):
            self._monitors.content(watchdog, digest, self._base.way, now_s)

    def on_rejected(self, source: str, reason: str, now_s: float) -> None:
        """The border refused a message. A refused proposal stops the robot at once."""
        now_s = self._time(now_s)
        self._counts['rejected_at_border'] += 1
        if source in _PROPOSAL_SOURCES:
            self._monitors.proposal.reject(reason, now_s)
            self._proposal_problem = f'proposal rejected: {reason}'
            return
        watchdog = self._monitors.sensors.get(source) or self._monitors.cameras.get(source)
        if watchdog is not None:
            watchdog.reject(reason, now_s)

    def on_foreign_publisher(self, topics: Sequence[str], now_s: float) -> None:
        """Someone else publishes on the robot's topics; an empty list says that they are gone."""
        self._time(now_s)
        self._foreign = tuple(topics)

    def on_listeners(self, problem: str, now_s: float) -> None:
        """Why commands would not reach the base, or '' if someone hears them."""
        self._time(now_s)
        self._heard = self._heard or not problem
        self._unheard = problem

    def on_heartbeat(self, now_s: float) -> None:
        """The operator's heartbeat. Once configured, losing it is an emergency stop."""
        self._latch.on_heartbeat(self._time(now_s))

    def emergency_stop(self, pressed: bool, source: str, now_s: float) -> None:
        """Latch an emergency stop. False only says that the button was released."""
        now_s = self._time(now_s)
        self._latch.press(bool(pressed), source)
        if pressed:  # else the causes that only a tick knows would be passed over
            self._machine.follow(self._static_causes(now_s), now_s)

    # ---- what people and the node ask for

    def reset(self, now_s: float) -> tuple[bool, str]:
        """Clear the latch. Refused while its cause persists or a motion command stands."""
        now_s = self._time(now_s)
        stands = self._gated is not None and not self._monitors.proposal.stale(now_s) \
            and self._is_motion(self._gated)
        ok, message = self._latch.reset(stands, now_s)
        if ok:
            self._machine.reset(message, now_s)
        return ok, message

    def begin(self, now_s: float) -> None:
        """Begin to command, from rest and from where the joints are found next.

        Only after a time in which nothing was sent: whoever commanded the robot meanwhile may have
        moved it.
        """
        self.resume(now_s)
        self._base.begin_anew()
        self._body.begin_anew()
        self._monitors.joints.merged.clear()

    def stop(self, reason: str, now_s: float) -> None:
        """Stop until `resume` or `reset`; `at_rest` tells when the robot stands."""
        now_s = self._time(now_s)
        self._latch.request_stop(reason or 'stop requested')
        self._machine.follow(self._static_causes(now_s), now_s)

    def resume(self, now_s: float) -> None:
        """Take back `stop`. An emergency stop stays."""
        self._time(now_s)
        self._latch.request_stop('')

    def configure(self, changes: Mapping[str, Any], now_s: float) -> tuple[bool, str]:
        """Change thresholds while running: all of the changes, or none and why."""
        if reason := self.refusal(changes, now_s):
            return False, reason
        self.config = config = self.config.replace(changes)
        self._monitors.config = self._latch.config = config
        self._body.configure(config)
        self._base.configure(config)
        self.obstacles.configure(config)
        return True, ''

    def refusal(self, changes: Mapping[str, Any], now_s: float) -> str:
        """Why thresholds must not change so now; '' where they may."""
        self._time(now_s)
        return self.config.change_problem(changes, self.at_rest)

    @property
    def at_rest(self) -> bool:
        """Base and joints are commanded to stand still."""
        return self._base.at_rest and self._body.at_rest

    def step(self, now_s: float) -> Command:
        """Decide what is commanded now; call at `rate_hz`.

        A call that comes much too early changes nothing but the state: the limits hold in time,
        not only by tick.
        """
        now_s = self._time(now_s)
        due = self._tick_due(now_s)
        causes = self._static_causes(now_s)
        free = not any(c.demands in (STOP, ESTOP, HOLD) for c in causes)
        if due or not free:
            self._moving_causes = self._motion_causes(now_s) if free else []
        causes += self._moving_causes
        self._machine.follow(self._recovery.keep(causes, self.config.recover_s, now_s), now_s)
        if due:
            self._move(now_s)
        joints = self._body.command()
        return Command(self._base.velocity.copy(), joints, self._machine.state,
                       self._machine.reason)

    def diagnostics(self, now_s: float) -> Mapping[str, str | float | int]:
        """State, reason, ages of inputs and counts, flat, for people and for tests."""
        now_s = self._time(now_s)
        counts = {f'count/{name}': n for name, n in sorted(self._counts.items())}
        return {'state': self._machine.state.name, 'reason': self._machine.reason,
                'in_state_s': round(now_s - self._machine.since_s, 3),
                'transitions': self._machine.transitions, 'latched': self._latch.reason,
                'tilt_rad': round(self._tilt_rad, 4),
                'time_to_collision_s': round(self.obstacles.ttc_s, 3),
                'speed_share': round(self.obstacles.share, 3),
                'loop_hz': round(self._ticks.rate_hz, 1),
                'measured_speed_mps': round(self._base.measured_speed_mps, 4),
                'age_s/heartbeat': round(self._latch.heartbeat_age_s(now_s), 4),
                **self._body.diagnostics(), **counts, **self._monitors.diagnostics(now_s)}

    # ---- how it decides

    def _static_causes(self, now_s: float) -> list[Cause]:
        """What speaks against moving, whatever the proposal asks for."""
        causes = list(self._latch.causes(now_s))
        causes += self._monitors.causes(now_s)
        if self._proposal_problem:
            causes.append(Cause('proposal', STOP, self._proposal_problem))
        if self._foreign:
            causes.append(Cause('foreign', STOP, 'someone else publishes on '
                                + ', '.join(self._foreign)))
        if self._unheard and self.config.require_listener:
            causes.append(Cause('listener' if self._heard else 'missing', STOP, self._unheard))
        if self._tilted and self._monitors.watched('imu'):
            causes.append(Cause('tilt', STOP, f'tilted by {self._tilt_rad:.2f} rad'))
        causes += self.obstacles.blind_causes()
        causes += self._ticks.causes()
        causes += self._body.causes(now_s)
        if self._monitors.watched('odom'):
            causes += self._base.causes(now_s)
        if self._gated is not None and not self._gated.is_open:
            causes.append(Cause('gate', HOLD, self._gated.reason or 'the gate is closed'))
        return causes

    def _motion_causes(self, now_s: float) -> list[Cause]:
        """What speaks against the motion that the proposal asks for."""
        causes = list(self.obstacles.causes())
        self._body.stands(not self.robot.walks or self._base.has_settled(now_s))
        if problem := self._body.plan_problem():
            self._refused_s, self._refused_why = now_s, problem
            self._counts['posture_refused'] += 1
        if now_s - self._refused_s < max(self.config.recover_s, 1.0 / self.config.rate_hz):
            causes.append(Cause('posture', HOLD, f'posture refused: {self._refused_why}'))
        elif self._body.waiting:
            causes.append(Cause('posture', SLOW, self._body.waiting))
        return causes

    def _move(self, now_s: float) -> None:
        """Advance the limiters by one tick, as far as the state allows."""
        state = self._machine.state
        follow = state in (RUN, SLOW)
        way = self._base.move(self.obstacles.shares if follow else None, now_s)
        self._body.move(follow=follow, yielding=state is STOP)
        self._monitors.joints.moved(self._body.moved, way)

    def _is_motion(self, gated: GatedProposal) -> bool:
        action = gated.proposal.action
        return gated.is_open and (bool(np.any(np.abs(action.twist) > STILL))
                                  or self._body.would_move(action.joints, STILL))

    def _beyond_limits(self, gated: GatedProposal) -> int:
        """How many values of a proposal are beyond their limits."""
        action = gated.proposal.action
        return self._base.beyond_limits(action.twist) + self._body.beyond_limits(action.joints)

    def _time(self, now_s: float) -> float:
        """The steady clock, which never goes back here, whatever the caller says."""
        if math.isfinite(now_s):
            self._now_s = max(self._now_s, now_s)
        return self._now_s

    def _tick_due(self, now_s: float) -> bool:
        """Whether a tick is due. After a gap everything begins from rest."""
        late_s = self._ticks.take(now_s)
        if late_s is not None and late_s > self.robot.command_timeout_s:
            # The base has stopped by itself. Before the first tick nothing was late.
            self._counts['gaps'] += math.isfinite(late_s)
            self._base.begin_anew()
            self._body.halt()
        return late_s is not None
