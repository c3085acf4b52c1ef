"""The room: walls, two tables, slots for movable objects, and how a seed arranges them.

Every slot is a free body that carries all four shapes; one is switched on. So a reset changes
numbers in a compiled model, and never compiles or uploads anything.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.anatomy import SimulationSpec, WorkplaceSpec
from vla_humanoid_control.robot.model import model_spec
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.fitting import (
    EYE,
    HIDDEN_GROUP,
    OBJECT_GROUP,
    WORLD_GROUP,
    prepare,
)
from vla_humanoid_control.simulation.obstacles import WALL_M, add_fixtures
from vla_humanoid_control.simulation.rooms import ROOMS, SQUARE
from vla_humanoid_control.tasks.task import FLOOR_SLOTS, TABLE_SLOTS
from vla_humanoid_control.tasks.vocabulary import SHAPES

OUTSIDE = 'outside'
"""The camera that shows the robot to people, and is none of its own."""

TABLE_HEIGHT_M = WorkplaceSpec().height_m
TABLE_HALF_M = (0.35, 0.80)
"""Half depth and half width of a table top [m]."""

_HUE = {'red': 0.0, 'green': 0.35, 'blue': 0.60, 'yellow': 0.145}
_WALLS = ((0.85, 0.84, 0.80), (0.72, 0.76, 0.80), (0.90, 0.88, 0.84), (0.62, 0.62, 0.64))
_TABLES = ((0.55, 0.40, 0.28), (0.85, 0.83, 0.80), (0.35, 0.27, 0.22), (0.45, 0.45, 0.47))


@dataclass(frozen=True)
class Size:
    """Bounding cylinder of an object [m]."""

    radius: float
    height: float


FLOOR_SIZE = {'box': Size(0.16, 0.30), 'ball': Size(0.16, 0.32), 'cup': Size(0.15, 0.32),
              'cone': Size(0.17, 0.36)}
TABLE_SIZE = {'box': Size(0.040, 0.07), 'ball': Size(0.038, 0.076), 'cup': Size(0.036, 0.085),
              'cone': Size(0.040, 0.095)}


GRASP_SIZE = {'box': Size(0.030, 0.08), 'ball': Size(0.034, 0.068), 'cup': Size(0.030, 0.09),
              'cone': Size(0.032, 0.10)}


@dataclass(frozen=True)
class Workplace(WorkplaceSpec):
    """What the robot file says of it, and the sizes of objects on a table, by shape."""

    sizes: Mapping[str, Size] = field(default_factory=lambda: TABLE_SIZE)


def workplace(robot: RobotSpec) -> Workplace:
    """That of a robot: what is to be held fits between its fingers."""
    said = WorkplaceSpec() if robot.simulation is None else robot.simulation.workplace
    return Workplace(**vars(said), sizes=GRASP_SIZE if robot.grasps else TABLE_SIZE)


@dataclass(frozen=True)
class Placed:
    """One object of a scene.

    Attributes:
        slot: Index of its body's slot; floor slots first.
        colour, shape: What it is.
        position: float64 [3], where it was put, centre of the body in the world [m].
        size: Bounding cylinder.
        on_table: Index of the table that it stands on; None for the floor.
    """

    slot: int
    colour: str
    shape: str
    position: NDArray[np.float64]
    size: Size
    on_table: int | None


def build_model(robot: RobotSpec, simulation: SimulationSpec) -> mujoco.MjModel:
    """Compile a robot in its room, all object slots parked outside.

    Raises:
        UserError: The robot's model is missing or lacks a body that the robot file names.
    """
    spec = model_spec(robot)
    place = workplace(robot)
    prepare(spec, robot, simulation)
    _add_room(spec, simulation.trunk, place.height_m)
    _add_meshes(spec, place.sizes)
    for index in range(FLOOR_SLOTS + TABLE_SLOTS):
        _add_slot(spec, index, place.sizes)
    add_fixtures(spec)
    # The clipping planes scale with this; left to itself it would span the parked objects.
    spec.stat.extent = 1.0
    spec.stat.center = (0, 0, 0.7)
    return spec.compile()


def _add_room(spec: mujoco.MjSpec, trunk: str, table: float) -> None:
    world = spec.worldbody
    for name, kind, rgb1, rgb2 in (('checker', mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
                                    (.62, .62, .62), (.52, .52, .53)),
                                   ('plain', mujoco.mjtBuiltin.mjBUILTIN_FLAT,
                                    (.66, .62, .56), (.66, .62, .56)),
                                   ('planks', mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
                                    (.60, .47, .35), (.50, .38, .28))):
        spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=kind,
                         rgb1=rgb1, rgb2=rgb2, width=64, height=64)
        textures = [''] * mujoco.mjtTextureRole.mjNTEXROLE
        textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        spec.add_material(name=f'floor_{name}', textures=textures, texrepeat=(10, 10))
    spec.add_texture(name='sky', type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
                     builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT, rgb1=(.78, .80, .82),
                     rgb2=(.78, .80, .82), width=32, height=192)
    world.add_geom(name='floor', type=mujoco.mjtGeom.mjGEOM_PLANE, size=(40, 40, 0.1),
                   material='floor_checker', contype=2, conaffinity=0, group=WORLD_GROUP)
    for i, (x, y, hx, hy) in enumerate(((1, 0, .05, 1), (-1, 0, .05, 1),
                                        (0, 1, 1, .05), (0, -1, 1, .05))):
        half, _ = ROOMS[SQUARE].half_m
        world.add_geom(name=f'wall_{i}', type=mujoco.mjtGeom.mjGEOM_BOX,
                       pos=(x * (half + .05), y * (half + .05), WALL_M / 2),
                       size=(hx if hx < 1 else half, hy if hy < 1 else half, WALL_M / 2),
                       rgba=(*_WALLS[0], 1), group=WORLD_GROUP)
    for index in range(2):
        body = world.add_body(name=f'table_{index}')
        depth, width = TABLE_HALF_M
        body.add_geom(name=f'table_{index}_top', type=mujoco.mjtGeom.mjGEOM_BOX,
                      pos=(0, 0, table - .02), size=(depth, width, .02),
                      rgba=(*_TABLES[0], 1), group=WORLD_GROUP)
        body.add_geom(name=f'table_{index}_leg', type=mujoco.mjtGeom.mjGEOM_BOX,
                      pos=(.08, 0, (table - .04) / 2),
                      size=(depth - .20, width - .15, (table - .04) / 2),
                      rgba=(*_TABLES[0], 1), group=WORLD_GROUP)
    lights = (((0, 0, 4), .50), ((2, 2, 3), .25), ((-2, -1, 3), .25))
    for index, (pos, diffuse) in enumerate(lights):
        world.add_light(name=f'light_{index}', pos=pos, dir=(0, 0, -1), castshadow=False,
                        type=mujoco.mjtLightType.mjLIGHT_POINT if index else
                        mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
                        diffuse=(diffuse,) * 3, ambient=(.16,) * 3, specular=(.1,) * 3)
    world.add_camera(name='outside', pos=(-3.2, -3.2, 2.6), fovy=52,
                     mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY, targetbody=trunk)


def _add_meshes(spec: mujoco.MjSpec, on_table: Mapping[str, Size]) -> None:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for kind, sizes in (('floor', FLOOR_SIZE), ('table', on_table)):
        cone, cup = sizes['cone'], sizes['cup']
        half = cone.height / 2
        base = np.c_[ring * cone.radius, np.full(24, -half)]
        spec.add_mesh(name=f'{kind}_cone',
                      uservert=np.vstack([base, [[0, 0, half]]]).ravel())
        half = cup.height / 2
        bottom = np.c_[ring * cup.radius * .70, np.full(24, -half)]
        top = np.c_[ring * cup.radius, np.full(24, half)]
        spec.add_mesh(name=f'{kind}_cup', uservert=np.vstack([bottom, top]).ravel())


def _add_slot(spec: mujoco.MjSpec, index: int, on_table: Mapping[str, Size]) -> None:
    kind, sizes = ('floor', FLOOR_SIZE) if index < FLOOR_SLOTS else ('table', on_table)
    mass = 1.5 if kind == 'floor' else 0.12
    radius = sizes['box'].radius
    body = spec.worldbody.add_body(name=f'object_{index}', pos=(30 + index, 0, .2))
    body.add_freejoint(name=f'object_{index}')
    body.mass = mass
    body.inertia = (mass * .4 * radius ** 2 * 1.6,) * 3
    body.ipos = (0, 0, 0)
    body.iquat = (1, 0, 0, 0)
    body.explicitinertial = True
    # All variants collide when compiled, so that the body's own contact filter lets them; which
    # ones really do is `show_object`'s choice.
    common = {'contype': 1, 'conaffinity': 3, 'group': HIDDEN_GROUP, 'condim': 4,
              'friction': (0.9, 0.02, 0.002)}
    box, ball, cup, cone = (sizes[s] for s in SHAPES)
    side = box.radius / np.sqrt(2) * 1.15
    body.add_geom(name=f'object_{index}_box', type=mujoco.mjtGeom.mjGEOM_BOX,
                  size=(side, side, box.height / 2), **common)
    body.add_geom(name=f'object_{index}_ball', type=mujoco.mjtGeom.mjGEOM_SPHERE,
                  size=(ball.radius, 0, 0), **common)
    body.add_geom(name=f'object_{index}_cup', type=mujoco.mjtGeom.mjGEOM_MESH,
                  meshname=f'{kind}_cup', **common)
    body.add_geom(name=f'object_{index}_cup_inside', type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                  pos=(0, 0, cup.height / 2 + .001), size=(cup.radius * .86, .002, 0),
                  rgba=(.08, .08, .09, 1), **common)
    body.add_geom(name=f'object_{index}_cup_handle', type=mujoco.mjtGeom.mjGEOM_BOX,
                  pos=(0, -cup.radius * 1.15, cup.height * .05),
                  size=(cup.radius * .13, cup.radius * .32, cup.height * .26), **common)
    body.add_geom(name=f'object_{index}_cone', type=mujoco.mjtGeom.mjGEOM_MESH,
                  meshname=f'{kind}_cone', **common)


def show_object(model: mujoco.MjModel, slot: int, shape: str | None,
                rgb: tuple[float, float, float] = (0, 0, 0)) -> None:
    """Switch a slot to one shape and colour; None switches it off."""
    for name in ('box', 'ball', 'cup', 'cup_inside', 'cup_handle', 'cone'):
        geom = model.geom(f'object_{slot}_{name}').id
        on = shape is not None and name.split('_')[0] == shape
        solid = on and '_' not in name
        model.geom_group[geom] = OBJECT_GROUP if on else HIDDEN_GROUP
        model.geom_contype[geom] = 1 if solid else 0
        model.geom_conaffinity[geom] = 3 if solid else 0
        if name != 'cup_inside':
            model.geom_rgba[geom] = (*rgb, 1)
    if shape is None:
        # A parked body still needs something that keeps it on the floor plane.
        geom = model.geom(f'object_{slot}_ball').id
        model.geom_conaffinity[geom] = 2


def sample_rgb(rng: np.random.Generator, colour: str) -> tuple[float, float, float]:
    """A shade that people would call by that name."""
    hue = (_HUE[colour] + rng.uniform(-0.018, 0.018)) % 1.0
    return colorsys.hsv_to_rgb(hue, rng.uniform(0.78, 1.0), rng.uniform(0.62, 0.95))


def randomise_look(model: mujoco.MjModel, rng: np.random.Generator, nominal: Nominal) -> None:
    """Vary floor, walls, tables, lights and the head camera's mounting."""
    materials = [i for i in range(model.nmat) if model.mat(i).name.startswith('floor_')]
    model.geom_matid[model.geom('floor').id] = rng.choice(materials)
    for material in materials:
        shade = rng.uniform(0.7, 1.15)
        model.mat_rgba[material, :3] = np.clip(shade + rng.uniform(-.04, .04, 3), 0, 1)
    wall = np.array(_WALLS[rng.integers(len(_WALLS))]) * rng.uniform(.85, 1.1)
    table = np.array(_TABLES[rng.integers(len(_TABLES))]) * rng.uniform(.85, 1.1)
    for geom in range(model.ngeom):
        name = model.geom(geom).name
        if name.startswith('wall_'):
            own = wall * rng.uniform(.92, 1.05) + rng.uniform(-.02, .02, 3)
            model.geom_rgba[geom, :3] = np.clip(own, 0, 1)
        elif name.startswith('table_'):
            model.geom_rgba[geom, :3] = np.clip(table, 0, 1)
    for light in range(model.nlight):
        model.light_diffuse[light] = nominal.light_diffuse[light] * rng.uniform(.6, 1.35)
        model.light_pos[light] = nominal.light_pos[light] + rng.uniform(-1, 1, 3) * (1, 1, .4)
    direction = np.array([rng.uniform(-.5, .5), rng.uniform(-.5, .5), -1.0])
    model.light_dir[0] = direction / np.linalg.norm(direction)
    camera = model.cam(EYE).id
    model.cam_pos[camera] = nominal.camera_position + rng.normal(0, .006, 3)
    tilt = np.zeros(4)
    mujoco.mju_euler2Quat(tilt, rng.normal(0, .015, 3), 'xyz')
    mujoco.mju_mulQuat(model.cam_quat[camera], nominal.camera_quaternion, tilt)
    model.cam_fovy[camera] = nominal.camera_fovy + rng.normal(0, 1.0)


@dataclass(frozen=True)
class Nominal:
    """What `randomise_look` varies around, taken from a freshly compiled model."""

    light_diffuse: NDArray[np.float64]
    light_pos: NDArray[np.float64]
    camera_position: NDArray[np.float64]
    camera_quaternion: NDArray[np.float64]
    camera_fovy: float

    @staticmethod
    def of(model: mujoco.MjModel) -> Nominal:
        """Read them."""
        camera = model.cam(EYE).id
        return Nominal(model.light_diffuse.copy(), model.light_pos.copy(),
                       model.cam_pos[camera].copy(), model.cam_quat[camera].copy(),
                       float(model.cam_fovy[camera]))
