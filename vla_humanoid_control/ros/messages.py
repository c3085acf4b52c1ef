"""Between ROS messages and the package's own types, both ways. Pure functions of one message."""

from __future__ import annotations

import array
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState, LaserScan

from vla_humanoid_control.channels import ChannelMessage
from vla_humanoid_control.perception.image_decoding import (
    ImageError,
    RawImage,
    decode,
    decode_compressed_rgb,
    decode_rgb,
)
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros.image_bridge import ImageBridge
from vla_humanoid_control.support.geometry import heading
from vla_humanoid_control.types import ImuReading, JointReading, OdometryReading, ScanReading

BRIDGE = ImageBridge()
MAX_JOINTS = 1000
MAX_RAYS = 100_000


class MessageError(ValueError):
    """A message that cannot be used. `str(error)` is the reason."""


def to_ns(stamp: Time) -> int:
    """A stamp as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_stamp(stamp_ns: int) -> Time:
    """Nanoseconds as a stamp; negative and too large values saturate."""
    sec, nanosec = divmod(min(max(stamp_ns, 0), 2**31 * 10**9 - 1), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


# --- actions ------------------------------------------------------------------------------------


def channels_from_msg(msg: JointState) -> ChannelMessage:
    """The action message on `/vla/action_proposal` and `/vla/action_gated`."""
    return ChannelMessage(to_ns(msg.header.stamp), tuple(msg.name), tuple(msg.position),
                          tuple(msg.velocity), msg.header.frame_id)


def channels_to_msg(channels: ChannelMessage) -> JointState:
    """See `channels_from_msg`."""
    msg = JointState(name=list(channels.names), position=list(channels.position),
                     velocity=list(channels.velocity))
    msg.header.stamp = to_stamp(channels.stamp_ns)
    # ROS strings end at the first zero byte.
    msg.header.frame_id = channels.note.replace('\0', ' ')
    return msg


def twist_from_msg(msg: Twist) -> NDArray[np.float64]:
    """Base twist, float64 [3]: forward, left, turning left [m/s, m/s, rad/s]."""
    return np.array([msg.linear.x, msg.linear.y, msg.angular.z])


def twist_to_msg(twist: NDArray[np.float64]) -> Twist:
    """See `twist_from_msg`."""
    msg = Twist()
    msg.linear.x, msg.linear.y, msg.angular.z = (float(v) for v in twist)
    return msg


# --- sensors ------------------------------------------------------------------------------------


def joints_from_msg(msg: JointState) -> JointReading:
    """Measured joints; non-finite values are passed on, for safety to judge.

    Raises:
        MessageError: Names are repeated or missing, or the lengths do not fit.
    """
    count = len(msg.name)
    if not 0 < count <= MAX_JOINTS:
        raise MessageError(f'{count} joints')
    if len(msg.position) != count or len(msg.velocity) not in (0, count):
        raise MessageError(f'{count} names, {len(msg.position)} positions and '
                           f'{len(msg.velocity)} velocities')
    if len(set(msg.name)) != count:
        raise MessageError('a joint is named twice')
    return JointReading(to_ns(msg.header.stamp), dict(zip(msg.name, msg.position)),
                        dict(zip(msg.name, msg.velocity)))


def joints_to_msg(stamp_ns: int, positions: Mapping[str, float],
                  velocities: Mapping[str, float] | None = None) -> JointState:
    """Joint positions, and velocities where given, by name."""
    msg = JointState(name=list(positions), position=list(positions.values()))
    if velocities:
        msg.velocity = [velocities[name] for name in positions]
    msg.header.stamp = to_stamp(stamp_ns)
    return msg


def scan_from_msg(msg: LaserScan) -> ScanReading:
    """A laser scan; single bad ranges are left for safety to mask.

    Raises:
        MessageError: The ray count or the angles make no sense.
    """
    count = len(msg.ranges)
    if not 0 < count <= MAX_RAYS:
        raise MessageError(f'{count} rays')
    numbers = (msg.angle_min, msg.angle_max, msg.angle_increment, msg.range_min, msg.range_max)
    if not all(map(math.isfinite, numbers)) or msg.angle_increment == 0.0 \
            or not 0.0 <= msg.range_min < msg.range_max:
        raise MessageError(f'angles or range limits make no sense: {numbers}')
    expected = (msg.angle_max - msg.angle_min) / msg.angle_increment + 1
    # Drivers disagree on whether the last ray is counted.
    if abs(expected - count) > 1.5:
        raise MessageError(f'{count} rays, but the angles say {expected:.1f}')
    return ScanReading(to_ns(msg.header.stamp), msg.angle_min, msg.angle_increment,
                       msg.range_min, msg.range_max, np.asarray(msg.ranges, np.float64),
                       msg.header.frame_id)


def scan_to_msg(scan: ScanReading, frame_id: str) -> LaserScan:
    """See `scan_from_msg`."""
    msg = LaserScan(angle_min=scan.angle_min_rad, angle_increment=scan.angle_increment_rad,
                    range_min=scan.range_min_m, range_max=scan.range_max_m,
                    ranges=scan.ranges_m.astype(np.float32))
    msg.angle_max = scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges_m) - 1)
    msg.header.stamp, msg.header.frame_id = to_stamp(scan.stamp_ns), frame_id
    return msg


def imu_from_msg(msg: Imu) -> ImuReading:
    """An IMU reading; non-finite values are passed on, for safety to judge.

    Raises:
        MessageError: The driver says that it has no orientation (covariance -1).
    """
    if msg.orientation_covariance[0] == -1.0:
        raise MessageError('the IMU gives no orientation')
    q, w, a = msg.orientation, msg.angular_velocity, msg.linear_acceleration
    return ImuReading(to_ns(msg.header.stamp), np.array([q.x, q.y, q.z, q.w]),
                      np.array([w.x, w.y, w.z]), np.array([a.x, a.y, a.z]))


def imu_to_msg(imu: ImuReading, frame_id: str) -> Imu:
    """See `imu_from_msg`."""
    msg = Imu()
    msg.header.stamp, msg.header.frame_id = to_stamp(imu.stamp_ns), frame_id
    (msg.orientation.x, msg.orientation.y, msg.orientation.z,
     msg.orientation.w) = map(float, imu.orientation_xyzw)
    (msg.angular_velocity.x, msg.angular_velocity.y,
     msg.angular_velocity.z) = map(float, imu.angular_velocity)
    (msg.linear_acceleration.x, msg.linear_acceleration.y,
     msg.linear_acceleration.z) = map(float, imu.linear_acceleration)
    return msg


def odometry_to_msg(stamp_ns: int, pose: NDArray[np.float64], twist: NDArray[np.float64],
                    base_frame: str = RobotSpec.base_frame) -> Odometry:
    """Pose [x, y, yaw] in the world and twist in the base frame, float64 [3] each."""
    msg = Odometry(child_frame_id=base_frame)
    msg.header.stamp, msg.header.frame_id = to_stamp(stamp_ns), 'odom'
    msg.pose.pose.position.x, msg.pose.pose.position.y = float(pose[0]), float(pose[1])
    msg.pose.pose.orientation.z = math.sin(pose[2] / 2)
    msg.pose.pose.orientation.w = math.cos(pose[2] / 2)
    msg.twist.twist = twist_to_msg(twist)
    return msg


def odometry_from_msg(msg: Odometry) -> OdometryReading:
    """Pose and twist of the base; non-finite values are passed on, for who uses them to judge."""
    p, q = msg.pose.pose.position, msg.pose.pose.orientation
    pose = np.array([p.x, p.y, heading((q.w, q.x, q.y, q.z))])
    return OdometryReading(to_ns(msg.header.stamp), pose,
                           twist_from_msg(msg.twist.twist))


# --- images -------------------------------------------------------------------------------------


def raw_image(msg: Image) -> RawImage:
    """The fields of an image, not yet checked and not copied."""
    return RawImage(msg.height, msg.width, msg.encoding, bool(msg.is_bigendian), msg.step,
                    msg.data)


def rgb_from_msg(msg: Image | CompressedImage) -> NDArray[np.uint8]:
    """The image as RGB, uint8 [H, W, 3]: by cv_bridge where it works, else by `decode_rgb`.

    Two kinds of images go to `decode_rgb` in any case, as cv_bridge mistakes them: in big-endian
    order, which it cannot swap beside NumPy 2, and with rows that do not end on a whole pixel.

    Raises:
        ImageError: It cannot be used; the border checks are the same either way.
    """
    if isinstance(msg, CompressedImage):
        return decode_compressed_rgb(msg.data)
    image = raw_image(msg)
    bridge = BRIDGE.converter(image.encoding)
    if bridge is None:
        return decode_rgb(image)
    pixels = decode(image)  # the checks; makes at most a view or a byte swap
    pixel_bytes = pixels.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
    if image.is_bigendian or image.step % pixel_bytes:
        return decode_rgb(image)
    try:
        return np.asarray(bridge.imgmsg_to_cv2(msg, desired_encoding='rgb8'))
    except TypeError as error:  # which CvBridgeError is
        raise ImageError(str(error)) from error


def depth_from_msg(msg: Image) -> tuple[NDArray[Any], float]:
    """A depth image as it is, 16UC1 or 32FC1 [H, W], and its unit [m] (REP 118).

    Not yet in metres: few of its pixels will be looked at. It may be a view of the message.

    Raises:
        ImageError: It cannot be used, or is no depth image.
    """
    image = raw_image(msg)
    if image.encoding not in ('16UC1', '32FC1'):
        raise ImageError(f"encoding {image.encoding[:40]!r} is no depth. Set the depth camera's "
                         'driver to 16UC1 (millimetres) or 32FC1 (metres)')
    return decode(image), 0.001 if image.encoding == '16UC1' else 1.0


def rgb_to_msg(stamp_ns: int, frame_id: str, pixels: NDArray[np.uint8]) -> Image:
    """An RGB image, uint8 [H, W, 3], as rgb8."""
    height, width = pixels.shape[:2]
    msg = Image(height=height, width=width, encoding='rgb8', step=width * 3)
    msg.header.stamp, msg.header.frame_id = to_stamp(stamp_ns), frame_id
    # The setter looks at every single element unless it is given an array of bytes.
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(pixels).data)
    msg.data = data
    return msg


# --- diagnostics --------------------------------------------------------------------------------


def status(level: bytes, name: str, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
    """One entry of `/diagnostics`."""
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id='vla',
                            values=[KeyValue(key=str(k), value=_text(v))
                                    for k, v in values.items()])


def _text(value: Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)
