"""The robot file: joints, limits, home posture, footprint, sensors. Every limit is required."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.anatomy import (
    LEGGED,
    PLANAR,
    EndEffectorSpec,
    Gestures,
    Optics,
    SimulationSpec,
)
from vla_humanoid_control.types import BASE_CHANNELS

MAX_TIMEOUT_S = 5.0
"""Nothing that is older than this may count as fresh [s]."""
MAX_TILT_RAD = math.pi / 2
"""A robot that leans further is lying [rad]."""
FALLEN_RAD = 1.0
"""A robot on legs that leans further has fallen [rad]."""
LEAST_COMMAND_TIMEOUT_S, MOST_COMMAND_TIMEOUT_S = 0.05, 2.0
"""Bounds of `RobotSpec.command_timeout_s` [s]."""
MOST_LAG_S = 2.0
"""Bound of `RobotSpec.base_lag_s` [s]."""
SENSORS = ('joint_states', 'scan', 'imu', 'odom', 'depth')
"""What `sensors` may name; the first is required."""
MOUNTED = ('scan', 'depth')
"""Those of `SENSORS` that look at obstacles: where they are on the base must be known."""
WALKING_IMU, WALKING_JOINTS, LET_GO = 'walking/imu', 'walking/joint_commands', 'walking/let_go'
"""Topics between a robot on legs and `walking_controller`; the last releases it where it hangs."""


@dataclass(frozen=True)
class MotionLimits:
    """Bounds of one axis: velocity, acceleration, jerk [unit/s, unit/s², unit/s³], all > 0."""

    velocity: float
    acceleration: float
    jerk: float


@dataclass(frozen=True)
class JointSpec:
    """One joint.

    Attributes:
        name: Its name in `/joint_states` and `/joint_commands`.
        lower, upper: Position limits [rad; m for grippers].
        home: Position in the home posture, within the limits.
        motion: Velocity, acceleration and jerk limits.
        controlled: Whether a policy may command it; the others belong to the robot's own
            walking controller.
    """

    name: str
    lower: float
    upper: float
    home: float
    motion: MotionLimits
    controlled: bool


@dataclass(frozen=True)
class SensorSpec:
    """One input that safety watches.

    Attributes:
        topic: Where it comes from; without a slash in front, in the robot's namespace.
        timeout_s: Older than this is stale, and stale means stop; up to `MAX_TIMEOUT_S` [s].
        frame: The `frame_id` of its messages, where it is one of `MOUNTED`; empty where those are
            in the frame of the base.
        mount: Where that frame is on the base: x, y, z [m], then roll, pitch, yaw [rad]. Of a
            camera it is the body (x ahead, y left, z up) that is mounted so.
        optics: Of a camera that policies look with: what it sees and where it is. None where the
            file does not say; then the robot's model must have it, to be simulated.
    """

    topic: str
    timeout_s: float
    frame: str = ''
    mount: tuple[float, ...] = (0.0,) * 6
    optics: Optics | None = None


@dataclass(frozen=True)
class RobotSpec:
    """Everything that is known of one robot, read from `config/robots/<name>.yaml`.

    Attributes:
        name: The robot's name.
        mjcf: The kinematic model, as `packages.located` finds it; None where there is none.
        joints: All joints, in the order of `RobotObservation.joint_positions`.
        base: Limits of the base twist, by channel of `BASE_CHANNELS`.
        footprint_radius_m: Circle around the base that holds the whole robot [m].
        max_tilt_rad: IMU tilt beyond which the robot counts as falling, below `MAX_TILT_RAD`
            [rad].
        command_timeout_s: The base stops by itself when it has heard no command for so long [s].
        base_lag_s: For so long the base goes on as before when its command changes, by channel of
            `BASE_CHANNELS` [s].
        cameras: Camera name to sensor.
        sensors: By name out of `SENSORS`; 'joint_states' and, where the robot has them, the rest.
        file: Where it was read from, for messages; empty where it was not.
        base_frame: What the frame of the base is called in messages.
        body: How it stands, one of `anatomy.BODIES`.
        end_effectors: Its hands, by `anatomy.HANDS`.
        support: Bodies of the model that it stands on.
        gestures: Its postures by name.
        simulation: How the simulator stands in for it; None where it cannot.
    """

    name: str
    mjcf: str | None
    joints: tuple[JointSpec, ...]
    base: Mapping[str, MotionLimits]
    footprint_radius_m: float
    max_tilt_rad: float
    command_timeout_s: float
    cameras: Mapping[str, SensorSpec]
    sensors: Mapping[str, SensorSpec]
    base_frame: str = 'base_link'
    base_lag_s: tuple[float, ...] = (0.0, 0.0, 0.0)
    file: str = field(default='', compare=False)
    body: str = PLANAR
    end_effectors: Mapping[str, EndEffectorSpec] = field(default_factory=dict)
    support: tuple[str, ...] = ('left_foot', 'right_foot')
    gestures: Gestures = field(default_factory=Gestures)
    simulation: SimulationSpec | None = None

    @property
    def walks(self) -> bool:
        """Whether it goes on legs: then its base sways, and it can fall."""
        return self.body == LEGGED

    @property
    def grasps(self) -> tuple[str, ...]:
        """Those of its hands that have fingers to hold something with."""
        return tuple(side for side, hand in self.end_effectors.items() if hand.grip)

    def knows(self, gesture: str) -> bool:
        """Whether it can do one of `GESTURES`; one whose file has no postures may do any."""
        return gesture in self.gestures.postures or not self.gestures.postures

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """All joint names, in order."""
        return tuple(j.name for j in self.joints)

    @property
    def controlled(self) -> tuple[JointSpec, ...]:
        """The joints that a policy may command, in order."""
        return tuple(j for j in self.joints if j.controlled)

    @property
    def action_channels(self) -> tuple[str, ...]:
        """Base channels, then controlled joints: the D channels of an action vector."""
        return BASE_CHANNELS + tuple(j.name for j in self.controlled)

    @property
    def top_twist(self) -> NDArray[np.float64]:
        """Limits of the base twist, float64 [3]: forward, left [m/s], turning left [rad/s]."""
        return np.array([self.base[c].velocity for c in BASE_CHANNELS])

    @property
    def home(self) -> NDArray[np.float64]:
        """Home posture, float64 [J] [rad; m for grippers]."""
        return np.array([j.home for j in self.joints])

    def joint(self, name: str) -> JointSpec:
        """The joint of that name; KeyError if the robot has none."""
        for joint in self.joints:
            if joint.name == name:
                return joint
        raise KeyError(name)
