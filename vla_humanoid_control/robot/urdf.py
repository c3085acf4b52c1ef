"""URDF of a robot, written from its MuJoCo model and the limits of its robot file."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.links import Inertia, Link, LinkJoint, Shape, pose, read_links
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.resources import resource_path

Array = NDArray[np.float64]


def urdf(robot: RobotSpec) -> str:
    """The robot as URDF: for `robot_state_publisher`, RViz and whatever else reads it.

    Links, frames and joints are those of `read_links`. URDF has neither capsules nor ellipsoids:
    a capsule is a cylinder between two spheres, an ellipsoid a stretched mesh of a sphere. Meshes
    are named by the address of their file. Limits are those of the robot file; the effort is that
    of the model's actuator, and 0 where the model does not say.

    Raises:
        UserError: The robot has no model, or one that cannot be written so.
    """
    root = Element('robot', name=robot.name)
    for link in read_links(robot):
        _add_link(root, link)
        if link.joint is not None:
            _add_joint(root, link, link.joint)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode', xml_declaration=True) + '\n'


def numbers(values: Sequence[float] | Array) -> str:
    """Numbers for an attribute, with twelve digits."""
    return ' '.join(f'{value + 0.0:.12g}' for value in np.round(values, 12))


def roll_pitch_yaw(frame: Array) -> tuple[float, float, float]:
    """Angles of a frame [4, 4] about the fixed axes x, y and z, in this order [rad]."""
    rotation = frame[:3, :3]
    pitch = math.atan2(-rotation[2, 0], math.hypot(rotation[0, 0], rotation[1, 0]))
    if math.hypot(rotation[0, 0], rotation[1, 0]) < 1e-9:  # roll and yaw turn about one axis
        return math.atan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0
    return (math.atan2(rotation[2, 1], rotation[2, 2]), pitch,
            math.atan2(rotation[1, 0], rotation[0, 0]))


def tensor(inertia: Inertia) -> Array:
    """Moments of inertia about the centre of mass in the axes of the link, float64 [3, 3]."""
    axes = inertia.frame[:3, :3]
    result: Array = axes @ np.diag(inertia.moments) @ axes.T
    return result


def _add_origin(parent: Element, frame: Array) -> None:
    SubElement(parent, 'origin', xyz=numbers(frame[:3, 3]), rpy=numbers(roll_pitch_yaw(frame)))


def _add_link(root: Element, link: Link) -> None:
    element = SubElement(root, 'link', name=link.name)
    if link.inertia is not None:
        inertial = SubElement(element, 'inertial')
        SubElement(inertial, 'origin', xyz=numbers(link.inertia.frame[:3, 3]), rpy='0 0 0')
        SubElement(inertial, 'mass', value=numbers([link.inertia.mass]))
        about = tensor(link.inertia)
        SubElement(inertial, 'inertia', {
            f'i{"xyz"[i]}{"xyz"[j]}': numbers([about[i, j]])
            for i in range(3) for j in range(i, 3)})
    for shape in link.shapes:
        for purpose, wanted in (('visual', shape.seen), ('collision', shape.solid)):
            for piece in _pieces(shape) if wanted else ():
                part = SubElement(element, purpose)
                _add_origin(part, piece.frame)
                _add_geometry(SubElement(part, 'geometry'), piece)
                if purpose == 'visual':
                    colour = SubElement(part, 'material', name=_colour_name(shape.rgba))
                    SubElement(colour, 'color', rgba=numbers(np.round(shape.rgba, 4)))


def _pieces(shape: Shape) -> Iterator[Shape]:
    """A shape in those that URDF has."""
    replaced = functools.partial(Shape, rgba=shape.rgba, seen=shape.seen, solid=shape.solid)
    if shape.kind == 'ellipsoid':
        yield replaced('mesh', shape.size, shape.frame,
                       mesh=resource_path('meshes', 'unit_sphere.stl'))
    elif shape.kind == 'capsule':
        radius, length = shape.size
        yield replaced('cylinder', shape.size, shape.frame)
        for end in (-length / 2, length / 2):
            yield replaced('sphere', (radius,), shape.frame @ pose((0, 0, end)))
    else:
        yield shape


def _add_geometry(geometry: Element, shape: Shape) -> None:
    if shape.kind == 'box':
        SubElement(geometry, 'box', size=numbers(shape.size))
    elif shape.kind == 'sphere':
        SubElement(geometry, 'sphere', radius=numbers(shape.size))
    elif shape.kind == 'cylinder':
        SubElement(geometry, 'cylinder', radius=numbers(shape.size[:1]),
                   length=numbers(shape.size[1:]))
    else:
        SubElement(geometry, 'mesh', filename=Path(shape.mesh or '').as_uri(),
                   scale=numbers(shape.size))


def _add_joint(root: Element, link: Link, joint: LinkJoint) -> None:
    element = SubElement(root, 'joint', name=joint.name, type=joint.kind)
    _add_origin(element, joint.frame)
    SubElement(element, 'parent', link=joint.parent)
    SubElement(element, 'child', link=link.name)
    if joint.spec is None or joint.axis is None:
        return
    spec = joint.spec
    SubElement(element, 'axis', xyz=numbers(joint.axis))
    SubElement(element, 'limit', lower=numbers([spec.lower]), upper=numbers([spec.upper]),
               effort=numbers([joint.effort]), velocity=numbers([spec.motion.velocity]))
    SubElement(element, 'dynamics', damping=numbers([joint.damping]))


def _colour_name(rgba: Sequence[float]) -> str:
    """URDF has one material of a name: the colour itself is one."""
    return 'rgba_' + ''.join(f'{round(255 * value):02x}' for value in rgba)
