"""Finds objects in the head camera's image with a small network, and says where they are.

What an object is and where in the image comes from the network (`object_network.py`); where it is
from the base follows from where the camera is (`robot/head_camera.py`) and how high its centre is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.perception.seen import SeenObject
from vla_humanoid_control.robot.head_camera import CameraPose, HeadCamera
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

if TYPE_CHECKING:
    from vla_humanoid_control.perception.object_network import ObjectNetwork

SIZE = (320, 240)
"""Width and height of the picture that the network looks at [px]."""
FOUND = 0.45
"""What is less certain than this is not found."""
_SAME = 0.45
"""Boxes that share so much of their union are of one object."""
_FARTHEST_M = 8.0
"""Farther away nothing can be: what the camera sees at the horizon is said to be here."""


class NetworkFinder:
    """An `ObjectFinder`. Belongs to the thread that made it.

    Args:
        network: Trained, in evaluation mode.
        camera: Where the head camera is.
        sizes_m: 'floor' or 'table' to shape to how wide and how high an object is there, and how
            high its centre is above the floor [m].
        found: The least score of an object that is reported.
    """

    def __init__(self, network: ObjectNetwork, camera: HeadCamera,
                 sizes_m: Mapping[str, Mapping[str, Sequence[float]]],
                 found: float = FOUND) -> None:
        import torch

        from vla_humanoid_control.perception.object_network import without_norms
        self._torch = torch
        self._network = without_norms(network).to(
            memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._camera, self._sizes_m, self._found = camera, sizes_m, found

    def find(self, image: NDArray[np.uint8], joints: dict[str, float]) -> tuple[SeenObject, ...]:
        """The objects in view, the most certain one first; see `ObjectFinder.find`."""
        cells = self._look(resize_image(image, SIZE))
        pose = self._camera.pose(joints)
        aspect = image.shape[1] / image.shape[0]
        kept: list[SeenObject] = []
        for cell in cells[np.argsort(-cells[:, _SCORE])]:
            box = cell[_BOX]
            if all(_overlap(box, other.box) < _SAME for other in kept):
                kept.append(self._seen(cell, pose, aspect))
        return tuple(kept)

    def _look(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Cells with an object, float64 [N, 10]: see `object_network.peaks`."""
        from vla_humanoid_control.perception.object_network import peaks
        torch = self._torch
        with torch.inference_mode():
            tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
            tensor = tensor.div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)
            return np.asarray(peaks(self._network(tensor), self._found).numpy(), np.float64)

    def _seen(self, cell: NDArray[np.float64], pose: CameraPose, aspect: float) -> SeenObject:
        colour, shape = COLOURS[int(cell[_COLOUR])], SHAPES[int(cell[_SHAPE])]
        ray = pose.ray(cell[_CENTRE][0], cell[_CENTRE][1], aspect)
        left, top, right, bottom = np.clip(cell[_BOX], 0, 1).tolist()
        floor, table = self._sizes_m['floor'][shape], self._sizes_m['table'][shape]
        share = float(np.clip(cell[_TABLE], 1e-4, 1 - 1e-4))
        logit = np.log(share / (1 - share))
        if min(left, top, 1 - right, 1 - bottom) > _EDGE:
            size = float(np.sqrt((right - left) * aspect * (bottom - top)))
            logit += _FIT * (_misfit(pose, ray, floor, size) - _misfit(pose, ray, table, size))
        on_table = bool(logit > 0)
        bearing, distance = _where(pose, ray, (table if on_table else floor)[2])
        return SeenObject(colour, shape, bearing, distance, (left, top, right, bottom), on_table,
                          float(cell[_SCORE]))


def _misfit(pose: CameraPose, ray: NDArray[np.float64], sizes: Sequence[float],
            size: float) -> float:
    """How far a box is, in logarithms, from the size that an object on a surface would have.

    Args:
        pose: The camera's.
        ray: Through the object's centre, as long as to a plane at 1 m before the camera.
        sizes: How wide and high the object is there, and how high its centre is [m].
        size: Root of the box's area, as a share of the image's height.
    """
    wide, high, centre = sizes
    depth = (centre - pose.position[2]) / min(ray[2], -1e-6)
    expected = np.sqrt(wide * high) / max(depth, 0.05) / (2 * pose.tangent)
    return float(min(_UNFIT, abs(np.log(size / expected) - _BOX_LARGER)))


_EDGE = 0.01
"""A box that comes so near to the image's edge may go on beyond it, and its size says nothing."""
_FIT, _UNFIT, _BOX_LARGER = 8.0, 1.5, 0.22
"""Logits of a table for each unit of misfit, the largest misfit, and by how much boxes are larger,
in logarithms, than what is seen from the side: the camera looks down on objects."""
_SCORE, _COLOUR, _SHAPE, _TABLE, _BOX, _CENTRE = 0, 1, 2, 3, slice(4, 8), slice(8, 10)


def load_finder(robot: RobotSpec, weights: Path | None = None,
                found: float = FOUND) -> NetworkFinder:
    """A finder of objects for a robot's head camera.

    Args:
        robot: The robot.
        weights: File of `learning.objects`; None for the one in `resource/objects/`.
        found: The least score of an object that is reported.

    Raises:
        UserError: There are no such weights, PyTorch is not installed, or the robot's model has no
            head camera.
    """
    path = resource_path('objects', 'network.safetensors') if weights is None else weights
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from vla_humanoid_control.perception.object_network import ObjectNetwork
    except ImportError as error:
        raise _not_installed(error) from error
    network = ObjectNetwork().eval()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _no_network(path, error) from error
    sizes = about_network(path)['sizes_m']
    if robot.simulation is not None:  # the tables that this robot works at
        base = robot.simulation.workplace.height_m
        sizes['table'] = {shape: (wide, high, base + high / 2)
                          for shape, (wide, high, _) in sizes['table'].items()}
    return NetworkFinder(network, HeadCamera(robot), sizes, found)


def about_network(path: Path) -> dict[str, Any]:
    """What a file of `learning.objects` says of itself, without its weights.

    Returns:
        `sizes_m` as of `NetworkFinder`, `robots` whose views it was trained on, and its `run`.

    Raises:
        UserError: It says none of it, or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        with safe_open(path, 'np') as file:
            about: dict[str, Any] = json.loads(file.metadata()['about'])
        return {name: about[name] for name in ('sizes_m', 'robots', 'run')}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _no_network(path, error) from error


def _not_installed(error: ImportError) -> UserError:
    return UserError(f'Finding objects needs {error.name}, which is not installed. Install it: '
                     "pip install 'vla_humanoid_control[train]'")


def _no_network(path: Path, error: Exception) -> UserError:
    return UserError(f'{path} holds no network that finds objects: {error}. Train one: python '
                     '-m vla_humanoid_control.learning.objects')


def _where(pose: CameraPose, ray: NDArray[np.float64], height: float) -> tuple[float, float]:
    """Bearing [rad] and distance [m] from the base of what a ray meets at a height [m]."""
    drop = (height - pose.position[2]) / ray[2] if ray[2] else -1.0
    reach = float(np.hypot(ray[0], ray[1])) * drop
    if drop <= 0 or reach > _FARTHEST_M:  # at the horizon, or above it
        drop = _FARTHEST_M / max(1e-6, float(np.hypot(ray[0], ray[1])))
    x, y = pose.position[:2] + drop * ray[:2]
    return float(np.arctan2(y, x)), min(_FARTHEST_M, float(np.hypot(x, y)))


def _overlap(one: NDArray[np.float64], other: tuple[float, float, float, float]) -> float:
    """What two boxes share of their union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return float(wide * high / (areas - wide * high))
