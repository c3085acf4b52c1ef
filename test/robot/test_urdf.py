"""The URDF of a robot says what its MuJoCo model and its robot file say."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from urllib.parse import urlparse
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
from g1 import needs_g1, needs_t1

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.robot.links import pose, read_links
from vla_humanoid_control.robot.model import load_model
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import JointSpec, MotionLimits, RobotSpec, SensorSpec
from vla_humanoid_control.robot.urdf import roll_pitch_yaw, urdf
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import OPTICAL, mount_pose
from vla_humanoid_control.support.resources import config_path, resource_path

MARKS = {'unitree_g1': [needs_g1], 'booster_t1': [needs_t1]}
ROBOTS = [pytest.param(name, marks=MARKS.get(name, [needs_g1] if 'g1' in name else []))
          for name in sorted(p.stem for p in config_path('robots').glob('*.yaml'))]
AWKWARD = """
<mujoco>
  <compiler angle="radian" autolimits="true" meshdir="assets"/>
  <asset><mesh name="wedge" file="wedge.stl" scale="2 1 0.5"/></asset>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body name="pelvis" pos="0.1 0 0.8">
      <freejoint name="float"/>
      <geom type="box" size="0.1 0.1 0.1" mass="3"/>
      <body name="arm" pos="0 0.2 0.1" quat="0.9 0.1 -0.3 0.2">
        <joint name="swing" axis="1 2 0" pos="0.05 0 -0.1" ref="0.4" range="-1 1"/>
        <joint name="lift" type="slide" axis="0 0 1" pos="0 0.1 0" ref="0.1" range="-1 1"/>
        <geom type="mesh" mesh="wedge" pos="0.1 0.2 0.3" quat="0.5 0.5 -0.5 0.5" mass="1"/>
        <body pos="0.3 0 0" euler="0.1 0.2 0.3">
          <joint name="idle" axis="0 1 0"/>
          <geom type="ellipsoid" size="0.1 0.05 0.02" mass="1" group="3" contype="0"
                conaffinity="0"/>
          <body name="hand" pos="0 0.1 0">
            <joint name="grip" axis="0 0 1" range="-1 1" pos="0.02 0 0"/>
            <geom type="capsule" size="0.02 0.1" mass="0.2"/>
            <site name="grasp" pos="0.1 0 0" euler="0.3 0 0"/>
            <camera name="palm" pos="0 0 0.1" euler="0.5 0.1 0"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="swing" gear="3" forcerange="-5 7"/></actuator>
</mujoco>
"""


def transforms(text: str, positions: dict[str, float]) -> dict[str, np.ndarray]:
    """Forward kinematics of a URDF: link to float64 [4, 4] in the root link."""
    root = ElementTree.fromstring(text.encode())
    links = {e.get('name') for e in root.iter('link')}
    joints = {e.find('child').get('link'): e for e in root.iter('joint')}
    placed = {name: np.eye(4) for name in links - set(joints)}
    assert len(placed) == 1

    def place(link: str) -> np.ndarray:
        if link not in placed:
            joint = joints[link]
            frame = place(joint.find('parent').get('link')) @ origin(joint)
            if joint.get('type') != 'fixed':
                axis = np.array(read(joint.find('axis').get('xyz')))
                motion, q = np.eye(4), positions[joint.get('name')]
                if joint.get('type') == 'prismatic':
                    motion[:3, 3] = q * axis
                else:
                    cross = np.cross(np.eye(3), axis)
                    motion[:3, :3] += np.sin(q) * cross + (1 - np.cos(q)) * cross @ cross
                frame = frame @ motion
            placed[link] = frame
        return placed[link]

    for link in links:
        place(link)
    return placed


def origin(element: ElementTree.Element) -> np.ndarray:
    place = element.find('origin')
    return mount_pose([*read(place.get('xyz')), *read(place.get('rpy'))])


def read(text: str) -> list[float]:
    return [float(part) for part in text.split()]


def in_world(data: mujoco.MjData, kind: str, name: str) -> np.ndarray:
    frame, item = np.eye(4), getattr(data, kind)(name)
    frame[:3, 3], frame[:3, :3] = item.xpos, item.xmat.reshape(3, 3)
    return frame


def posed(robot: RobotSpec, seed: int) -> tuple[mujoco.MjModel, mujoco.MjData, dict[str, float]]:
    """The robot's own model with its joints somewhere within their limits."""
    model = load_model(robot)
    data, rng = mujoco.MjData(model), np.random.default_rng(seed)
    positions = {j.name: rng.uniform(j.lower, j.upper) for j in robot.joints}
    for name, value in positions.items():
        data.joint(name).qpos = value
    mujoco.mj_forward(model, data)
    return model, data, positions


def check(robot: RobotSpec, seed: int) -> None:
    """Bodies, sites, cameras and the centre of mass are where MuJoCo has them."""
    model, data, positions = posed(robot, seed)
    text = urdf(robot)
    links = transforms(text, positions)
    compared = 0
    for kind, count in (('body', model.nbody), ('site', model.nsite), ('cam', model.ncam)):
        for index in range(count):
            name = getattr(model, kind)(index).name
            link = f'{name}_camera' if kind == 'cam' else name
            if name in ('world', '') or link not in links:
                continue
            expected = in_world(data, kind, name)  # the base is at its reference
            if kind == 'cam':  # which looks along -z, and an image along z
                expected = expected @ np.diag([1.0, -1.0, -1.0, 1.0])
            offset = np.zeros(3)
            if kind == 'body' and model.body_jntnum[index]:  # the link is where its joint is
                last = model.body_jntadr[index] + model.body_jntnum[index] - 1
                if model.joint(last).name in positions:
                    offset = model.jnt_pos[last]
            expected = expected @ shift(offset)
            np.testing.assert_allclose(links[link], expected, atol=1e-6)
            compared += 1
    for name, camera in robot.cameras.items():
        if camera.optics is not None:
            expected = in_world(data, 'body', camera.optics.body) @ mount_pose(
                camera.optics.mount) @ OPTICAL
            np.testing.assert_allclose(links[f'{name}_camera'], expected, atol=1e-6)
            compared += 1
    assert compared > 3
    heavy = [(e, e.find('inertial')) for e in ElementTree.fromstring(text.encode()).iter('link')
             if e.find('inertial') is not None]
    masses = np.array([float(i.find('mass').get('value')) for _, i in heavy])
    centres = np.array([(links[e.get('name')] @ origin(i))[:3, 3] for e, i in heavy])
    np.testing.assert_allclose(masses.sum(), model.body_mass.sum(), rtol=1e-9)
    np.testing.assert_allclose(masses @ centres / masses.sum(), data.subtree_com[0], atol=1e-6)
    expected = sum(spatial(data.xipos[b], model.body_mass[b],
                           data.ximat[b].reshape(3, 3) @ np.diag(model.body_inertia[b])
                           @ data.ximat[b].reshape(3, 3).T) for b in range(model.nbody))
    found = sum(spatial(c, m, rotated(links[e.get('name')], i.find('inertia')))
                for (e, i), m, c in zip(heavy, masses, centres))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def shift(by: np.ndarray) -> np.ndarray:
    frame = np.eye(4)
    frame[:3, 3] = by
    return frame


def spatial(centre: np.ndarray, mass: float, about: np.ndarray) -> np.ndarray:
    """Moments about the origin of the base, float64 [3, 3]."""
    return about + mass * (centre @ centre * np.eye(3) - np.outer(centre, centre))


def rotated(frame: np.ndarray, inertia: ElementTree.Element) -> np.ndarray:
    about = np.array([[float(inertia.get(f'i{"".join(sorted(a + b))}')) for b in 'xyz']
                      for a in 'xyz'])
    return frame[:3, :3] @ about @ frame[:3, :3].T


@pytest.mark.parametrize('name', ROBOTS)
@pytest.mark.parametrize('seed', range(3))
def test_forward_kinematics_and_masses_are_those_of_the_model(name: str, seed: int) -> None:
    check(load_robot(name), seed)


@pytest.mark.parametrize('name', ROBOTS)
def test_joints_and_limits_are_those_of_the_robot_file(name: str) -> None:
    robot = load_robot(name)
    found = {e.get('name'): e.find('limit') for e in
             ElementTree.fromstring(urdf(robot).encode()).iter('joint')
             if e.get('type') != 'fixed'}
    assert set(found) == set(robot.joint_names)
    for joint in robot.joints:
        limit = found[joint.name]
        assert (float(limit.get('lower')), float(limit.get('upper')),
                float(limit.get('velocity'))) == (joint.lower, joint.upper, joint.motion.velocity)
        assert float(limit.get('effort')) > 0


def test_frames_have_the_names_that_messages_have() -> None:
    """`humanoid_sim` stamps images, scan, odometry and the IMU with these."""
    links = {e.get('name') for e in ElementTree.fromstring(urdf(load_robot('humanoid')).encode()
                                                           ).iter('link')}
    assert {'base_link', 'torso', 'head_camera', 'left_grasp', 'right_grasp', 'imu'} <= links


def test_a_camera_frame_has_the_axes_of_an_image() -> None:
    """REP 103: z ahead, x right, y down."""
    robot = load_robot('humanoid')
    frame = transforms(urdf(robot), dict.fromkeys(robot.joint_names, 0.0))['head_camera']
    np.testing.assert_allclose(frame[:3, :3], OPTICAL[:3, :3], atol=1e-9)


def _by_mujoco(mount: tuple[float, ...]) -> np.ndarray:
    quaternion = np.zeros(4)
    mujoco.mju_euler2Quat(quaternion, np.array(mount[3:]), 'XYZ')
    return pose(mount[:3], quaternion)


def test_mounted_sensors_have_a_frame_on_the_base() -> None:
    mount = (0.1, -0.2, 0.3, 0.4, 0.5, -0.6)
    robot = load_robot('humanoid')
    robot = dataclasses.replace(robot, sensors={
        **robot.sensors, 'scan': SensorSpec('scan', 0.5, 'laser', mount),
        'depth': SensorSpec('depth', 0.5, 'depth_optical', mount)})
    links = transforms(urdf(robot), dict.fromkeys(robot.joint_names, 0.0))
    np.testing.assert_allclose(_by_mujoco(mount), mount_pose(mount), atol=1e-12)
    np.testing.assert_allclose(links['laser'], mount_pose(mount), atol=1e-9)
    np.testing.assert_allclose(links['depth_optical'], mount_pose(mount) @ OPTICAL, atol=1e-9)


@pytest.fixture
def awkward(tmp_path: Path) -> RobotSpec:
    """A robot with what the built-in one has not: anchors, references, a mesh, a free base."""
    (tmp_path / 'assets').mkdir()
    corners = np.array([[0, 0, 0], [.3, 0, 0], [0, .2, 0], [0, 0, .1]])
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    (tmp_path / 'assets' / 'wedge.stl').write_bytes(
        bytes(80) + struct.pack('<I', 4) + b''.join(
            np.array([np.zeros(3), *corners[list(f)]], '<f4').tobytes() + bytes(2)
            for f in faces))
    (tmp_path / 'awkward.xml').write_text(AWKWARD, encoding='utf-8')
    limits = MotionLimits(1.0, 2.0, 3.0)
    return RobotSpec('awkward', str(tmp_path / 'awkward.xml'), tuple(
        JointSpec(n, -1, 1, 0, limits, controlled=True) for n in ('swing', 'lift', 'grip')),
        {}, 0.3, 0.5, 0.5, {'palm': SensorSpec('palm/image_raw', 0.5)}, {})


@pytest.mark.parametrize('seed', range(3))
def test_anchors_and_references_are_kept(awkward: RobotSpec, seed: int) -> None:
    check(awkward, seed)


def test_a_mesh_is_named_by_its_file_and_lies_where_it_did(awkward: RobotSpec) -> None:
    """MuJoCo moves the vertices of a mesh to their principal axes."""
    model, data, positions = posed(awkward, 0)
    text = urdf(awkward)
    geometry = next(e for e in ElementTree.fromstring(text.encode()).iter('visual')
                    if e.find('geometry/mesh') is not None)
    mesh = geometry.find('geometry/mesh')
    path = Path(urlparse(mesh.get('filename')).path)
    corners = np.frombuffer(path.read_bytes()[84:], np.dtype(
        [('f', '<f4', (4, 3)), ('_', 'u2')]))['f'][:, 1:].reshape(-1, 3)
    frame = transforms(text, positions)['arm'] @ origin(geometry)
    placed = corners * read(mesh.get('scale')) @ frame[:3, :3].T + frame[:3, 3]
    geom = int(np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)[0])
    expected = model.mesh_vert @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    distances = np.linalg.norm(placed[:, None] - expected[None], axis=2)
    assert distances.min(axis=1).max() < 1e-6 and distances.min(axis=0).max() < 1e-6


def test_what_is_seen_and_what_is_solid_is_told_apart(awkward: RobotSpec) -> None:
    root = ElementTree.fromstring(urdf(awkward).encode())
    hidden = next(e for e in root.iter('link') if e.get('name') == 'body_3')
    assert hidden.find('visual') is None and hidden.find('collision') is None
    hand = next(e for e in root.iter('link') if e.get('name') == 'hand')
    assert len(hand.findall('visual')) == len(hand.findall('collision')) == 3  # of a capsule


def test_effort_is_that_of_the_actuator(awkward: RobotSpec) -> None:
    efforts = {e.get('name'): float(e.find('limit').get('effort')) for e in
               ElementTree.fromstring(urdf(awkward).encode()).iter('joint')
               if e.find('limit') is not None}
    assert efforts == {'swing': 21.0, 'lift': 0.0, 'grip': 0.0}


def test_a_base_frame_that_is_a_body_of_the_model_is_that_body(awkward: RobotSpec) -> None:
    links = read_links(dataclasses.replace(awkward, base_frame='pelvis'))
    assert links[0].name == 'pelvis' and links[0].joint is None and links[0].inertia
    assert [link.name for link in links].count('pelvis') == 1


@pytest.mark.parametrize(('change', 'words'), [
    ({'mjcf': None}, 'no model'),
    ({'joints': (JointSpec('tail', -1, 1, 0, MotionLimits(1, 1, 1), True),)}, 'no joint tail'),
    ({'joints': (JointSpec('float', -1, 1, 0, MotionLimits(1, 1, 1), True),)}, 'float')])
def test_a_robot_that_cannot_be_written_is_refused(awkward: RobotSpec, change: dict,
                                                   words: str) -> None:
    with pytest.raises(UserError, match=words):
        urdf(dataclasses.replace(awkward, **change))


@pytest.mark.parametrize('angles', [(0.1, 0.2, 0.3), (1.0, np.pi / 2, 0.0),
                                    (-2.0, -np.pi / 2, 0.5), (3.0, 1.0, -3.0)])
def test_angles_of_a_frame(angles: tuple[float, ...]) -> None:
    frame = mount_pose([0, 0, 0, *angles])
    np.testing.assert_allclose(mount_pose([0, 0, 0, *roll_pitch_yaw(frame)]), frame, atol=1e-7)


def test_the_mesh_of_a_sphere_is_one() -> None:
    content = resource_path('meshes', 'unit_sphere.stl').read_bytes()
    triangles = np.frombuffer(content[84:], np.dtype([('f', '<f4', (4, 3)), ('_', 'u2')]))['f']
    assert len(triangles) == struct.unpack('<I', content[80:84])[0]
    np.testing.assert_allclose(np.linalg.norm(triangles[:, 1:], axis=2), 1.0, atol=1e-6)
    assert np.einsum('ni,ni->n', triangles[:, 0], triangles[:, 1:].sum(1)).min() > 0  # outwards


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'new' / 'humanoid.urdf'
    assert main(['robot', 'urdf', '--out', str(out)]) == 0
    assert out.read_text(encoding='utf-8') == urdf(load_robot('humanoid'))
    assert main(['robot', 'urdf']) == 0
    assert capsys.readouterr().out == out.read_text(encoding='utf-8')
    assert main(['robot', 'urdf', '--robot', 'nobody']) == 2
