"""SDF of a robot for Gazebo: its links, sensors, and what drives its joints and its base.

Plugins are named as Harmonic (gz-sim 8) documents them; Fortress takes these names from 6.16 on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.links import (
    Inertia,
    Link,
    LinkJoint,
    Shape,
    camera_frame,
    pose,
    read_links,
)
from vla_humanoid_control.robot.spec import LET_GO, WALKING_IMU, WALKING_JOINTS, RobotSpec
from vla_humanoid_control.robot.urdf import numbers, roll_pitch_yaw, tensor
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import OPTICAL, mount_pose

Array = NDArray[np.float64]

ROBOT_BITS, FLOOR_BITS, OBJECT_BITS = 1, 2, 3
"""What touches what: two shapes with a bit in common. A base that slides rides above the floor."""
_ROBOT_SEEN_BIT, _ALL_SEEN_BITS = 4, 0x0FFFFFFF  # the laser does not see the robot itself
IMAGE_SIZE = (640, 480)
"""Width and height of a camera image, where the robot file gives none [px]."""
_CAMERA_HZ, _SCAN_HZ, _IMU_HZ, _JOINTS_HZ, _ODOM_HZ = 20, 10, 100, 100, 50
_WALKING_HZ = 200  # joints and attitude of a robot on legs, for its walking controller
_IMAGE_NOISE = 1.5 / 255  # as of the built-in simulator
_SCAN_RAYS, _SCAN_RANGE_M, _SCAN_HEIGHT_M = 180, (0.05, 8.0), 0.2
_DEPTH_RANGE_M, _DEPTH_FOV = (0.1, 10.0), 1.3
_LEAST_MASS, _LEAST_MOMENT = 0.01, 1e-4  # of a link between two joints of one body [kg, kg m²]
IMU_SITE = 'imu'
"""Site of the model where the IMU is, if the robot file does not say; else the first link."""


def gazebo_topic(robot: RobotSpec, topic: str) -> str:
    """What a topic of the robot is called in Gazebo: below the name of its model."""
    return f'/{robot.name}/{topic.lstrip("/")}'


def add_robot(parent: Element, robot: RobotSpec, place: Array,
              gains: Mapping[str, tuple[float, float]] = MappingProxyType({})) -> Element:
    """Add the robot as a model; gives its element.

    Its joints follow a JointTrajectory on `joint_commands` (JointTrajectoryController), with the
    gains and efforts of the MuJoCo model's position servos. SDF has no rotor inertia: the armature
    of a joint is a moment of its link. At the start the joints move from 0 to the home posture.

    - A base that slides follows velocity commands on `cmd_vel` (VelocityControl). As in the MuJoCo
      model, gravity does not act on it and nothing of it touches the floor.
    - A robot that walks hangs on a crane until something is published on `LET_GO`. The joints that
      nobody else commands follow a JointTrajectory on `WALKING_JOINTS`, of its walking controller,
      which feels by an IMU in the base link.

    Args:
        parent: `sdf` or `world`; of a robot that walks, `world`.
        robot: The robot.
        place: float64 [4, 4], where its base is.
        gains: Joint name to stiffness and damping [Nm/rad, Nm s/rad], where they are other ones
            than the model's.

    Raises:
        UserError: It has no model, a joint without a position servo, or a camera of which nobody
            knows where it is.
    """
    links = {link.name: _with_gains(link, gains) for link in read_links(robot)}
    for link in links.values():
        if link.joint and link.joint.spec and not link.joint.stiffness > 0:
            raise UserError(f'Robot {robot.name}: nothing in its model {robot.mjcf} holds the '
                            f'joint {link.joint.name} in place. Give it a position actuator.')
    model = SubElement(parent, 'model', name=robot.name)
    add_pose(model, place)
    bodies: dict[str, Element] = {}
    for link in links.values():
        if link.inertia is None and not (link.joint and link.joint.spec):
            _add_frame(model, link)
            continue
        bodies[link.name] = _add_link(model, link, robot.walks)
        if link.joint and link.joint.parent in bodies:
            _add_joint(model, link.name, link.joint)
    base = next(iter(bodies))
    model.set('canonical_link', base)
    _add_sensors(robot, links, bodies)
    joints = [link.joint for link in links.values() if link.joint and link.joint.spec]
    _add_plugins(model, robot, joints)
    if robot.walks:
        _add_crane(parent, robot, base, place)
    return model


def _with_gains(link: Link, gains: Mapping[str, tuple[float, float]]) -> Link:
    if link.joint is None or link.joint.name not in gains:
        return link
    stiffness, damping = gains[link.joint.name]
    return replace(link, joint=replace(link.joint, stiffness=stiffness, servo_damping=damping))


def add_text(parent: Element, values: Mapping[str, Any]) -> Element:
    """Add elements with a text each, nested where a value is a mapping; gives the parent."""
    for name, value in values.items():
        element = SubElement(parent, name)
        if isinstance(value, Mapping):
            add_text(element, value)
        else:
            element.text = str(value).lower() if isinstance(value, bool) else \
                f'{value:.12g}' if isinstance(value, float) else str(value)
    return parent


def add_pose(parent: Element, frame: Array, relative_to: str = '') -> None:
    """Add the pose of a frame [4, 4], in the one that SDF takes it in or in a named one."""
    element = SubElement(parent, 'pose', {'relative_to': relative_to} if relative_to else {})
    element.text = f'{numbers(frame[:3, 3])} {numbers(roll_pitch_yaw(frame))}'


def add_inertia(link: Element, inertia: Inertia, armature: float = 0.0) -> None:
    """Add a mass, with a rotor inertia [kg m²] about all axes."""
    inertial = SubElement(link, 'inertial')
    add_pose(inertial, pose(inertia.frame[:3, 3]))
    about = tensor(inertia) + armature * np.eye(3)
    add_text(inertial, {'mass': inertia.mass, 'inertia': {
        f'i{"xyz"[i]}{"xyz"[j]}': numbers([about[i, j]]) for i in range(3) for j in range(i, 3)}})


def add_shapes(link: Element, shapes: Sequence[Shape], bits: int, seen_bits: int = 0) -> None:
    """Add what a link looks like and what it touches with; `bits` say which shapes that is."""
    for number, shape in enumerate(shapes):
        if shape.seen:
            visual = SubElement(link, 'visual', name=f'visual_{number}')
            add_pose(visual, shape.frame)
            _add_geometry(visual, shape)
            colour = numbers(np.round(shape.rgba, 4))
            add_text(visual, {'material': {'ambient': colour, 'diffuse': colour,
                                           'specular': '0.1 0.1 0.1 1'}})
            if seen_bits:
                add_text(visual, {'visibility_flags': seen_bits})
        if shape.solid:
            collision = SubElement(link, 'collision', name=f'collision_{number}')
            add_pose(collision, shape.frame)
            _add_geometry(collision, shape)
            add_text(collision, {'surface': {
                'friction': {'ode': {'mu': 0.9, 'mu2': 0.9}},
                'contact': {'collide_bitmask': bits}}})


def _add_geometry(parent: Element, shape: Shape) -> None:
    size: dict[str, Any]
    if shape.kind == 'mesh':
        mesh = shape.mesh or Path()
        size = {'uri': mesh.as_uri() if mesh.is_absolute() else mesh.as_posix(),
                'scale': numbers(shape.size)}
    elif shape.kind in ('box', 'ellipsoid'):
        size = {'size' if shape.kind == 'box' else 'radii': numbers(shape.size)}
    else:
        size = dict(zip(('radius', 'length'), shape.size))
    add_text(parent, {'geometry': {shape.kind: size}})


def _add_frame(model: Element, link: Link) -> None:
    joint = link.joint
    frame = SubElement(model, 'frame', {'name': link.name,
                                        **({'attached_to': joint.parent} if joint else {})})
    add_pose(frame, joint.frame if joint else np.eye(4))


def _add_crane(world: Element, robot: RobotSpec, base: str, place: Array) -> None:
    """What a robot on legs hangs on: without its walking controller it falls at once."""
    crane = SubElement(world, 'model', name=f'{robot.name}_crane')
    add_pose(crane, place)
    add_inertia(SubElement(crane, 'link', name='link'), Inertia(1.0, np.eye(4), np.ones(3)))
    # Fixed to the world, not static: what hangs on something static could not move its joints.
    add_text(SubElement(crane, 'joint', name='stand', type='fixed'),
             {'parent': 'world', 'child': 'link'})
    add_text(add_plugin(crane, 'detachable-joint', 'DetachableJoint'), {
        'parent_link': 'link', 'child_model': robot.name, 'child_link': base,
        'topic': gazebo_topic(robot, LET_GO)})


def _add_link(model: Element, link: Link, walks: bool) -> Element:
    element = SubElement(model, 'link', name=link.name)
    joint = link.joint
    if joint:
        add_pose(element, joint.frame, joint.parent)
    if not walks:
        add_text(element, {'gravity': False})
    slides = joint is not None and joint.kind == 'prismatic'
    armature = joint.armature if joint else 0.0
    inertia = link.inertia or Inertia(_LEAST_MASS, np.eye(4), np.full(3, _LEAST_MOMENT))
    if slides:
        inertia = Inertia(inertia.mass + armature, inertia.frame, inertia.moments)
    add_inertia(element, inertia, 0.0 if slides else armature)
    add_shapes(element, link.shapes, ROBOT_BITS | (FLOOR_BITS if walks else 0), _ROBOT_SEEN_BIT)
    return element


def _add_joint(model: Element, link: str, joint: LinkJoint) -> None:
    element = SubElement(model, 'joint', name=joint.name, type=joint.kind)
    add_text(element, {'parent': joint.parent, 'child': link})
    if joint.spec is not None and joint.axis is not None:
        limit = {'lower': joint.spec.lower, 'upper': joint.spec.upper}
        if joint.effort:
            limit['effort'] = joint.effort
        add_text(element, {'axis': {'xyz': numbers(joint.axis), 'limit': limit,
                                    'dynamics': {'damping': joint.damping}}})


# --- sensors ------------------------------------------------------------------------------------


def _add_sensors(robot: RobotSpec, links: Mapping[str, Link],
                 bodies: Mapping[str, Element]) -> None:
    base, sensors = next(iter(bodies.values())), robot.sensors
    for name, camera in robot.cameras.items():
        link = links.get(camera_frame(name))
        if link is None or link.joint is None:
            raise UserError(f'Robot {robot.name}: its model {robot.mjcf} has no camera {name}.')
        width, height = camera.optics.size if camera.optics else IMAGE_SIZE
        element = _sensor(bodies[link.joint.parent], name, 'camera', _CAMERA_HZ,
                          gazebo_topic(robot, camera.topic), link.name,
                          link.joint.frame @ np.linalg.inv(OPTICAL))
        add_text(element, {'camera': {
            'horizontal_fov': 2 * math.atan(math.tan(link.fovy / 2) * width / height),
            'image': {'width': width, 'height': height, 'format': 'R8G8B8'},
            'clip': {'near': 0.02, 'far': 40.0},
            'noise': {'type': 'gaussian', 'mean': 0.0, 'stddev': _IMAGE_NOISE}}})
    if 'depth' in sensors:
        depth = sensors['depth']
        element = _sensor(base, 'depth', 'depth_camera', _CAMERA_HZ,
                          gazebo_topic(robot, depth.topic), depth.frame, mount_pose(depth.mount),
                          robot.base_frame)
        near, far = _DEPTH_RANGE_M
        add_text(element, {'camera': {
            'horizontal_fov': _DEPTH_FOV,
            'image': {'width': IMAGE_SIZE[0] // 2, 'height': IMAGE_SIZE[1] // 2,
                      'format': 'R_FLOAT32'},
            'clip': {'near': near, 'far': far},
            'visibility_mask': _ALL_SEEN_BITS & ~_ROBOT_SEEN_BIT}})
    if 'scan' in sensors:
        _add_laser(robot, base)
    if 'imu' in sensors:
        site = links.get(robot.simulation.imu if robot.simulation else IMU_SITE)
        body, where = (site.joint.parent, site.joint.frame) if site and site.joint else (
            next(iter(bodies)), np.eye(4))
        _sensor(bodies[body], 'imu', 'imu', _IMU_HZ, gazebo_topic(robot, sensors['imu'].topic),
                body, where)
    if robot.walks:
        _sensor(base, 'walking_imu', 'imu', _WALKING_HZ, gazebo_topic(robot, WALKING_IMU),
                robot.base_frame, np.eye(4), robot.base_frame)


def _add_laser(robot: RobotSpec, base: Element) -> None:
    scan = robot.sensors['scan']
    where = mount_pose(scan.mount) if scan.frame else pose((0, 0, _SCAN_HEIGHT_M))
    element = _sensor(base, 'scan', 'gpu_lidar', _SCAN_HZ, gazebo_topic(robot, scan.topic),
                      scan.frame or robot.base_frame, where, robot.base_frame)
    step, (near, far) = 2 * math.pi / _SCAN_RAYS, _SCAN_RANGE_M
    add_text(element, {'lidar': {
        'scan': {'horizontal': {'samples': _SCAN_RAYS, 'resolution': 1.0, 'min_angle': -math.pi,
                                'max_angle': math.pi - step}},
        'range': {'min': near, 'max': far, 'resolution': 0.01},
        'visibility_mask': _ALL_SEEN_BITS & ~_ROBOT_SEEN_BIT}})


def _sensor(link: Element, name: str, kind: str, rate_hz: int, topic: str, frame: str,
            where: Array, relative_to: str = '') -> Element:
    sensor = SubElement(link, 'sensor', name=name, type=kind)
    add_pose(sensor, where, relative_to)
    return add_text(sensor, {'topic': topic, 'update_rate': rate_hz, 'always_on': True,
                             'gz_frame_id': frame})


# --- plugins ------------------------------------------------------------------------------------


def add_plugin(parent: Element, file: str, name: str) -> Element:
    """Add a system of Gazebo, such as 'physics', 'Physics'."""
    return SubElement(parent, 'plugin', filename=f'gz-sim-{file}-system',
                      name=f'gz::sim::systems::{name}')


def _add_plugins(model: Element, robot: RobotSpec, joints: Sequence[LinkJoint]) -> None:
    if not robot.walks:
        add_text(add_plugin(model, 'velocity-control', 'VelocityControl'),
                 {'topic': gazebo_topic(robot, 'cmd_vel')})
    if 'odom' in robot.sensors:
        add_text(add_plugin(model, 'odometry-publisher', 'OdometryPublisher'), {
            'odom_topic': gazebo_topic(robot, robot.sensors['odom'].topic), 'odom_frame': 'odom',
            'tf_topic': gazebo_topic(robot, 'tf'), 'robot_base_frame': robot.base_frame,
            'odom_publish_frequency': _ODOM_HZ, 'dimensions': 3 if robot.walks else 2})
    states = add_text(add_plugin(model, 'joint-state-publisher', 'JointStatePublisher'), {
        'topic': gazebo_topic(robot, robot.sensors['joint_states'].topic),
        'update_rate': _WALKING_HZ if robot.walks else _JOINTS_HZ})
    for joint in joints:
        add_text(states, {'joint_name': joint.name})
    commanded = {j.name for j in robot.controlled} if robot.walks else set(robot.joint_names)
    _add_servos(model, gazebo_topic(robot, 'joint_commands'),
                [j for j in joints if j.name in commanded])
    if robot.walks:
        _add_servos(model, gazebo_topic(robot, WALKING_JOINTS),
                    [j for j in joints if j.name not in commanded])


def _add_servos(model: Element, topic: str, joints: Sequence[LinkJoint]) -> None:
    servos = add_text(add_plugin(model, 'joint-trajectory-controller',
                                 'JointTrajectoryController'), {'topic': topic})
    for joint in joints:  # values of several joints follow the order of the names
        assert joint.spec is not None
        add_text(servos, {
            'joint_name': joint.name, 'initial_position': joint.spec.home,
            'position_p_gain': joint.stiffness, 'velocity_p_gain': joint.servo_damping,
            # Without a limit of its own the plugin takes a lower bound above the upper one.
            'position_cmd_min': -joint.effort if joint.effort else 0.0,
            'position_cmd_max': joint.effort or -1.0})
