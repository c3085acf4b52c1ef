"""The robot file: everything is required, and nothing passes that is not known."""

from pathlib import Path

import pytest
from g1 import needs_g1

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path

TEXT = config_path('robots', 'humanoid.yaml').read_text(encoding='utf-8')
NECK = 'neck_yaw: {position: [-1.3, 1.3], home: 0.0, velocity: 2.5'


def test_the_one_that_comes_along_is_valid() -> None:
    robot = load_robot('humanoid')
    assert (len(robot.joints), len(robot.controlled)) == (31, 19)
    assert robot.mjcf is not None and set(robot.sensors) == {'joint_states', 'scan', 'imu', 'odom'}


@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('jerk: 900.0, controlled: false', 'jerk: 900.0, controled: false',
     "joints.left_hip_yaw has the unknown key 'controled'"),
    ('name: humanoid', 'name: humanoid\nfootprint: 3', "unknown key 'footprint'"),
    ('linear_x: {', 'linear_x: {limit: 3, ', "base.linear_x has the unknown key 'limit'"),
    ('base:', 'base:\n  linear_z: {velocity: 1, acceleration: 1, jerk: 1}', "'linear_z'"),
    ('{topic: scan, ', '{topic: scan, timeout: 3, ', 'sensors.scan has the unknown key'),
    ('  odom:', '  odometry:', "sensors has the unknown key 'odometry'"),
    ('max_tilt_rad: 0.5', 'max_tilt_rad: 0.5\nmax_tilt_rad: 1.5', "'max_tilt_rad' is there twice"),
    (NECK, f'{NECK}, home: 0.1', "'home' is there twice"),
    ('  waist_yaw:', '  neck_pitch:', "'neck_pitch' is there twice"),
    ('max_tilt_rad: 0.5', 'max_tilt_rad: 100', 'max_tilt_rad must be less than 1.571'),
    ('max_tilt_rad: 0.5', 'max_tilt_rad: 1.5708', 'max_tilt_rad must be less than'),
    ('command_timeout_s: 0.5', '', 'command_timeout_s is missing; limits have no defaults'),
    ('command_timeout_s: 0.5', 'command_timeout_s: 2.5', 'command_timeout_s must be in [0.05, 2]'),
    ('command_timeout_s: 0.5', 'command_timeout_s: 0.01', 'command_timeout_s must be in [0.05'),
    (' scan, timeout_s: 0.5', ' scan, timeout_s: 1.0e+9', 'sensors.scan.timeout_s must be 5 s'),
    ('image_raw, timeout_s: 0.5', 'image_raw, timeout_s: 6', 'cameras.head.timeout_s'),
    ('{topic: scan,', '{topic: null,', 'sensors.scan.topic must be text'),
    ('{topic: scan,', '{topic: the scan,', 'sensors.scan.topic must be the name of a topic'),
    ('{topic: scan,', '{topic: //scan,', 'sensors.scan.topic must be the name of a topic'),
    ('name: humanoid', 'name: null', 'name must be text'),
    ('  waist_yaw:', '  on:', 'True, which must be text'),
    ('mjcf/humanoid.xml', 'mjcf/other.xml', 'mjcf names a model that does not exist'),
    ('mjcf: mjcf/humanoid.xml', 'mjcf: 3', 'mjcf must be text'),
    ('  joint_states: {topic: joint_states, timeout_s: 0.2}\n', '',
     'sensors.joint_states is miss'),
    ('velocity: 2.5, ', '', 'joints.neck_yaw.velocity is missing'),
    ('base_frame: base_link', 'base_frame: "/"', 'base_frame must be the name of a frame'),
    (' scan, timeout_s: 0.5', ' scan, timeout_s: 0.5, frame: laser',
     'sensors.scan.mount is missing'),
    (' scan, timeout_s: 0.5', ' scan, timeout_s: 0.5, mount: [0, 0, 0, 0, 0, 0]',
     'sensors.scan.frame is missing'),
    (' scan, timeout_s: 0.5', ' scan, timeout_s: 0.5, frame: laser, mount: [0, 0, 0]',
     'sensors.scan.mount must be [x, y, z, roll, pitch, yaw]'),
    (' scan, timeout_s: 0.5', ' scan, timeout_s: 0.5, frame: laser, mount: [0, 0, 0, 0, 0, 180]',
     'sensors.scan.mount must be in metres and radians'),
    (' scan, timeout_s: 0.5', ' scan, timeout_s: 0.5, frame: laser, mount: [0, 0, 0, 0, 0, .nan]',
     'sensors.scan.mount must be a finite number'),
    ('imu/data, timeout_s: 0.2', 'imu/data, timeout_s: 0.2, frame: imu',
     "sensors.imu has the unknown key 'frame'"),
    ('  odom:', '  depth: {topic: /depth, timeout_s: 1}\n  odom:',
     'sensors.depth.frame is missing'),
    ('body: planar', 'body: wheels', "body must be one of planar, legged, got 'wheels'"),
    ('support: [left_foot, right_foot]', 'support: left_foot', 'support must be a list of names'),
    ('shoulder: left_upper_arm', 'shoulder: null', 'end_effectors.left.shoulder must be text'),
    ('    site: left_grasp', '    site: left_grasp\n    at: [0, 0, 0]',
     'end_effectors.left.body is missing'),
    ('[left_shoulder_pitch,', '[left_thumb,', 'names left_thumb, which is no joint of the robot'),
    ('look_left: {neck_yaw: 0.75}', 'look_left: {neck: 0.75}', 'postures.look_left.neck is no'),
    ('look_left: {neck_yaw: 0.75}', 'look_left: {neck_yaw: 1.75}',
     'postures.look_left.neck_yaw must be in [-1.3, 1.3], got 1.75'),
    ('swing: {right_shoulder_roll: 0.40}', 'swing: {tail: 0.40}', 'swing.tail is no joint'),
    ('imu: imu}', 'imu: imu, walking: x.onnx}', "simulation has the unknown key 'walking'"),
    ('imu: imu}', 'imu: null}', 'simulation.imu must be text'),
    ('size: [640, 480]', 'size: [640]', 'cameras.head.size must be [width, height]'),
    ('size: [640, 480]', 'size: [640, 0.5]', 'cameras.head.size must be whole numbers'),
    ('fovy_deg: 75', 'fovy_deg: 180', 'cameras.head.fovy_deg must be 170 or less'),
    ('fovy_deg: 75, ', '', 'cameras.head.fovy_deg is missing'),
    ('mjcf/humanoid.xml', 'package://not_there/a.xml',
     'a.xml comes with the Python package not_there, which is not installed: make g1'),
])
def test_nonsense_is_refused_with_its_place(tmp_path: Path, old: str, new: str, words: str
                                            ) -> None:
    """Regression: a misspelt `controlled` made a joint of the legs commandable, and more."""
    assert old in TEXT
    path = tmp_path / 'robot.yaml'
    path.write_text(TEXT.replace(old, new, 1), encoding='utf-8')
    with pytest.raises(UserError) as refused:
        load_robot(str(path))
    assert words in str(refused.value) and str(path) in str(refused.value)


def test_a_robot_without_a_model_or_with_depth_is_fine(tmp_path: Path) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(TEXT.replace('mjcf: mjcf/humanoid.xml\n', '')
                    + '  depth: {topic: /depth, timeout_s: 5, frame: /eye, '
                    'mount: [0.1, 0, 1, 0, 0.5, 0]}\n', encoding='utf-8')
    robot = load_robot(str(path))
    assert robot.mjcf is None and robot.sensors['depth'].timeout_s == 5.0
    assert robot.sensors['depth'].frame == 'eye'
    assert robot.sensors['depth'].mount == (0.1, 0.0, 1.0, 0.0, 0.5, 0.0)


def refusal(tmp_path: Path, robot: str, old: str, new: str) -> str:
    """What is said of a robot file in which this is exchanged for that."""
    text = config_path('robots', f'{robot}.yaml').read_text(encoding='utf-8')
    assert old in text
    path = tmp_path / 'robot.yaml'
    path.write_text(text.replace(old, new, 1), encoding='utf-8')
    with pytest.raises(UserError) as refused:
        load_robot(str(path))
    return str(refused.value)


def test_the_frame_of_the_base_has_a_default(tmp_path: Path) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(TEXT.replace('base_frame: base_link\n', ''), encoding='utf-8')
    assert load_robot(str(path)).base_frame == 'base_link'
    path.write_text(TEXT.replace('base_link', 'pelvis'), encoding='utf-8')
    assert load_robot(str(path)).base_frame == 'pelvis'


def test_a_robot_that_nobody_simulates_needs_no_anatomy(tmp_path: Path) -> None:
    path = tmp_path / 'robot.yaml'
    kept = [line for line in TEXT.splitlines(keepends=True) if not line.startswith('#')]
    begin = next(i for i, line in enumerate(kept) if line.startswith('body:'))
    end = next(i for i, line in enumerate(kept) if line.startswith('cameras:'))
    text = ''.join(kept[:begin] + kept[end:]).replace(', size: [640, 480], fovy_deg: 75, body: '
                                                      'head, mount: [0.105, 0, 0.10, 0, 0, 0]', '')
    path.write_text(text, encoding='utf-8')
    robot = load_robot(str(path))
    assert robot.simulation is None and not robot.walks and not robot.end_effectors
    assert robot.cameras['head'].optics is None and robot.support == ('left_foot', 'right_foot')


@needs_g1
def test_how_long_a_base_goes_on_is_read_and_bounded(tmp_path: Path) -> None:
    assert load_robot('unitree_g1').base_lag_s == (0.4, 0.1, 0.0)
    assert load_robot('humanoid').base_lag_s == (0.0, 0.0, 0.0)
    for lag, words in (('2.5', 'must be 2 or less'), ('-1', 'must be greater than 0'),
                       ('soon', 'must be a finite number')):
        assert f'base.linear_x.lag_s {words}' in refusal(tmp_path, 'unitree_g1', 'lag_s: 0.4',
                                                         f'lag_s: {lag}')


@needs_g1
@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('most: 3', 'most: 2', 'simulation.workplace.most must be a whole number of 3 to 4'),
    ('most: 3', 'most: 3.5', 'simulation.workplace.most must be a whole number'),
    ('sight_m: [0.6, 2.1]', 'sight_m: [2.1, 0.6]', 'simulation.workplace.sight_m must rise'),
    ('sight_m: [0.6, 2.1]', 'sight_m: [0.6, 1.0]', 'must end beyond 1.1 m'),
    ('stand_off_m: 0.27', 'stand_off_m: 0', 'stand_off_m must be greater than 0'),
    ('height_m: 0.76, ', '', 'simulation.workplace.height_m is missing')])
def test_the_workplace_is_checked(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert words in refusal(tmp_path, 'unitree_g1', old, new)


@needs_g1
@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('gains: [4.0, 0.2]', 'gains: [4.0]', 'simulation.gains must be [stiffness, damping]'),
    ('gains: [4.0, 0.2]', 'gains: [4.0, 0]', 'simulation.gains must be positive'),
    ('grip: {left_hand_thumb_1_joint: 0.9', 'grip: {left_hand_thumb_1_joint: 1.9',
     'end_effectors.left.grip.left_hand_thumb_1_joint must be in'),
    ('grip: {left_hand_thumb_1_joint', 'grip: {left_thumb', 'grip.left_thumb is no joint')])
def test_fingers_and_their_gains_are_checked(tmp_path: Path, old: str, new: str,
                                             words: str) -> None:
    assert words in refusal(tmp_path, 'unitree_g1_hands', old, new)
