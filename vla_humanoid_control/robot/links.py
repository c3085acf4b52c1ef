"""The robot's MuJoCo model as links with one joint each: the form that URDF and SDF have.

A body that several joints carry becomes a chain of links without mass, one a joint, named after
the joint. The link of the last joint has the body's name and all that belongs to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.model import model_spec
from vla_humanoid_control.robot.spec import JointSpec, RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import OPTICAL, mount_pose

Array = NDArray[np.float64]

_FROM_MUJOCO: Array = np.diag([1.0, -1.0, -1.0, 1.0])
"""Turns the axes of an image into those of a MuJoCo camera, which looks along its -z."""
_HIDDEN_FROM_GROUP = 3  # MuJoCo's viewer shows the groups before it
_NO_COLOUR = (0.5, 0.5, 0.5, 1.0)  # of a geom that names none
_KINDS = {mujoco.mjtGeom.mjGEOM_BOX: 'box', mujoco.mjtGeom.mjGEOM_SPHERE: 'sphere',
          mujoco.mjtGeom.mjGEOM_CYLINDER: 'cylinder', mujoco.mjtGeom.mjGEOM_CAPSULE: 'capsule',
          mujoco.mjtGeom.mjGEOM_ELLIPSOID: 'ellipsoid', mujoco.mjtGeom.mjGEOM_MESH: 'mesh'}


@dataclass(frozen=True)
class Inertia:
    """Mass of a link.

    Attributes:
        mass: [kg].
        frame: float64 [4, 4], the principal axes at the centre of mass, in the link.
        moments: float64 [3], about these axes [kg m²].
    """

    mass: float
    frame: Array
    moments: Array


@dataclass(frozen=True)
class Shape:
    """A piece of a link's geometry.

    Attributes:
        kind: box, sphere, cylinder, capsule, ellipsoid or mesh.
        size: Of a box its edges, of a sphere its radius, of a cylinder or a capsule its radius and
            the length of its straight part along z, of an ellipsoid its half axes [m]; of a mesh
            its scale along x, y and z.
        frame: float64 [4, 4], where it is in the link.
        rgba: Red, green, blue and opacity, 0 to 1.
        seen: Whether it is drawn.
        solid: Whether it collides.
        mesh: File of a mesh; None for other kinds.
    """

    kind: str
    size: tuple[float, ...]
    frame: Array
    rgba: tuple[float, ...]
    seen: bool
    solid: bool
    mesh: Path | None = None


@dataclass(frozen=True)
class LinkJoint:
    """What carries a link.

    Attributes:
        name: Of a joint of the robot file its name there.
        parent: Name of the link that it is on.
        frame: float64 [4, 4], where the link is in its parent, with the joint at 0.
        spec: Limits of the joint; None where it is fixed.
        kind: revolute, prismatic or fixed.
        axis: float64 [3], in the frame of the link.
        effort: Most that its actuator gives [Nm; N]; 0 where the model does not say.
        stiffness, servo_damping: Gains of its position servo [Nm/rad, Nm s/rad; N/m, N s/m]; 0
            where the model has none.
        damping: Of the joint itself [Nm s/rad; N s/m].
        armature: Inertia of its rotor [kg m²; kg].
    """

    name: str
    parent: str
    frame: Array
    spec: JointSpec | None = None
    kind: str = 'fixed'
    axis: Array | None = None
    effort: float = 0.0
    stiffness: float = 0.0
    servo_damping: float = 0.0
    damping: float = 0.0
    armature: float = 0.0


@dataclass(frozen=True)
class Link:
    """One link.

    Attributes:
        name: That of a body, a joint, a frame or a site of the model.
        joint: What carries it; None for the base.
        inertia: Its mass; None for a frame, and between two joints of one body.
        shapes: What it looks like, and what it touches with.
        fovy: Of a camera's frame its vertical field of view [rad]; 0 for the others.
    """

    name: str
    joint: LinkJoint | None = None
    inertia: Inertia | None = None
    shapes: tuple[Shape, ...] = ()
    fovy: float = 0.0


def read_links(robot: RobotSpec) -> tuple[Link, ...]:
    """The links of a robot, each after the one that carries it; the first is its base.

    The base is the frame `base_frame` on the floor below the robot in its reference posture.
    Joints that the robot file does not name stand still: those that move the base are among them.
    There is a frame for every site of the model, such as a hand's grasp point, for every camera
    whose mount the robot file or the model gives, by the name in its messages, and for every
    sensor with a mount.

    Raises:
        UserError: The robot has no model, or one that cannot be written as links.
    """
    if robot.mjcf is None:
        raise UserError(f'Robot {robot.name} has no model (mjcf), and so no links. Give one in '
                        'its robot file.')
    return tuple(_Reader(robot).links())


def pose(position: Sequence[float] | Array, quaternion: Sequence[float] | Array = (1, 0, 0, 0)
         ) -> Array:
    """float64 [4, 4] of a position [3] and a quaternion (w, x, y, z)."""
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, np.asarray(quaternion, np.float64))
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = rotation.reshape(3, 3), position
    return frame


class _Reader:
    """Goes through the bodies of one model."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._spec = model_spec(robot)
        self._model: Any = self._spec.compile()
        self._joints = {j.name: j for j in robot.joints}
        self._taken = {robot.base_frame}
        # Of each body the link that it is, and where it is in that link.
        self._places: dict[int, tuple[str, Array]] = {0: (robot.base_frame, np.eye(4))}

    def links(self) -> Iterator[Link]:
        model = self._model
        root = self._root()
        bodies = [b for b in range(1, model.nbody) if model.body_rootid[b] == root]
        for joint in self._joints:
            self._taken.add(f'{joint}_link')
        self._taken |= {self._body_name(b) for b in bodies}
        if self._body_name(root) == self._robot.base_frame:
            # The model's own base: the frame of the body, and not of the floor below it.
            self._places[root] = (self._robot.base_frame, np.eye(4))
            yield self._with_contents(Link(self._robot.base_frame), root)
            bodies.remove(root)
        else:
            yield Link(self._robot.base_frame)
        for body in bodies:
            yield from self._chain(body)
        yield from self._frames(bodies, root)

    def _root(self) -> int:
        """The body in the world that carries the robot."""
        model, there = self._model, {self._model.joint(j).name for j in range(self._model.njnt)}
        if absent := [name for name in self._joints if name not in there]:
            self._fail(f'has no joint {absent[0]}, which the robot file names')
        roots = {int(model.body_rootid[model.joint(name).bodyid[0]]) for name in self._joints}
        if len(roots) != 1:
            self._fail(f'has the joints of the robot file on {len(roots)} separate bodies')
        return roots.pop()

    def _chain(self, body: int) -> Iterator[Link]:
        """The links of a body, one for each of its joints."""
        model = self._model
        parent, frame = self._places[int(model.body_parentid[body])]
        frame = frame @ pose(model.body_pos[body], model.body_quat[body])
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        moving = [j for j in range(first, first + count) if model.joint(j).name in self._joints]
        name = self._body_name(body)
        carried = LinkJoint(f'{name}_joint', parent, frame)
        for joint in moving:
            link = name if joint == moving[-1] else f'{model.joint(joint).name}_link'
            carried, frame = self._joint(joint, parent, frame)
            parent = link
            if joint != moving[-1]:
                yield Link(link, carried)
        self._places[body] = name, frame if moving else np.eye(4)
        yield self._with_contents(Link(name, carried), body)

    def _joint(self, joint: int, parent: str, frame: Array) -> tuple[LinkJoint, Array]:
        """A joint, and where the body is in the link that the joint carries."""
        model, name = self._model, self._model.joint(joint).name
        axis, anchor = np.array(model.jnt_axis[joint]), np.array(model.jnt_pos[joint])
        reference = float(model.qpos0[model.jnt_qposadr[joint]])
        turn = np.array([1.0, 0.0, 0.0, 0.0])
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE:
            kind, shift = 'revolute', np.zeros(3)
            mujoco.mju_axisAngle2Quat(turn, axis, -reference)
        elif model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
            kind, shift = 'prismatic', -reference * axis
        else:
            self._fail(f'has a joint {name} that neither turns about an axis nor slides along one')
        dof = int(model.jnt_dofadr[joint])
        effort, stiffness, servo_damping = self._actuator(joint)
        return LinkJoint(name, parent, frame @ pose(anchor + shift, turn), self._joints[name],
                         kind, axis, effort, stiffness, servo_damping,
                         float(model.dof_damping[dof]), float(model.dof_armature[dof])
                         ), pose(-anchor)

    def _actuator(self, joint: int) -> tuple[float, float, float]:
        """Effort, stiffness and damping of what drives a joint."""
        model = self._model
        effort, stiffness, damping = 0.0, 0.0, 0.0
        if model.jnt_actfrclimited[joint]:
            effort = float(np.abs(model.jnt_actfrcrange[joint]).max())
        for actuator in range(model.nu):
            if model.actuator_trntype[actuator] != mujoco.mjtTrn.mjTRN_JOINT \
                    or model.actuator_trnid[actuator, 0] != joint:
                continue
            gear = abs(float(model.actuator_gear[actuator, 0]))
            bias = model.actuator_biasprm[actuator]
            stiffness, damping = -float(bias[1]) * gear ** 2, -float(bias[2]) * gear ** 2
            if not effort and model.actuator_forcelimited[actuator]:
                effort = float(np.abs(model.actuator_forcerange[actuator]).max()) * gear
        return effort, stiffness, damping

    def _with_contents(self, link: Link, body: int) -> Link:
        model, place = self._model, self._places[body][1]
        inertia = None
        if model.body_mass[body] > 0:
            inertia = Inertia(float(model.body_mass[body]),
                              place @ pose(model.body_ipos[body], model.body_iquat[body]),
                              np.array(model.body_inertia[body]))
        first, count = int(model.body_geomadr[body]), int(model.body_geomnum[body])
        shapes = tuple(self._shape(g, place) for g in range(first, first + count))
        return replace(link, inertia=inertia, shapes=shapes)

    def _shape(self, geom: int, place: Array) -> Shape:
        model = self._model
        try:
            shape = read_shape(model, geom)
        except UserError as error:
            self._fail(str(error))
        if shape.kind == 'mesh':
            number = int(model.geom_dataid[geom])
            # The compiler moves a mesh to its own principal axes; the file knows nothing of that.
            moved = pose(model.mesh_pos[number], model.mesh_quat[number])
            shape = replace(shape, frame=shape.frame @ np.linalg.inv(moved),
                            size=tuple(float(v) for v in model.mesh_scale[number]),
                            mesh=self._mesh_file(number))
        return replace(shape, frame=place @ shape.frame)

    def _mesh_file(self, number: int) -> Path:
        name = self._model.mesh(number).name
        file = next(m.file for m in self._spec.meshes if m.name == name)
        if not file:
            self._fail(f'has the mesh {name}, which is in no file')
        return Path(self._spec.modelfiledir, self._spec.meshdir, file).resolve()

    def _frames(self, bodies: Sequence[int], root: int) -> Iterator[Link]:
        """Frames without anything in them: sites, cameras, mounted sensors."""
        model, robot = self._model, self._robot
        there = {root, *bodies}
        for site in range(model.nsite):
            body, name = int(model.site_bodyid[site]), model.site(site).name
            if name and body in there:
                own = name if name not in self._taken else f'{name}_site'
                yield self._frame(own, body, pose(model.site_pos[site], model.site_quat[site]))
        for name, camera in robot.cameras.items():
            if camera.optics is not None:
                body = self._body(camera.optics.body)
                where, fovy_deg = mount_pose(camera.optics.mount) @ OPTICAL, camera.optics.fovy_deg
            elif name in (model.cam(i).name for i in range(model.ncam)):
                own = model.cam(name)
                body, fovy_deg = int(own.bodyid[0]), float(own.fovy[0])
                where = pose(own.pos, own.quat) @ _FROM_MUJOCO
            else:
                continue
            yield replace(self._frame(camera_frame(name), body, where),
                          fovy=math.radians(fovy_deg))
        for name, sensor in robot.sensors.items():
            if sensor.frame and sensor.frame not in self._taken:
                where = mount_pose(sensor.mount)
                yield self._frame(sensor.frame, 0, where @ OPTICAL if name == 'depth' else where)

    def _frame(self, name: str, body: int, where: Array) -> Link:
        self._taken.add(name)
        link, place = self._places[body]
        return Link(name, LinkJoint(f'{name}_joint', link, place @ where))

    def _body(self, name: str) -> int:
        body = next((b for b in self._places if b and self._body_name(b) == name), None)
        if body is None:
            self._fail(f'has no body {name}, which carries a camera')
        return body

    def _body_name(self, body: int) -> str:
        return self._model.body(body).name or f'body_{body}'

    def _fail(self, problem: str) -> NoReturn:
        raise UserError(f'Robot {self._robot.name}: its model {self._robot.mjcf} {problem}.')


def read_shape(model: Any, geom: int) -> Shape:
    """A geometry of a compiled model, in its body; of a mesh as it was compiled, without a file.

    Raises:
        UserError: It is of another kind than those of `Shape`.
    """
    kind = _KINDS.get(mujoco.mjtGeom(model.geom_type[geom]))
    if kind is None:
        raise UserError('has a geometry that is neither a box, a sphere, a cylinder, a capsule, '
                        'an ellipsoid nor a mesh')
    half = tuple(float(v) for v in model.geom_size[geom])
    size = {'box': tuple(2 * v for v in half), 'sphere': half[:1], 'ellipsoid': half,
            'cylinder': (half[0], 2 * half[1]), 'capsule': (half[0], 2 * half[1]),
            'mesh': (1.0, 1.0, 1.0)}[kind]
    rgba = tuple(float(v) for v in model.geom_rgba[geom])
    if model.geom_matid[geom] >= 0 and np.allclose(rgba, _NO_COLOUR):
        rgba = tuple(float(v) for v in model.mat_rgba[model.geom_matid[geom]])
    return Shape(kind, size, pose(model.geom_pos[geom], model.geom_quat[geom]), rgba,
                 bool(model.geom_group[geom] < _HIDDEN_FROM_GROUP),
                 bool(model.geom_contype[geom] or model.geom_conaffinity[geom]))


def camera_frame(camera: str) -> str:
    """What the images of a camera name as their frame: the axes of the image."""
    return f'{camera}_camera'
