"""Where a sensor looks from: its frame, by the name in its messages, on the base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.geometry import OPTICAL, mount_pose

Array = NDArray[np.float64]

_SHOWN = 60  # characters of a name in a reason


def same_frame(name: str, known: str) -> bool:
    """Whether a frame in a message is one that the robot file names.

    A leading '/' is ignored (tf2 dropped it), and so is a namespace or prefix before the name: on
    a topic of this robot, 'robot1/laser' is its 'laser'.
    """
    name, known = name.strip('/'), known.strip('/')
    return name == known or name.endswith(f'/{known}')


class Mounts:
    """Turns what the sensors of a robot see into the frame of its base.

    Args:
        robot: The robot.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._base = robot.base_frame
        self._frames = {name: s.frame for name, s in robot.sensors.items()}
        self._poses = {name: mount_pose(s.mount) for name, s in robot.sensors.items()}
        self._cameras = {name: mounted(s.mount) for name, s in robot.sensors.items()}

    def problem(self, sensor: str, frame: str | None) -> str:
        """Why nobody knows where a reading was taken from, '' if it is known.

        Args:
            sensor: 'scan' or 'depth'.
            frame: As its message calls it; None for the frame of the base itself.
        """
        if frame is None or self._is_declared(sensor, frame) or self._is_base(sensor, frame):
            return ''
        known = [f for f in (self._frames[sensor], self._base if sensor != 'depth' else '') if f]
        what = f'its frame is {frame[:_SHOWN]!r}' if frame.strip('/') else 'it names no frame'
        return f'{what}, and the robot file knows {" and ".join(known)}; give its frame and ' \
               f'mount below sensors.{sensor}'

    def pose(self, sensor: str, frame: str | None) -> Array | None:
        """From that frame to the base's, float64 [4, 4]; None where they are the same."""
        if frame is None or not self._is_declared(sensor, frame):
            return None
        return self._poses[sensor]

    def camera(self, sensor: str) -> Array:
        """From the optical frame of a camera to the base's, float64 [4, 4]."""
        return self._cameras[sensor]

    def _is_declared(self, sensor: str, frame: str) -> bool:
        return bool(self._frames[sensor]) and same_frame(frame, self._frames[sensor])

    def _is_base(self, sensor: str, frame: str) -> bool:
        # No image is in the frame of the base: its axes are the camera's.
        return sensor != 'depth' and same_frame(frame, self._base)


def mounted(mount: Sequence[float]) -> Array:
    """Where a camera on the base looks, from its optical frame to the base, float64 [4, 4]."""
    return mount_pose(mount) @ OPTICAL
