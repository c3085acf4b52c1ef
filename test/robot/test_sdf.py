"""The SDF of a robot says what its MuJoCo model and its robot file say, and Gazebo's parser
takes it.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import mujoco
import numpy as np
import pytest
from g1 import needs_g1
from libsdformat import check

from vla_humanoid_control.robot.gazebo_bridge import TO_GAZEBO, bridged_topics
from vla_humanoid_control.robot.model import load_model
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.sdf import FLOOR_BITS, OBJECT_BITS, ROBOT_BITS, add_robot
from vla_humanoid_control.robot.spec import (
    LET_GO,
    WALKING_IMU,
    WALKING_JOINTS,
    RobotSpec,
    SensorSpec,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import OPTICAL, mount_pose
from vla_humanoid_control.support.resources import resource_path

ROBOT = load_robot('humanoid')
MOUNT = (0.1, 0.0, 1.1, 0.0, 0.6, 0.0)
WITH_DEPTH = dataclasses.replace(ROBOT, sensors={
    **ROBOT.sensors, 'depth': SensorSpec('camera/depth/image_raw', 0.5, 'depth_optical', MOUNT),
    'scan': SensorSpec('scan', 0.5, 'laser', (-0.1, 0, 0.3, 0, 0, 3.1))})


def model_of(robot: RobotSpec, place: np.ndarray | None = None) -> Element:
    return add_robot(Element('sdf', version='1.9'), robot, np.eye(4) if place is None else place)


def text(element: Element, path: str) -> str:
    found = element.findtext(path)
    assert found is not None, path
    return found


def numbers(element: Element, path: str) -> list[float]:
    return [float(part) for part in text(element, path).split()]


def placed(model: Element, positions: dict[str, float]) -> dict[str, np.ndarray]:
    """Forward kinematics of an SDF model: link or frame to float64 [4, 4] in the model."""
    joints = {text(e, 'child'): e for e in model.iter('joint')}
    found: dict[str, np.ndarray] = {}
    for element in model:
        if element.tag not in ('link', 'frame'):
            continue
        name, pose = element.get('name'), element.find('pose')
        parent = element.get('attached_to') or pose.get('relative_to')
        frame = (found[parent] if parent else np.eye(4)) @ mount_pose(numbers(element, 'pose'))
        if element.tag == 'link' and name in joints and joints[name].get('type') != 'fixed':
            assert text(joints[name], 'parent') == parent
            axis = np.array(numbers(joints[name], 'axis/xyz'))
            q, motion = positions[joints[name].get('name')], np.eye(4)
            if joints[name].get('type') == 'prismatic':
                motion[:3, 3] = q * axis
            else:
                turn = np.zeros(4)
                mujoco.mju_axisAngle2Quat(turn, axis, q)
                flat = np.zeros(9)
                mujoco.mju_quat2Mat(flat, turn)
                motion[:3, :3] = flat.reshape(3, 3)
            frame = frame @ motion
        found[name] = frame
    return found


@pytest.mark.parametrize('seed', range(3))
def test_forward_kinematics_are_those_of_the_model(seed: int) -> None:
    model = load_model(ROBOT)
    data, rng = mujoco.MjData(model), np.random.default_rng(seed)
    positions = {j.name: rng.uniform(j.lower, j.upper) for j in ROBOT.joints}
    for name, value in positions.items():
        data.joint(name).qpos = value
    mujoco.mj_forward(model, data)
    links = placed(model_of(ROBOT), positions)
    for kind, count in (('body', model.nbody), ('site', model.nsite)):
        for index in range(count):
            name = getattr(model, kind)(index).name
            if name == 'world':
                continue
            item = getattr(data, kind)(name)
            np.testing.assert_allclose(links[name][:3, 3], item.xpos, atol=1e-6)
            np.testing.assert_allclose(links[name][:3, :3], item.xmat.reshape(3, 3), atol=1e-6)
    camera = ROBOT.cameras['head'].optics
    body = data.body(camera.body)
    axes = body.xmat.reshape(3, 3) @ mount_pose(camera.mount)[:3, :3] @ OPTICAL[:3, :3]
    np.testing.assert_allclose(links['head_camera'][:3, :3], axes, atol=1e-6)
    np.testing.assert_allclose(links['head_camera'][:3, 3], body.xpos + body.xmat.reshape(3, 3)
                               @ camera.mount[:3], atol=1e-6)


def test_limits_are_those_of_the_robot_file_and_gains_those_of_the_model() -> None:
    model = model_of(ROBOT)
    mujoco_model = load_model(ROBOT)
    joints = {e.get('name'): e for e in model.iter('joint')}
    assert set(joints) == set(ROBOT.joint_names)
    servos = next(e for e in model.iter('plugin') if 'Trajectory' in e.get('name'))
    values = {tag: [e.text for e in servos.findall(tag)] for tag in
              {e.tag for e in servos} - {'topic'}}
    assert {len(v) for v in values.values()} == {len(ROBOT.joints)}
    for joint in ROBOT.joints:
        number = values['joint_name'].index(joint.name)
        limit = joints[joint.name].find('axis/limit')
        assert [float(text(limit, n)) for n in ('lower', 'upper')] == [joint.lower, joint.upper]
        actuator = mujoco_model.actuator(joint.name)
        assert float(values['position_p_gain'][number]) == actuator.gainprm[0]
        assert float(values['velocity_p_gain'][number]) == -actuator.biasprm[2]
        assert float(values['position_cmd_max'][number]) == actuator.forcerange[1] \
            == -float(values['position_cmd_min'][number]) == float(text(limit, 'effort'))
        assert float(values['initial_position'][number]) == joint.home


def test_masses_are_those_of_the_model_and_rotors_are_in_the_links() -> None:
    """Without the armature the servos of light links shake in steps of a millisecond."""
    model, own = model_of(ROBOT), load_model(ROBOT)
    names = {own.body(b).name: b for b in range(1, own.nbody)}
    links = {e.get('name'): e for e in model.iter('link')}
    assert set(names) <= set(links)
    for name, element in links.items():
        mass = float(text(element, 'inertial/mass'))
        assert text(element, 'gravity') == 'false'
        if name in names and own.jnt_type[own.body_jntadr[names[name]]] != 2:
            assert mass == pytest.approx(own.body_mass[names[name]])
        elif name not in names:
            assert mass <= 0.01
    servos = next(e for e in model.iter('plugin') if 'Trajectory' in e.get('name'))
    gains = dict(zip((e.text for e in servos.findall('joint_name')),
                     (float(e.text) for e in servos.findall('velocity_p_gain'))))
    for joint in model.iter('joint'):
        inertial = links[text(joint, 'child')].find('inertial')
        inertia = float(text(inertial, 'mass')) if joint.get('type') == 'prismatic' else \
            np.array(numbers(joint, 'axis/xyz')) @ np.array(
                [float(text(inertial, f'inertia/i{a}{a}')) for a in 'xyz'])
        assert gains[joint.get('name')] * 0.001 / abs(inertia) < 1.0  # stable below 2


def sensors(model: Element) -> dict[str, tuple[str, Element]]:
    return {s.get('name'): (link.get('name'), s) for link in model.iter('link')
            for s in link.findall('sensor')}


def test_sensors_are_where_the_model_and_the_robot_file_have_them() -> None:
    model = model_of(ROBOT)
    found, own = sensors(model), load_model(ROBOT)
    assert {name: s.get('type') for name, (_, s) in found.items()} == {
        'head': 'camera', 'scan': 'gpu_lidar', 'imu': 'imu'}
    link, camera = found['head']
    assert link == 'head' and text(camera, 'gz_frame_id') == 'head_camera'
    optics = ROBOT.cameras['head'].optics
    np.testing.assert_allclose(numbers(camera, 'pose'), optics.mount, atol=1e-9)
    width, height = (float(text(camera, f'camera/image/{n}')) for n in ('width', 'height'))
    across = float(text(camera, 'camera/horizontal_fov'))
    upright = 2 * math.atan(math.tan(across / 2) * height / width)
    assert (width, height) == optics.size
    assert math.degrees(upright) == pytest.approx(optics.fovy_deg)
    link, imu = found['imu']
    assert link == text(imu, 'gz_frame_id') == 'torso'
    np.testing.assert_allclose(numbers(imu, 'pose')[:3], own.site('imu').pos, atol=1e-9)


def test_the_laser_is_that_of_the_simulator_and_does_not_see_the_robot() -> None:
    from vla_humanoid_control.simulation import world
    model = model_of(ROBOT)
    link, scan = sensors(model)['scan']
    assert link == 'base' and scan.find('pose').get('relative_to') == 'base_link'
    assert numbers(scan, 'pose') == [0, 0, world.SCAN_HEIGHT_M, 0, 0, 0]
    samples = int(text(scan, 'lidar/scan/horizontal/samples'))
    lower, upper = (float(text(scan, f'lidar/scan/horizontal/{n}_angle')) for n in ('min', 'max'))
    assert samples == world.SCAN_RAYS and lower == pytest.approx(-math.pi)
    assert (upper - lower) / (samples - 1) == pytest.approx(2 * math.pi / samples)
    assert float(text(scan, 'lidar/range/max')) == world.SCAN_MAX_M
    mask = int(text(scan, 'lidar/visibility_mask'))
    seen = [int(text(v, 'visibility_flags')) for v in model.iter('visual')]
    assert seen and not any(mask & flags for flags in seen)
    assert mask & 0x0FFFFFFF & ~seen[0]  # what has no flags of its own has all


def test_depth_and_laser_are_mounted_as_the_robot_file_says() -> None:
    found = sensors(model_of(WITH_DEPTH))
    link, depth = found['depth']
    assert link == 'base' and depth.get('type') == 'depth_camera'
    assert depth.find('pose').get('relative_to') == 'base_link'
    np.testing.assert_allclose(numbers(depth, 'pose'), MOUNT, atol=1e-9)
    assert text(depth, 'gz_frame_id') == 'depth_optical'
    assert text(found['scan'][1], 'gz_frame_id') == 'laser'


def test_the_robot_touches_objects_and_not_the_floor() -> None:
    bits = {int(text(c, 'surface/contact/collide_bitmask'))
            for c in model_of(ROBOT).iter('collision')}
    assert bits == {ROBOT_BITS}
    assert not ROBOT_BITS & FLOOR_BITS and ROBOT_BITS & OBJECT_BITS and FLOOR_BITS & OBJECT_BITS


@pytest.mark.parametrize('robot', [ROBOT, WITH_DEPTH], ids=['humanoid', 'with depth'])
def test_every_bridged_topic_is_one_of_gazebos(robot: RobotSpec) -> None:
    """What Gazebo derives: the camera_info beside every image."""
    model = model_of(robot)
    there = {text(e, tag) for e in model.iter() for tag in ('topic', 'odom_topic', 'tf_topic')
             if e.find(tag) is not None}
    bridged = {t.gazebo_topic for t in bridged_topics(robot)} - {'/clock'}
    info = {t for t in bridged if t.endswith('/camera_info')}
    assert bridged - info == there
    assert {t.rpartition('/')[0] for t in info} <= {t.rpartition('/')[0] for t in there}
    commands = {text(e, 'topic') for e in model.iter('plugin')
                if 'Velocity' in e.get('name') or 'Trajectory' in e.get('name')}
    assert commands == {t.gazebo_topic for t in bridged_topics(robot) if t.direction == TO_GAZEBO}


@pytest.mark.parametrize('robot', [ROBOT, WITH_DEPTH], ids=['humanoid', 'with depth'])
def test_the_parser_of_gazebo_takes_it(robot: RobotSpec, tmp_path: Path) -> None:
    root = Element('sdf', version='1.9')
    add_robot(root, robot, mount_pose([1, 2, 0, 0, 0, 0.5]))
    path = tmp_path / 'robot.sdf'
    path.write_bytes(ElementTree.tostring(root))
    assert check(path) == ''


def test_the_parser_of_gazebo_refuses_what_is_wrong(tmp_path: Path) -> None:
    root = Element('sdf', version='1.9')
    model = add_robot(root, ROBOT, np.eye(4))
    model.find('joint/child').text = 'nobody'
    path = tmp_path / 'robot.sdf'
    path.write_bytes(ElementTree.tostring(root))
    assert 'nobody' in check(path)


def test_a_joint_that_nothing_holds_is_refused(tmp_path: Path) -> None:
    written = resource_path(ROBOT.mjcf).read_text(encoding='utf-8')
    weak = tmp_path / 'weak.xml'
    weak.write_text(written.replace('<position name="neck_yaw"', '<motor name="neck_yaw"'),
                    encoding='utf-8')
    with pytest.raises(UserError, match='neck_yaw'):
        model_of(dataclasses.replace(ROBOT, mjcf=str(weak)))


def test_a_camera_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(UserError, match='no camera tail'):
        model_of(dataclasses.replace(ROBOT, cameras={'tail': SensorSpec('tail', 0.5)}))


@pytest.fixture(scope='module')
def legged() -> Element:
    """A world with the G1, whose legs have the gains of its walking policy."""
    world = Element('world', name='room')
    robot = load_robot('unitree_g1')
    add_robot(world, robot, place(0.8), {'left_knee_joint': (99.0, 6.0)})
    return world


def place(height: float) -> np.ndarray:
    frame = np.eye(4)
    frame[2, 3] = height
    return frame


@needs_g1
def test_a_robot_that_walks_has_weight_and_touches_the_floor(legged: Element) -> None:
    model, robot = legged.find('model'), load_robot('unitree_g1')
    masses = [float(e.text) for e in model.iter('mass')]
    assert sum(masses) == pytest.approx(load_model(robot).body_mass.sum(), rel=1e-3)
    assert not list(model.iter('gravity')) and len(masses) > 29
    feet = [link for link in model.iter('link') if link.get('name') in robot.support]
    bits = [int(e.text) for foot in feet for e in foot.iter('collide_bitmask')]
    assert len(feet) == 2 and all(b & FLOOR_BITS and b & ROBOT_BITS for b in bits)


@needs_g1
def test_its_legs_belong_to_its_walking_controller(legged: Element) -> None:
    model, robot = legged.find('model'), load_robot('unitree_g1')
    servos = {text(p, 'topic'): p for p in model.findall('plugin')
              if p.get('name').endswith('JointTrajectoryController')}
    arms, legs = (servos[f'/{robot.name}/{topic}'] for topic in ('joint_commands', WALKING_JOINTS))
    assert [e.text for e in arms.findall('joint_name')] == [j.name for j in robot.controlled]
    assert {e.text for e in legs.findall('joint_name')} \
        == set(robot.joint_names) - {j.name for j in robot.controlled}
    knee = [e.text for e in legs.findall('joint_name')].index('left_knee_joint')
    gains = [float(legs.findall(f'{what}_p_gain')[knee].text) for what in ('position', 'velocity')]
    assert gains == [99.0, 6.0]
    assert not [p for p in model.findall('plugin') if p.get('name').endswith('VelocityControl')]
    imus = {s.findtext('topic') for s in model.iter('sensor') if s.get('type') == 'imu'}
    assert imus == {f'/{robot.name}/imu/data', f'/{robot.name}/{WALKING_IMU}'}
    assert {t.gazebo_topic for t in bridged_topics(robot) if t.direction == TO_GAZEBO} \
        == {f'/{robot.name}/{topic}' for topic in ('joint_commands', WALKING_JOINTS, LET_GO)}


@needs_g1
def test_it_hangs_until_it_is_let_go(legged: Element) -> None:
    model, crane = legged.findall('model')
    assert crane.findtext('pose') == model.findtext('pose')
    assert crane.findtext('joint/parent') == 'world' and crane.find('static') is None
    (plugin,) = crane.findall('plugin')
    assert plugin.get('name') == 'gz::sim::systems::DetachableJoint'
    assert plugin.findtext('child_model') == model.get('name')
    assert plugin.findtext('child_link') == model.get('canonical_link')
    assert plugin.findtext('topic') == f'/{model.get("name")}/{LET_GO}'
