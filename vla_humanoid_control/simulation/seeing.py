"""Which objects the head camera truly has in view: to learn from, and to measure by.

A picture in which every pixel names its body says what is visible of an object. How large the
object would be in it, were nothing in front of it and the picture without an edge, follows from
its outline. Their ratio is how much of the object is in view.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.perception.seen import SeenObject
from vla_humanoid_control.simulation.camera import Camera
from vla_humanoid_control.simulation.scene import Placed
from vla_humanoid_control.simulation.twins import locate_from
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import wrap

SIZE = (320, 240)
"""Width and height of the picture that is looked at [px]."""
IN_VIEW = 0.5
"""An object counts as in view where this share of it is visible, or more."""
LEAST_PX = 12
"""And where it has so many pixels in that picture, or more."""
_AROUND = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_RING = np.stack([np.cos(_AROUND), np.sin(_AROUND)], axis=1)


@dataclass(frozen=True)
class TrueObject:
    """An object of which anything is visible.

    Attributes:
        index: In `World.objects`.
        seen: As a finder without error would report it; its score is the visible share.
        centre: Where its centre falls in the image, as shares of width and height, also where
            something is before it.
        pixels: How many it has in a picture of `SIZE`.
    """

    index: int
    seen: SeenObject
    centre: tuple[float, float]
    pixels: int

    @property
    def in_view(self) -> bool:
        """Whether enough of it is visible to ask for it to be found."""
        return self.seen.score >= IN_VIEW and self.pixels >= LEAST_PX


class TrueView:
    """What a world's head camera has in view, without error. Belongs to the thread that made it.

    Args:
        world: The world, which may be reset and moved on.

    Raises:
        UserError: The machine cannot draw; says why.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._camera = _BodyCamera(world.model, *SIZE)

    def objects(self) -> tuple[TrueObject, ...]:
        """All of which anything is visible now, the largest in the image first."""
        world = self._world
        bodies = self._camera.bodies(world.data, world.model)
        found = []
        for index, placed in enumerate(world.objects):
            rows, columns = np.nonzero(bodies == world.model.body(f'object_{placed.slot}').id)
            if len(rows):
                share = min(1.0, len(rows) / self._whole_area(index))
                u, v, _ = world.image_position(world.object_poses()[index][:3])
                found.append(TrueObject(index, self._seen(index, rows, columns, share),
                                        ((u + 1) / 2, (v + 1) / 2), len(rows)))
        return tuple(sorted(found, key=lambda t: -t.pixels))

    def in_view(self) -> tuple[SeenObject, ...]:
        """The objects that can be asked to be found."""
        return tuple(t.seen for t in self.objects() if t.in_view)

    def _seen(self, index: int, rows: NDArray[np.int64], columns: NDArray[np.int64],
              share: float) -> SeenObject:
        placed, world = self._world.objects[index], self._world
        ahead, left = locate_from(world.base_pose(), world.object_poses()[index])
        width, height = SIZE
        box = (columns.min() / width, rows.min() / height,
               (columns.max() + 1) / width, (rows.max() + 1) / height)
        return SeenObject(placed.colour, placed.shape, wrap(np.arctan2(left, ahead)),
                          float(np.hypot(ahead, left)),
                          (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                          placed.on_table is not None, share)

    def _whole_area(self, index: int) -> float:
        """How many pixels an object would have with nothing before it and no edge [px]."""
        world = self._world
        pose, turned = world.object_poses()[index], np.zeros(9)
        mujoco.mju_quat2Mat(turned, pose[3:])
        points = pose[:3] + _outline(world.objects[index]) @ turned.reshape(3, 3).T
        camera = world.model.cam('head').id
        local = (points - world.data.cam_xpos[camera]) @ world.data.cam_xmat[camera].reshape(3, 3)
        focal = SIZE[1] / 2 / np.tan(np.radians(world.model.cam_fovy[camera]) / 2)
        image = focal * local[:, :2] / np.maximum(-local[:, 2:], 0.05)
        return max(1.0, float(cv2.contourArea(cv2.convexHull(image.astype(np.float32)))))

    def close(self) -> None:
        """Free the drawing context."""
        self._camera.close()


class _BodyCamera(Camera):
    """Draws which body each pixel shows."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        super().__init__(model, width, height)
        self._renderer.enable_segmentation_rendering()

    def bodies(self, data: mujoco.MjData, model: mujoco.MjModel) -> NDArray[np.int64]:
        """Indices of bodies in the head camera's image, int64 [H, W]; -1 for none."""
        self._renderer.update_scene(data, 'head')
        drawn = self._renderer.render()  # index and type of what each pixel shows
        is_geom = drawn[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)
        return np.where(is_geom, model.geom_bodyid[drawn[..., 0]], -1)


def _outline(placed: Placed) -> NDArray[np.float64]:
    """Points of an object's body whose convex hull it fills, float64 [N, 3]."""
    radius, half = placed.size.radius, placed.size.height / 2
    if placed.shape == 'ball':
        return np.concatenate([np.c_[_RING * radius * np.cos(up),
                                     np.full(len(_RING), radius * np.sin(up))]
                               for up in np.radians((-90, -60, -30, 0, 30, 60, 90))])
    if placed.shape == 'box':
        side = radius / np.sqrt(2) * 1.15
        return np.array([(x, y, z) for x in (-side, side) for y in (-side, side)
                         for z in (-half, half)])
    low, high = {'cup': (0.70, 1.0), 'cone': (1.0, 0.0)}[placed.shape]
    return np.concatenate([np.c_[_RING * radius * low, np.full(len(_RING), -half)],
                           np.c_[_RING * radius * high, np.full(len(_RING), half)]])
