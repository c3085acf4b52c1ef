"""Pictures of a head camera with the objects that are in them, in files of a few hundred each.

A file is a `.npz` of

    images    uint8 [bytes], PNG pictures one after the other, without the camera's noise
    ends      int64 [N], where each of them ends
    robot     text, through whose camera they are
    names     text [J], the joints that the camera moves with
    joints    float32 [N, J], their positions [rad]
    objects   float32 [M, 14], one row an object of which anything is visible: see `COLUMNS`
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import write_atomically

COLUMNS = ('frame', 'colour', 'shape', 'on_table', 'share', 'pixels', 'left', 'top', 'right',
           'bottom', 'u', 'v', 'bearing_rad', 'distance_m')
"""Of an object: the picture that it is in, index in `COLOURS`, index in `SHAPES`, 1 on a table,
how much of it is visible, how many pixels it has in a picture of 320 x 240, its box and its centre
as shares of width and height, and where it is from the base."""


@dataclass(frozen=True)
class ObjectViews:
    """Pictures and the objects in them.

    Attributes:
        images: PNG pictures, N.
        robot: Name of the robot through whose camera they are.
        names: The joints that the camera moves with, J.
        joints: float32 [N, J] [rad].
        objects: float32 [M, 14], of `COLUMNS`, those of a picture one after the other.
    """

    images: tuple[bytes, ...]
    robot: str
    names: tuple[str, ...]
    joints: NDArray[np.float32]
    objects: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """One picture, RGB uint8 [H, W, 3]."""
        data = np.frombuffer(self.images[index], np.uint8)
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)

    def part(self, first: int, end: int) -> ObjectViews:
        """The pictures from one on to before another."""
        rows = self.objects[(self.objects[:, 0] >= first) & (self.objects[:, 0] < end)].copy()
        rows[:, 0] -= first
        return ObjectViews(self.images[first:end], self.robot, self.names,
                           self.joints[first:end], rows)

    def write(self, path: Path) -> None:
        """Write a file, in one step."""
        content = io.BytesIO()
        np.savez(content, images=np.frombuffer(b''.join(self.images), np.uint8),
                 ends=np.cumsum([len(image) for image in self.images]),
                 robot=np.array(self.robot), names=np.array(self.names),
                 joints=self.joints, objects=self.objects)
        write_atomically(path, content.getvalue())

    @staticmethod
    def of(robot: str, pictures: Sequence[NDArray[np.uint8]],
           joints: Sequence[Mapping[str, float]], objects: Sequence[Sequence[float]]
           ) -> ObjectViews:
        """From RGB pictures uint8 [H, W, 3], joint positions by name and rows of `COLUMNS`."""
        names = tuple(joints[0]) if joints else ()
        images = tuple(cv2.imencode('.png', cv2.cvtColor(p, cv2.COLOR_RGB2BGR))[1].tobytes()
                       for p in pictures)
        rows = np.array([[one[name] for name in names] for one in joints], np.float32)
        return ObjectViews(images, robot, names, rows.reshape(len(images), len(names)),
                           np.array(objects, np.float32).reshape(-1, len(COLUMNS)))


def read_object_views(folder: Path) -> ObjectViews:
    """All pictures of a folder, in the order of the names of its files.

    Raises:
        UserError: There are none, a file is none of these, or they are of several robots.
    """
    images: list[bytes] = []
    joints, objects, cameras = [], [], set()
    for path in sorted(folder.glob('*.npz')):
        try:
            with np.load(path) as file:
                data, ends = file['images'].tobytes(), file['ends']
                rows = file['objects']
                cameras.add((str(file['robot']), tuple(file['names'].tolist())))
                joints.append(file['joints'])
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f'{path} holds no pictures of objects ({error}). Delete it, and '
                            'collect again.') from error
        rows[:, 0] += len(images)
        objects.append(rows)
        images.extend(data[a:b] for a, b in zip([0, *ends[:-1]], ends))
    if not images:
        raise UserError(f'{folder} holds no pictures. Make them: python -m '
                        'vla_humanoid_control.collection.object_views --output DIR')
    if len(cameras) > 1:
        raise UserError(f'{folder} holds pictures of several robots, or of one with several '
                        f'cameras ({", ".join(sorted(robot for robot, _ in cameras))}). Give each '
                        'a folder of its own.')
    ((robot, names),) = cameras
    return ObjectViews(tuple(images), robot, names, np.concatenate(joints),
                       np.concatenate(objects))
