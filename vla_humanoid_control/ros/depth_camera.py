"""A depth camera as obstacle points: its images, by the newest of its camera_info."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from vla_humanoid_control.ros.messages import MessageError, depth_from_msg
from vla_humanoid_control.safety.collision import depth_points
from vla_humanoid_control.safety.obstacles import Obstacles


class DepthCamera:
    """Turns depth images into points in the frame of the base.

    Args:
        heights_m: Only what is seen between these heights above the ground is an obstacle [m].
    """

    def __init__(self, heights_m: tuple[float, float]) -> None:
        self._heights_m = heights_m
        self._info: CameraInfo | None = None

    def on_info(self, msg: CameraInfo) -> None:
        """Take the camera's size and intrinsics."""
        self._info = msg

    def points(self, msg: Image, obstacles: Obstacles,
               min_valid_fraction: float) -> NDArray[np.float64] | None:
        """What an image shows; see `collision.depth_points`.

        Args:
            msg: The image.
            obstacles: Whom the points are for: up to where, and from where they are seen.
            min_valid_fraction: With a smaller share of measurements nothing is known.

        Raises:
            ImageError, MessageError: The image cannot be used.
        """
        info = self._info
        if info is None:
            raise MessageError('no camera_info yet')
        if problem := obstacles.mounts.problem('depth', msg.header.frame_id):
            raise MessageError(problem)
        if (info.width, info.height) != (msg.width, msg.height):
            raise MessageError(f'camera_info is of {info.width} x {info.height} pixels, the '
                               f'image has {msg.width} x {msg.height}')
        depth, unit_m = depth_from_msg(msg)
        return depth_points(depth, (info.k[0], info.k[4], info.k[2], info.k[5]),
                            obstacles.mounts.camera('depth'), self._heights_m,
                            obstacles.reach_m, min_valid_fraction, unit_m)
