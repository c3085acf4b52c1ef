"""What a policy is shown of robot and scene; or why too little is known to show it anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.braking import Coasting
from vla_humanoid_control.control.dead_reckoning import DeadReckoning
from vla_humanoid_control.control.odometry import OdometryTrack
from vla_humanoid_control.control.quantity import Way
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.perception.frames import FrameLimits, FrameStore
from vla_humanoid_control.perception.joints import JointStateMerger
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.types import (
    BASE_CHANNELS,
    JointReading,
    OdometryReading,
    RobotObservation,
)


class Senses:
    """The newest camera frames, joint positions, and the way that the base has come.

    The way is what odometry says where the robot file lists it, else what was commanded.

    Args:
        spec: Of the policy that is to see.
        robot: Whose senses they are.
        limits: Which camera frames are trusted.

    Attributes:
        frames: The newest camera frames.
        joints_max_age_s: Older joint states are not acted on [s].
        odometry_max_age_s: Older odometry is not acted on [s].
        stop_delay_s: From the proposal of a hold until the base brakes [s].
        base_problem: Set from outside: why it cannot be known how the base moves; '' where it can.
        clock_problem: Set from outside: what is wrong with the robot's clock; '' if nothing is.
    """

    def __init__(self, spec: ControlSpec, robot: RobotSpec, limits: FrameLimits) -> None:
        self.frames = FrameStore(spec.cameras, limits)
        self.joints_max_age_s = self.odometry_max_age_s = np.inf
        self.stop_delay_s = 0.0
        self.base_problem = self.clock_problem = ''
        self._top_twist = robot.top_twist * (1 + 1e-6)
        self._joints = JointStateMerger(spec.joint_names)
        self._commanded = DeadReckoning(robot.command_timeout_s)
        self._coasting = Coasting([robot.base[c] for c in BASE_CHANNELS], robot.command_timeout_s)
        self._odometry = OdometryTrack(robot.top_twist) if 'odom' in robot.sensors else None
        # What is commanded knows no lag of what is driven.
        self._lag_s = robot.base_lag_s if self._odometry is not None else (0.0,) * 3
        # Where the words began that the policy has now, in the way of the step
        self._words_began: NDArray[np.float64] = np.zeros(3)

    def begin(self, now_s: float) -> None:
        """A new step: the way is counted from here."""
        self._commanded.reset(now_s)
        if self._odometry is not None:
            self._odometry.reset()
        self._words_began = np.zeros(3)

    def begin_words(self, now_s: float) -> None:
        """The step's words begin anew: the policy is shown the way from here, `way` goes on."""
        self._words_began = self._travelled(now_s)

    def on_frame(self, camera: str, pixels: NDArray[np.uint8], stamp_ns: int, robot_now_ns: int,
                 now_s: float) -> str:
        """Take a frame, RGB uint8 [H, W, 3]. Says why it was refused; '' if it was accepted."""
        return self.frames.add(camera, pixels, stamp_ns, robot_now_ns, now_s,
                               self.is_moving(now_s))

    def on_joints(self, reading: JointReading, now_s: float) -> str:
        """Take a reading of some or all joints. Says why it was refused; '' if it was accepted."""
        return self._joints.take(reading, now_s)

    def on_odometry(self, reading: OdometryReading, now_s: float) -> None:
        """Take where the base is by its own account."""
        if self._odometry is not None and np.isfinite(reading.pose).all():
            self._odometry.on_reading(reading, now_s)

    def on_twist(self, twist: NDArray[np.float64], now_s: float) -> None:
        """Hear what the base was told, float64 [3]: forward, left [m/s], turning left [rad/s]."""
        # What is beyond the limits, or NaN, did not come from safety, and no base follows it.
        if (np.abs(twist) <= self._top_twist).all():
            self._commanded.on_command(twist, now_s)
            self._coasting.on_command(twist, now_s)

    def is_moving(self, now_s: float) -> bool:
        """Whether the base is being told to move."""
        return self._commanded.is_moving(now_s)

    def problem(self, now_s: float) -> str:
        """Why nothing can be inferred, whatever is asked for; '' where it can."""
        _, blind = self.frames.matching(now_s)
        problem = blind or self._joints_problem(now_s) or self._way_problem(now_s)
        return problem and (self.clock_problem or problem)

    def way(self, now_s: float) -> Way | None:
        """How far the base has come since the step began; None where it is not known."""
        if self._way_problem(now_s):
            return None
        travelled = self._travelled(now_s)
        x, y, yaw = self._coasting.ahead(
            now_s, [self.stop_delay_s + lag_s for lag_s in self._lag_s]).tolist()
        return Way(travelled, np.array([*rotate(x, y, float(travelled[2])), yaw]))

    def place(self, now_s: float) -> NDArray[np.float64]:
        """float64 [3], where the base is: x, y [m], yaw [rad], from where the step began."""
        return self._travelled(now_s)

    def observe(self, elapsed_s: float, now_s: float) -> RobotObservation | None:
        """What is seen now, so long after the instruction began [s]; None where too little is."""
        if self.problem(now_s):
            return None
        frames, _ = self.frames.matching(now_s)
        return RobotObservation(
            stamp_ns=min(f.stamp_ns for f in frames.values()),
            images={name: f.pixels for name, f in frames.items()},
            joint_positions=self._joints.positions.copy(),
            elapsed_s=elapsed_s,
            travelled=self._since_words_began(now_s),
        )

    def _travelled(self, now_s: float) -> NDArray[np.float64]:
        """float64 [3], since the step began."""
        return self._commanded.travelled(now_s) if self._odometry is None \
            else self._odometry.travelled()

    def _since_words_began(self, now_s: float) -> NDArray[np.float64]:
        x, y, yaw = (self._travelled(now_s) - self._words_began).tolist()
        return np.array([*rotate(x, y, -float(self._words_began[2])), yaw])

    def _joints_problem(self, now_s: float) -> str:
        longest_s = self.joints_max_age_s
        if np.isnan(self._joints.positions).all():
            return 'joint_states: nothing heard yet'
        if self._joints.all_silent(now_s, longest_s):
            return f'joint_states: nothing heard for {longest_s:g} s'
        problem = self._joints.problem(now_s, longest_s)
        return problem and f'joint_states: {problem}'

    def _way_problem(self, now_s: float) -> str:
        """Why it is not known how far the base has come; '' where it is."""
        if self._odometry is None:
            return self.base_problem
        age_s = self._odometry.age_s(now_s)
        if age_s > self.odometry_max_age_s:
            return 'odometry: nothing heard yet' if np.isinf(age_s) else \
                f'odometry: nothing heard for {self.odometry_max_age_s:g} s'
        return ''
