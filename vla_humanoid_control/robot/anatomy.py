"""What a robot is made of beyond its joints: hands, soles, cameras, postures, the simulated body.

Whoever works with a robot finds these here and knows none by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PLANAR, LEGGED = 'planar', 'legged'
BODIES = (PLANAR, LEGGED)
"""How a simulated body stands: on a base that slides, or on its own legs."""
HANDS = ('left', 'right')
"""What `end_effectors` may name."""
NEAREST_M = 1.1
"""From farther away than this a robot begins to go to something [m]."""
LEAST_ON_TABLE = 3
"""A table has room for so many objects at least: one and two like it."""


@dataclass(frozen=True)
class EndEffectorSpec:
    """One hand.

    Attributes:
        site: The grasp point's name in the robot's model.
        shoulder: Body of the model from which the arm begins.
        joints: The arm's, from the shoulder to the hand.
        body: Where the model lacks the site: the body that it is on; else empty.
        at: Where it is on that body [m].
        grip: Finger joint to where it is driven to close on something [rad; m]; it is open at
            home. Empty where the hand has no fingers that close.
    """

    site: str
    shoulder: str
    joints: tuple[str, ...]
    body: str = ''
    at: tuple[float, ...] = (0.0, 0.0, 0.0)
    grip: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Optics:
    """What a camera sees and where it is.

    Attributes:
        size: Width and height of its images [px].
        fovy_deg: Vertical field of view [deg].
        body: Body of the robot's model that carries it.
        mount: Where it is on that body: x, y, z [m], then roll, pitch, yaw [rad]; x looks ahead,
            y left, z up.
    """

    size: tuple[int, int]
    fovy_deg: float
    body: str
    mount: tuple[float, ...]

    @property
    def aspect(self) -> float:
        """Width to height."""
        return self.size[0] / self.size[1]


@dataclass(frozen=True)
class Gestures:
    """Postures by name; each names only the joints that leave home [rad; m for grippers].

    Attributes:
        postures: Of `tasks.vocabulary.GESTURES`, and `ready_left`, `reaching_left` and so on of
            the hands that reach.
        swing: How far the joints that wave swing to both sides of the posture `wave`.
        looks: From where on a look counts as done.
    """

    postures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    swing: Mapping[str, float] = field(default_factory=dict)
    looks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkplaceSpec:
    """What in the simulator's room is made to the robot's measure; by default for tall ones.

    Attributes:
        height_m: Of the table tops above the floor [m].
        stand_off_m: From the base to the edge of the table that it reaches over [m].
        depth_m: Objects stand so far from that edge, least and most [m].
        aside_m: And so far to each side of its middle at most [m].
        most: At most so many objects stand on a table.
        sight_m: Ahead of the base its camera sees objects on the floor from the first to the
            second [m]; nothing that it is to go to is farther away.
        sight_aside: To each side it sees them up to this share of how far ahead they are.
    """

    height_m: float = 0.72
    stand_off_m: float = 0.31
    depth_m: tuple[float, ...] = (0.06, 0.15)
    aside_m: float = 0.34
    most: int = 4
    sight_m: tuple[float, ...] = (1.40, 3.4)
    sight_aside: float = 0.85


@dataclass(frozen=True)
class SimulationSpec:
    """What the simulator needs to stand in for the robot.

    Attributes:
        trunk: Body of the model that carries the IMU; the view from outside follows it.
        imu: Site of the IMU.
        workplace: The tables, and where things stand.
        walking: The walking policy of a legged body, an ONNX file as `packages.located` finds it;
            empty for a planar one.
        mesh_share: Share of the triangles of its meshes that are drawn, in (0, 1].
        gains: Of the torques that drive the joints of a legged body that its walking policy does
            not know, its fingers: stiffness [Nm/rad] and damping [Nm s/rad]. None without such.
    """

    trunk: str
    imu: str
    workplace: WorkplaceSpec = field(default_factory=WorkplaceSpec)
    walking: str = ''
    mesh_share: float = 1.0
    gains: tuple[float, ...] | None = None
