"""May the body take a posture: does it touch itself, and does it stay above its feet?

Both are computed on the robot's kinematic model (MJCF) with MuJoCo's forward kinematics and
collision detection; nothing is simulated. Joints are matched by name, so a model may have joints
that the robot file has not (a planar base) as long as it has all of the robot file's.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.model import load_model
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.support.errors import UserError

Array = NDArray[np.float64]

_SOLE = np.array([[-1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, -1.0]])
_NO_PAIRS: NDArray[np.int32] = np.zeros((0, 2), np.int32)
_NO_DISTANCES: Array = np.zeros(0)
_SIGHT = 0.12  # geoms nearer than this are measured; more than any clearance [m]
_SLACK = 1e-4  # the home posture itself keeps its distances by this much [m]


class PostureChecker:
    """Judges whole-body postures on the kinematic model.

    Pairs of geoms that touch in the home posture are how the model is built, and are ignored, as
    are pairs within one body or with its parent. A posture that is unsafe from the start (the
    robot was pushed, or leans on something) may be left: only what makes it worse is refused.

    Args:
        robot: The robot file, for joint names and the home posture.
        config: Clearance and margin.
        model_path: The MJCF; by default the one that the robot file names.

    Raises:
        UserError: MuJoCo is not installed, the model cannot be read or lacks a joint or a foot.
    """

    def __init__(self, robot: RobotSpec, config: SafetyConfig,
                 model_path: Path | None = None) -> None:
        self._mujoco = _import_mujoco(robot)
        self._model, path = self._load(robot, model_path)
        self._data = self._mujoco.MjData(self._model)
        self._places = np.array([self._place(name, path) for name in robot.joint_names])
        feet = [self._body(name, path) for name in robot.support]
        solid = (self._model.geom_contype | self._model.geom_conaffinity) != 0
        self._foot_geoms = np.flatnonzero(solid & np.isin(self._model.geom_bodyid, feet))
        # Corners of each sole in the frame of its geom: the lower face of its box, [G, 4, 3].
        boxes = self._model.geom_aabb[self._foot_geoms]
        self._hull: NDArray[np.intp] = np.zeros(0, np.intp)  # corners that made the last hull
        self._soles: Array = boxes[:, None, :3] + _SOLE * boxes[:, None, 3:]
        # Contacts are reported a little before they happen, for clearance to be measured.
        self._model.geom_margin[:] = _SIGHT
        self._pose(robot.home)
        contact = self._data.contact
        self._home: Array = np.full((self._model.ngeom, self._model.ngeom), np.inf)
        for (first, second), distance in zip(contact.geom.tolist(), contact.dist.tolist()):
            self._home[first, second] = min(self._home[first, second], distance)
        self._home = np.minimum(self._home, self._home.T)
        self._configure(config)

    @property
    def config(self) -> SafetyConfig:
        """Clearance and margin; may be set anew at any time."""
        return self._config

    @config.setter
    def config(self, config: SafetyConfig) -> None:
        self._configure(config)

    def _configure(self, config: SafetyConfig) -> None:
        self._config = config
        self._known_at, self._known = b'', dict[tuple[int, int], float]()
        # The least distance that each pair must keep, [geoms, geoms]: no more than it has at home.
        # Nothing is asked of pairs that touch there, nor of what is not part of the robot.
        self._allowed: Array = np.minimum(config.self_clearance_m, self._home - _SLACK)
        foreign = self._model.geom_bodyid == 0
        self._allowed[(self._home <= 0) | foreign | foreign[:, None]] = -np.inf
        # No need to see further than that.
        self._model.geom_margin[:] = min(config.self_clearance_m + _SLACK, _SIGHT)

    def problem(self, positions: Array, present: Array, graze_m: float = 0.0) -> str:
        """Why a posture is unsafe.

        Args:
            positions: float64 [J], the posture, in the order of the robot file [rad; m].
            present: float64 [J], the posture so far, to tell whether it gets worse.
            graze_m: How deep parts of the body may reach into each other [m].

        Returns:
            A sentence, or '' if the posture is safe, or no less safe than the present one.
        """
        if touch := self.touch(positions, present, graze_m):
            return touch
        margin = self._config.balance_margin_m
        corners, centre = self._stance(positions)
        # Feet hardly move between two questions: the same corners as last time span a polygon, of
        # which the support is at least as large. Where that is enough, the hull need not be known.
        if distance_inside(corners[self._hull], centre) >= margin:
            return ''
        balance = self._balance(corners, centre)
        if balance >= margin or balance >= self.balance_m(present):
            return ''
        return f'the centre of mass would be {-balance:.3f} m outside the feet' if balance < 0 \
            else f'the centre of mass would be {balance:.3f} m from the edge of the feet'

    def touch(self, positions: Array, present: Array, graze_m: float = 0.0) -> str:
        """As `problem`, but asks only whether the body touches itself."""
        pairs, distances = self._contacts(positions)
        if not len(distances):
            return ''
        near = distances < self._allowed[pairs[:, 0], pairs[:, 1]] - graze_m
        if not near.any():
            return ''
        found = _listed(pairs[near], distances[near])  # a copy: the next posture overwrites them
        before = self._distances(present)
        for pair, distance in found:
            # No tolerance here: bit by bit it would add up.
            if distance < before.get(pair, np.inf):
                return f'{self._name(pair[0])} would touch {self._name(pair[1])}'
        return ''

    def balance_m(self, positions: Array) -> float:
        """Distance from the centre of mass to the edge of the support; negative outside [m]."""
        return self._balance(*self._stance(positions))

    # ---- details

    def _balance(self, corners: Array, centre: Array) -> float:
        hull = convex_hull(corners)
        places = {place: number for number, place in enumerate(map(tuple, corners.tolist()))}
        self._hull = np.array([places[corner] for corner in map(tuple, hull.tolist())], np.intp)
        return distance_inside(hull, centre)

    def _stance(self, positions: Array) -> tuple[Array, Array]:
        """Corners of the soles, [C, 2], and the centre of mass, [2], seen from above [m]."""
        data = self._data
        data.qpos[self._places] = positions
        self._mujoco.mj_kinematics(self._model, data)
        self._mujoco.mj_comPos(self._model, data)
        turns = data.geom_xmat[self._foot_geoms].reshape(-1, 3, 3)
        corners = self._soles @ turns.transpose(0, 2, 1) + data.geom_xpos[self._foot_geoms, None]
        return corners[:, :, :2].reshape(-1, 2), data.subtree_com[0, :2]

    def _pose(self, positions: Array) -> None:
        """Put the body into a posture and find what is near each other."""
        self._data.qpos[self._places] = positions
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_collision(self._model, self._data)

    def _contacts(self, positions: Array) -> tuple[NDArray[np.int32], Array]:
        """Pairs of geoms that are near each other, [C, 2], and their distances, [C] [m].

        Valid until the next posture.
        """
        self._pose(positions)
        if not self._data.ncon:
            return _NO_PAIRS, _NO_DISTANCES
        contact = self._data.contact
        return contact.geom, contact.dist

    def _distances(self, positions: Array) -> dict[tuple[int, int], float]:
        """Pairs that are near each other, with their distance; the last answer is remembered."""
        key = positions.tobytes()
        if key != self._known_at:
            self._known_at, self._known = key, {}
            for pair, distance in _listed(*self._contacts(positions)):
                self._known[pair] = min(distance, self._known.get(pair, np.inf))
        return self._known

    def _name(self, geom: int) -> str:
        body = self._model.geom_bodyid[geom]
        name: str = self._mujoco.mj_id2name(self._model, self._mujoco.mjtObj.mjOBJ_BODY, body)
        return name.replace('_', ' ')

    def _load(self, robot: RobotSpec, model_path: Path | None) -> tuple[Any, str]:
        if model_path is None:
            try:
                return load_model(robot), str(robot.mjcf)
            except UserError as error:
                raise UserError(f'{str(error).rstrip(".")}. Correct mjcf in the robot file, or '
                                'remove it to go without the posture check.') from error
        if not model_path.is_file():
            raise UserError(f'Robot {robot.name}: its model {model_path} does not exist. Correct '
                            'mjcf in the robot file, or remove it to go without the posture '
                            'check.')
        try:
            return self._mujoco.MjModel.from_xml_path(str(model_path)), str(model_path)
        except ValueError as error:
            raise UserError(f'Robot {robot.name}: {model_path} is no valid MJCF: {error}') \
                from error

    def _place(self, joint: str, path: str) -> int:
        number = self._mujoco.mj_name2id(self._model, self._mujoco.mjtObj.mjOBJ_JOINT, joint)
        if number < 0:
            raise UserError(f'{path} lacks the joint {joint} that the robot file has.')
        return int(self._model.jnt_qposadr[number])

    def _body(self, name: str, path: str) -> int:
        number = self._mujoco.mj_name2id(self._model, self._mujoco.mjtObj.mjOBJ_BODY, name)
        if number < 0:
            raise UserError(f'{path} lacks the body {name} that the robot stands on.')
        return int(number)


def _import_mujoco(robot: RobotSpec) -> ModuleType:
    # Imported here, so that a robot without a model needs no MuJoCo.
    try:
        import mujoco
    except ImportError as error:
        raise UserError(f'Robot {robot.name} has a model ({robot.mjcf}), and checking postures on '
                        'it needs MuJoCo: pip install mujoco.') from error
    module: ModuleType = mujoco
    return module


def _listed(pairs: NDArray[np.int32], distances: Array) -> list[tuple[tuple[int, int], float]]:
    """Pairs, the lower number first, with their distances."""
    return [((min(a, b), max(a, b)), d)
            for (a, b), d in zip(pairs.tolist(), distances.tolist())]


def convex_hull(points: Array) -> Array:
    """Corners of the convex hull, counter-clockwise: Andrew's monotone chain.

    Args:
        points: float64 [N, 2].

    Returns:
        float64 [M, 2].
    """
    ordered = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:
        return np.array(ordered)
    halves = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[tuple[float, ...]] = []
        for p in sequence:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 0:
                    break  # a turn to the left
                chain.pop()
            chain.append(p)
        halves += chain[:-1]
    return np.array(halves)


def distance_inside(hull: Array, point: Array) -> float:
    """Least distance from a point to the lines along a hull's edges; negative outside.

    Args:
        hull: float64 [M, 2], counter-clockwise.
        point: float64 [2].
    """
    if len(hull) < 3:
        return -math.inf
    corners, (x, y) = hull.tolist(), point.tolist()  # so few that plain numbers are faster
    least = math.inf
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
        left = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        least = min(least, left / math.hypot(bx - ax, by - ay))
    return least
