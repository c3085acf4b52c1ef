"""Conversion of ROS messages, both ways, with a hard border."""

from __future__ import annotations

import array
import math
import tracemalloc

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image, Imu, JointState, LaserScan

from vla_humanoid_control.channels import ChannelMessage
from vla_humanoid_control.perception.image_decoding import ImageError
from vla_humanoid_control.ros import messages as m
from vla_humanoid_control.safety.collision import depth_points
from vla_humanoid_control.safety.mounts import mounted
from vla_humanoid_control.types import ImuReading, ScanReading

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('ns', [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789])
def test_stamps_are_exact(ns: int) -> None:
    assert m.to_ns(m.to_stamp(ns)) == ns


def test_stamps_outside_the_format_saturate() -> None:
    assert m.to_stamp(-5) == Time()
    assert m.to_stamp(10**20).sec == 2**31 - 1


def test_action_message_round_trip() -> None:
    channels = ChannelMessage(5_000_000_001, ('a', 'b'), (1.5, 0.0), (0.0, -2.5), 'why')
    assert m.channels_from_msg(m.channels_to_msg(channels)) == channels


def test_zero_byte_in_a_reason_does_not_cut_the_message() -> None:
    channels = ChannelMessage(0, ('a',), (1.0,), (0.0,), 'x\0y')
    assert m.channels_to_msg(channels).header.frame_id == 'x y'


def test_joints_round_trip() -> None:
    reading = m.joints_from_msg(m.joints_to_msg(7, {'a': 1.0, 'b': 2.0}, {'a': 3.0, 'b': 4.0}))
    assert (reading.stamp_ns, dict(reading.positions)) == (7, {'a': 1.0, 'b': 2.0})
    assert dict(reading.velocities) == {'a': 3.0, 'b': 4.0}
    assert m.joints_from_msg(m.joints_to_msg(7, {'a': 1.0})).velocities == {}


@pytest.mark.parametrize(('msg', 'reason'), [
    (JointState(), '0 joints'),
    (JointState(name=['a'], position=[1.0, 2.0]), '2 positions'),
    (JointState(name=['a', 'b'], position=[1.0, 2.0], velocity=[1.0]), '1 velocities'),
    (JointState(name=['a', 'a'], position=[1.0, 2.0]), 'twice'),
    (JointState(name=['a'] * 5000, position=[0.0] * 5000), '5000 joints'),
])
def test_malformed_joints_are_refused(msg: JointState, reason: str) -> None:
    with pytest.raises(m.MessageError, match=reason):
        m.joints_from_msg(msg)


def test_scan_round_trip_keeps_infinity_and_nan() -> None:
    scan = ScanReading(9, -math.pi, 2 * math.pi / 4, 0.05, 8.0,
                       np.array([1.0, math.inf, math.nan, 2.5]))
    back = m.scan_from_msg(m.scan_to_msg(scan, 'base_link'))
    assert back.stamp_ns == 9
    assert np.array_equal(back.ranges_m, scan.ranges_m, equal_nan=True)
    assert back.angle_increment_rad == pytest.approx(scan.angle_increment_rad)


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'ranges': []}, '0 rays'), ({'ranges': [1.0] * 9}, 'angles say 4.0'),
    ({'angle_increment': 0.0}, 'no sense'), ({'angle_min': math.nan}, 'no sense'),
    ({'range_min': 9.0}, 'no sense'),
])
def test_malformed_scan_is_refused(changes: dict[str, object], reason: str) -> None:
    msg = LaserScan(angle_min=-1.5, angle_max=1.5, angle_increment=1.0, range_min=0.1,
                    range_max=8.0, ranges=[1.0] * 4)
    for name, value in changes.items():
        setattr(msg, name, value)
    with pytest.raises(m.MessageError, match=reason):
        m.scan_from_msg(msg)


def test_imu_round_trip_and_missing_orientation() -> None:
    imu = ImuReading(3, np.array([0.1, 0.2, 0.3, 0.9]), np.array([1.0, 2, 3]),
                     np.array([4.0, 5, 6]))
    back = m.imu_from_msg(m.imu_to_msg(imu, 'torso'))
    for name in ('orientation_xyzw', 'angular_velocity', 'linear_acceleration'):
        assert np.array_equal(getattr(back, name), getattr(imu, name))
    msg = Imu()
    msg.orientation_covariance[0] = -1.0
    with pytest.raises(m.MessageError, match='no orientation'):
        m.imu_from_msg(msg)


def test_twist_and_odometry() -> None:
    twist = np.array([0.1, -0.2, 0.3])
    assert np.array_equal(m.twist_from_msg(m.twist_to_msg(twist)), twist)
    odometry = m.odometry_to_msg(4, np.array([1.0, 2.0, math.pi]), twist)
    assert odometry.pose.pose.orientation.z == pytest.approx(1.0)
    assert np.array_equal(m.twist_from_msg(odometry.twist.twist), twist)


def test_image_round_trip() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    msg = m.rgb_to_msg(11, 'head', pixels)
    assert (msg.height, msg.width, msg.step, msg.encoding) == (6, 8, 24, 'rgb8')
    assert np.array_equal(m.rgb_from_msg(msg), pixels)
    msg.step = 23
    with pytest.raises(ImageError, match='step'):
        m.rgb_from_msg(msg)


class Bridge:
    """Stands in for a cv_bridge that works: grey, so that a test sees who converted."""

    error: Exception | None = None

    def converter(self, encoding: str) -> Bridge | None:
        return None if encoding == 'yuyv' else self

    def imgmsg_to_cv2(self, msg: Image, desired_encoding: str) -> np.ndarray:
        assert desired_encoding == 'rgb8'
        if self.error:
            raise self.error
        return np.full((msg.height, msg.width, 3), 128, np.uint8)


def test_cv_bridge_is_used_for_what_it_converts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m, 'BRIDGE', bridge := Bridge())
    msg = m.rgb_to_msg(0, 'head', np.zeros((2, 4, 3), np.uint8))
    assert np.all(m.rgb_from_msg(msg) == 128)
    bridge.error = TypeError('[rgb8] is no colour')  # CvBridgeError is one
    with pytest.raises(ImageError, match='no colour'):
        m.rgb_from_msg(msg)
    msg.encoding, msg.step, msg.data = 'yuyv', 8, bytes([16, 128] * 8)
    assert np.all(m.rgb_from_msg(msg) == 0)


@pytest.mark.parametrize(('encoding', 'big', 'padding'), [('rgb8', False, 2), ('mono16', True, 0)])
def test_what_cv_bridge_mistakes_is_converted_here(
        monkeypatch: pytest.MonkeyPatch, encoding: str, big: bool, padding: int) -> None:
    monkeypatch.setattr(m, 'BRIDGE', Bridge())
    row = b'\x00' * (12 if encoding == 'rgb8' else 8) + b'\x07' * padding
    msg = Image(height=2, width=4, encoding=encoding, is_bigendian=big, step=len(row),
                data=row * 2)
    assert np.array_equal(m.rgb_from_msg(msg), np.zeros((2, 4, 3)))


@pytest.mark.parametrize(('encoding', 'dtype', 'value', 'metres'), [
    ('16UC1', np.uint16, 1500, 1.5), ('32FC1', np.float32, 1.5, 1.5)])
def test_depth_in_metres(encoding: str, dtype: type, value: float, metres: float) -> None:
    pixels = np.full((2, 3), value, dtype)
    msg = Image(height=2, width=3, encoding=encoding, step=3 * pixels.itemsize,
                data=pixels.tobytes())
    depth, unit_m = m.depth_from_msg(msg)
    assert np.allclose(depth * unit_m, metres)
    msg.encoding = 'rgb8'
    with pytest.raises(ImageError, match=r"'rgb8' is no depth.*16UC1"):
        m.depth_from_msg(msg)


def test_a_large_depth_image_is_not_converted_whole() -> None:
    """Regression: every pixel became a float64, of which one in sixty was looked at."""
    pixels = np.full((480, 640), 1500, np.uint16)
    msg = Image(height=480, width=640, encoding='16UC1', step=1280)
    msg.data = array.array('B', pixels.tobytes())
    tracemalloc.start()
    try:
        depth, unit_m = m.depth_from_msg(msg)
        points = depth_points(depth, (500.0, 500.0, 320.0, 240.0), mounted((0, 0, 1, 0, 0, 0)),
                              (0.05, 1.5), 5.0, 0.5, unit_m)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert points is not None and points[:, 0] == pytest.approx(1.5)
    assert peak < pixels.size * 8 / 2
