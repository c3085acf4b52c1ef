"""The room of the built-in simulator for Gazebo: a world in SDF with the robot and a scene in it.

Everything is read from the compiled MuJoCo model after a reset, so that a seed and a task mean the
same scene here and there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.gazebo_bridge import bridge_yaml
from vla_humanoid_control.robot.links import Inertia, Shape, pose, read_shape
from vla_humanoid_control.robot.sdf import (
    FLOOR_BITS,
    OBJECT_BITS,
    ROBOT_BITS,
    add_inertia,
    add_plugin,
    add_pose,
    add_robot,
    add_shapes,
    add_text,
)
from vla_humanoid_control.robot.urdf import numbers
from vla_humanoid_control.simulation.fitting import OBJECT_GROUP, WORLD_GROUP
from vla_humanoid_control.simulation.mirror import object_name
from vla_humanoid_control.simulation.scene import Placed
from vla_humanoid_control.simulation.walking import walking_gains
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.outputs import make_folder, write_atomically

Array = NDArray[np.float64]

MESH_FOLDER = 'meshes'
_STEP_S = 0.001  # with the gains of the wrists a longer one would make them shake
_FLOOR_GREY = 0.57
"""Mean of the floor's texture: a plane of SDF has one colour."""
_OBJECTS_HZ = 20
_HANGS_M = 0.05
"""So far above where it stands a robot on legs hangs: straight legs do not reach the floor."""
_SKY = (.78, .80, .82, 1.0)


@dataclass(frozen=True)
class GazeboWorld:
    """A world for Gazebo.

    Attributes:
        sdf: The world; it names its meshes relative to the folder that it is in.
        meshes: File name below `MESH_FOLDER` to content, binary STL.
        bridge: What `ros_gz_bridge` carries between it and the graph, YAML.
    """

    sdf: str
    meshes: dict[str, bytes]
    bridge: str

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write it into a folder; gives the files of the world and of the bridge.

        Raises:
            UserError: It cannot be written there.
        """
        make_folder(folder / MESH_FOLDER, 'The folder of the world')
        world, bridge = folder / 'world.sdf', folder / 'bridge.yaml'
        write_atomically(world, self.sdf.encode())
        write_atomically(bridge, self.bridge.encode())
        for name, content in self.meshes.items():
            write_atomically(folder / MESH_FOLDER / name, content)
        return world, bridge


def gazebo_world(world: World) -> GazeboWorld:
    """A world as it is now, with the robot where it is.

    Raises:
        UserError: The robot is none that Gazebo can have.
    """
    return _Writer(world).write()


class _Writer:
    """Writes a world as it is now."""

    def __init__(self, world: World) -> None:
        self._world, self._model, self._data = world, world.model, world.data
        self._meshes: dict[str, bytes] = {}

    def write(self) -> GazeboWorld:
        root = Element('sdf', version='1.9')
        world = SubElement(root, 'world', name='room')
        physics = SubElement(world, 'physics', name='steps', type='ignored')
        # With its own choice, ODE, the same scene takes two and a half times as long.
        add_text(physics, {'max_step_size': _STEP_S, 'real_time_factor': 1.0,
                           'dart': {'collision_detector': 'bullet'}})
        for file, name in (('physics', 'Physics'), ('user-commands', 'UserCommands'),
                           ('scene-broadcaster', 'SceneBroadcaster'), ('imu', 'Imu')):
            add_plugin(world, file, name)
        add_text(add_plugin(world, 'sensors', 'Sensors'), {'render_engine': 'ogre2'})
        add_text(world, {'gravity': '0 0 -9.81', 'scene': {
            'ambient': '0.4 0.4 0.4 1', 'background': numbers(_SKY), 'shadows': False}})
        self._add_lights(world)
        self._add_room(world)
        for placed in self._world.objects:
            self._add_object(world, placed)
        robot = self._world.robot
        add_robot(world, robot, self._base(), walking_gains(robot) if robot.walks else {})
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding='unicode', xml_declaration=True) + '\n'
        return GazeboWorld(text, self._meshes, bridge_yaml(
            robot, [object_name(placed) for placed in self._world.objects]))

    def _base(self) -> Array:
        """Where the base is, float64 [4, 4]; of a robot on legs, where it hangs upright."""
        x, y, yaw = self._world.base_pose()
        height = 0.0
        if (simulation := self._world.robot.simulation) and self._world.robot.walks:
            # The frame of the base is where the model has it, below the pelvis.
            root = self._model.body_rootid[self._model.body(simulation.trunk).id]
            height = float(self._data.xpos[root][2] - self._model.body_pos[root][2]) + _HANGS_M
        return pose((x, y, height), (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)))

    def _add_lights(self, world: Element) -> None:
        model = self._model
        for light in range(model.nlight):
            directional = model.light_type[light] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
            element = SubElement(world, 'light', name=model.light(light).name,
                                 type='directional' if directional else 'point')
            add_pose(element, pose(model.light_pos[light]))
            add_text(element, {'cast_shadows': False,
                               'diffuse': numbers([*model.light_diffuse[light].round(4), 1]),
                               'specular': '0.1 0.1 0.1 1',
                               'attenuation': {'range': 40.0, 'constant': 1.0, 'linear': 0.0,
                                               'quadratic': 0.0}})
            if directional:
                add_text(element, {'direction': numbers(model.light_dir[light])})

    def _add_room(self, world: Element) -> None:
        model = self._model
        floor = _add_model(world, 'floor', np.eye(4), static=True)
        shade = np.append(_FLOOR_GREY * model.mat_rgba[model.geom_matid[
            model.geom('floor').id], :3], 1).clip(0, 1).round(4)
        plane = {'geometry': {'plane': {'normal': '0 0 1', 'size': '20 20'}}}
        add_text(SubElement(floor, 'visual', name='visual'), {
            **plane, 'material': {'ambient': numbers(shade), 'diffuse': numbers(shade)}})
        add_text(SubElement(floor, 'collision', name='collision'), {
            **plane, 'surface': {'contact': {'collide_bitmask': FLOOR_BITS}}})
        for geom in range(model.ngeom):
            name = model.geom(geom).name
            if name.startswith('wall_') and model.geom_group[geom] == WORLD_GROUP:
                shape = read_shape(model, geom)
                wall = _add_model(world, name, shape.frame, static=True)
                add_shapes(wall, [replace(shape, frame=np.eye(4))], ROBOT_BITS)
        for body in range(model.nbody):
            name = model.body(body).name
            shown = [g for g in self._geoms(body) if model.geom_group[g] == WORLD_GROUP]
            if name.startswith(('table_', 'panel_', 'obstacle_')) and shown:
                fixture = _add_model(world, name, self._place(body), static=True)
                add_shapes(fixture, [read_shape(model, g) for g in shown], ROBOT_BITS)

    def _add_object(self, world: Element, placed: Placed) -> None:
        model = self._model
        body = int(model.body(f'object_{placed.slot}').id)
        link = _add_model(world, object_name(placed), self._place(body), says_where=True)
        add_inertia(link, Inertia(float(model.body_mass[body]), np.eye(4),
                                  np.array(model.body_inertia[body])))
        shown = [g for g in self._geoms(body)
                 if model.geom_group[g] == OBJECT_GROUP]
        add_shapes(link, [self._object_shape(g) for g in shown], OBJECT_BITS)

    def _object_shape(self, geom: int) -> Shape:
        shape = replace(read_shape(self._model, geom), seen=True)
        if shape.kind == 'mesh':
            number = int(self._model.geom_dataid[geom])
            name = f'{self._model.mesh(number).name}.stl'
            self._meshes[name] = _stl(self._model, number)
            shape = replace(shape, mesh=Path(PurePosixPath(MESH_FOLDER, name)))
        return shape

    def _geoms(self, body: int) -> Sequence[int]:
        first = int(self._model.body_geomadr[body])
        return range(first, first + int(self._model.body_geomnum[body]))

    def _place(self, body: int) -> Array:
        return pose(self._data.xpos[body], self._data.xquat[body])


def _add_model(world: Element, name: str, place: Array, static: bool = False,
               says_where: bool = False) -> Element:
    """Add a model of one link, which may publish where it is; gives the link."""
    model = SubElement(world, 'model', name=name)
    add_pose(model, place)
    if static:
        add_text(model, {'static': True})
    if says_where:
        add_text(add_plugin(model, 'pose-publisher', 'PosePublisher'), {
            'publish_link_pose': False, 'publish_nested_model_pose': True,
            'update_frequency': _OBJECTS_HZ})
    return SubElement(model, 'link', name='link')


def _stl(model: Any, number: int) -> bytes:
    """A mesh as the model was compiled with it, as binary STL."""
    first, count = int(model.mesh_faceadr[number]), int(model.mesh_facenum[number])
    faces = model.mesh_face[first:first + count]
    corners = model.mesh_vert[int(model.mesh_vertadr[number]):][faces].astype('<f4')
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    rows = np.concatenate([normals[:, None], corners], axis=1).astype('<f4')
    return (model.mesh(number).name.encode().ljust(80) + struct.pack('<I', count)
            + b''.join(row.tobytes() + bytes(2) for row in rows))
