"""What stands in a room and never moves: obstacles that no words name, and walls of other rooms.

All of it is part of the compiled model, each piece a body of its own, and parked far away until a
scene has it: a reset changes numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.fitting import HIDDEN_GROUP, WORLD_GROUP
from vla_humanoid_control.simulation.rooms import ROOMS, SQUARE, Room

WALL_M = 2.6
"""Height of the walls [m]."""

_PARKED_M = 60.0
_THICK_M = 0.05
_SHADES = ((0.30, 0.22, 0.15), (0.20, 0.20, 0.22), (0.55, 0.54, 0.52), (0.80, 0.79, 0.76))
_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER


@dataclass(frozen=True)
class ObstacleKind:
    """One of the things that can stand in the way.

    Attributes:
        shape: Of MuJoCo. size: As MuJoCo has it, half extents [m].
        radius: Of the upright cylinder around it [m].
    """

    shape: mujoco.mjtGeom
    size: tuple[float, float, float]
    radius: float

    @property
    def height(self) -> float:
        """Above the floor [m]."""
        return 2 * self.size[2 if self.shape == _BOX else 1]


OBSTACLES: Mapping[str, ObstacleKind] = {
    'crate': ObstacleKind(_BOX, (0.19, 0.19, 0.22), 0.27),
    'stool': ObstacleKind(_CYLINDER, (0.20, 0.25, 0.0), 0.20),
    'bench': ObstacleKind(_BOX, (0.26, 0.11, 0.21), 0.28),
    'post': ObstacleKind(_CYLINDER, (0.12, 0.55, 0.0), 0.12),
}
"""A scene has each at most once. None has a colour that a task could name."""


@dataclass(frozen=True)
class Obstacle:
    """One obstacle of a scene.

    Attributes:
        kind: One of `OBSTACLES`.
        position: float64 [2], its middle on the floor [m].
        yaw: [rad].
    """

    kind: str
    position: NDArray[np.float64]
    yaw: float

    @property
    def radius(self) -> float:
        """See `ObstacleKind`."""
        return OBSTACLES[self.kind].radius


def add_fixtures(spec: mujoco.MjSpec) -> None:
    """Add all of them to a model, parked."""
    for index, (name, kind) in enumerate(OBSTACLES.items()):
        _add(spec, f'obstacle_{name}', kind.shape, kind.size, kind.height / 2, index)
    for room_name, room in ROOMS.items():
        for index, (_, _, half_x, half_y) in enumerate(_panels(room)):
            _add(spec, f'panel_{room_name}_{index}', _BOX, (half_x, half_y, WALL_M / 2),
                 WALL_M / 2, index)


def arrange_fixtures(model: mujoco.MjModel, room: str, obstacles: tuple[Obstacle, ...],
                     rng: np.random.Generator) -> None:
    """Put up what a scene has, and put away what it has not.

    Args:
        model: The compiled model.
        room: Name of the room, one of `ROOMS`.
        obstacles: Those of the scene.
        rng: Of their shades; asked only where there is something to shade.
    """
    own = ROOMS[room].half_m == ROOMS[SQUARE].half_m
    for index in range(4):
        _show(model, model.geom(f'wall_{index}').id, own)
    wall = model.geom_rgba[model.geom('wall_0').id, :3]
    for name, other in ROOMS.items():
        for index, (x, y, _, _) in enumerate(_panels(other)):
            shown = name == room
            geom = _place(model, f'panel_{name}_{index}', (x, y, 0.0) if shown else None)
            if shown:
                model.geom_rgba[geom, :3] = np.clip(wall * rng.uniform(0.9, 1.05), 0, 1)
    standing = {o.kind: o for o in obstacles}
    for name in OBSTACLES:
        one = standing.get(name)
        geom = _place(model, f'obstacle_{name}',
                      None if one is None else (*one.position, one.yaw))
        if one is not None:
            shade = np.array(_SHADES[rng.integers(len(_SHADES))]) * rng.uniform(0.8, 1.15)
            model.geom_rgba[geom, :3] = np.clip(shade, 0, 1)


def _panels(room: Room) -> list[tuple[float, float, float, float]]:
    """Walls of a room that the model's own four are not, as rectangles."""
    panels = list(room.inner)
    if room.half_m != ROOMS[SQUARE].half_m:
        x, y = room.half_m
        panels += [(x + _THICK_M, 0, _THICK_M, y), (-x - _THICK_M, 0, _THICK_M, y),
                   (0, y + _THICK_M, x, _THICK_M), (0, -y - _THICK_M, x, _THICK_M)]
    return panels


def _add(spec: mujoco.MjSpec, name: str, shape: mujoco.mjtGeom,
         size: tuple[float, float, float], middle: float, index: int) -> None:
    body = spec.worldbody.add_body(name=name, pos=(_PARKED_M + 10 * index, 60, 0))
    body.add_geom(name=name, type=shape, size=size, pos=(0, 0, middle),
                  rgba=(0.6, 0.6, 0.6, 1), group=HIDDEN_GROUP)


def _place(model: mujoco.MjModel, name: str, pose: tuple[float, ...] | None) -> int:
    """Put one up at x, y, yaw, or away; returns its geom."""
    body = model.body(name)
    x, y, yaw = pose or (_PARKED_M, 60.0, 0.0)
    model.body_pos[body.id] = (x, y, 0)
    model.body_quat[body.id] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
    geom = int(model.body_geomadr[body.id])
    _show(model, geom, pose is not None)
    return geom


def _show(model: mujoco.MjModel, geom: int, shown: bool) -> None:
    model.geom_group[geom] = WORLD_GROUP if shown else HIDDEN_GROUP
    model.geom_contype[geom] = model.geom_conaffinity[geom] = int(shown)
