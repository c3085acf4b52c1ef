"""The cameras of a robot file as subscriptions, raw or compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import ManagedNode


def subscribe_cameras(node: ManagedNode, robot: RobotSpec, cameras: Iterable[str],
                      compressed: bool, callback: Callable[[str, Any], None]) -> None:
    """Hear cameras until the node is cleaned up.

    Args:
        node: Whose subscriptions they are.
        robot: Whose file names the topics.
        cameras: Names of the cameras.
        compressed: Whether on their .../compressed topics, as CompressedImage.
        callback: Told the camera's name and the message.
    """
    for camera in cameras:
        topic = robot.cameras[camera].topic
        node.subscribe(CompressedImage if compressed else Image,
                       f'{topic}/compressed' if compressed else topic,
                       partial(callback, camera), qos.SENSOR_INPUT)
