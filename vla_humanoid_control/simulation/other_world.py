"""A place that has nothing of the room, for a camera that shows another scene than its own."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.camera import Camera

_EYE_M = 1.2
_WALK_MPS, _SWAY_RAD, _SWAY_HZ = 0.3, 0.12, 0.25


class OtherWorld:
    """A field of coloured blocks below a coloured sky, seen from one who walks there.

    Args:
        rng: Decides what is there.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._model = _other_model(rng)
        self._data = mujoco.MjData(self._model)
        self._phase = float(rng.uniform(0, 2 * np.pi))
        self._camera: Camera | None = None

    def render(self, width: int, height: int, time_s: float) -> NDArray[np.uint8]:
        """The view after `time_s` of walking, RGB uint8 [H, W, 3]; always of the same size."""
        if self._camera is None:
            self._camera = Camera(self._model, width, height)
        yaw = _SWAY_RAD * np.sin(2 * np.pi * _SWAY_HZ * time_s + self._phase)
        self._data.qpos[:] = (_WALK_MPS * time_s, yaw)
        mujoco.mj_forward(self._model, self._data)
        return self._camera.render(self._data, 'eye')

    def close(self) -> None:
        """Free the drawing context."""
        if self._camera is not None:
            self._camera.close()


def _other_model(rng: np.random.Generator) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    sky = spec.add_texture(name='sky', type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
                           builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, width=64, height=384)
    sky.rgb1, sky.rgb2 = rng.uniform(0.1, 1, 3), rng.uniform(0, 0.9, 3)
    ground = spec.add_texture(name='ground', type=mujoco.mjtTexture.mjTEXTURE_2D,
                              builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER, width=64, height=64)
    ground.rgb1, ground.rgb2 = rng.uniform(0, 1, 3), rng.uniform(0, 1, 3)
    textures = [''] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = 'ground'
    spec.add_material(name='ground', textures=textures, texrepeat=(30, 30))
    world = spec.worldbody
    world.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(40, 40, 0.1), material='ground')
    world.add_light(pos=(0, 0, 8), dir=(0.3, rng.uniform(-0.5, 0.5), -1), castshadow=False,
                    type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, diffuse=(0.7, 0.7, 0.7),
                    ambient=(0.3, 0.3, 0.3))
    kinds = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER,
             mujoco.mjtGeom.mjGEOM_ELLIPSOID, mujoco.mjtGeom.mjGEOM_CAPSULE)
    for _ in range(int(rng.integers(40, 90))):
        distance, bearing = rng.uniform(2.5, 14), rng.uniform(-0.9, 0.9)
        size = rng.uniform((0.1, 0.1, 0.2), (0.7, 0.7, 2.2))
        world.add_geom(type=kinds[rng.integers(len(kinds))], size=size,
                       pos=(distance * np.cos(bearing), distance * np.sin(bearing),
                            rng.uniform(0, 2)), rgba=(*rng.uniform(0, 1, 3), 1))
    walker = world.add_body(name='walker', pos=(0, 0, _EYE_M))
    walker.add_joint(name='way', type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(1, 0, 0))
    walker.add_joint(name='yaw', type=mujoco.mjtJoint.mjJNT_HINGE, axis=(0, 0, 1))
    walker.mass, walker.inertia, walker.explicitinertial = 1.0, (1, 1, 1), True
    walker.ipos, walker.iquat = (0, 0, 0), (1, 0, 0, 0)
    # A camera looks along its own -z, with +y up: here along the walker's +x, a little down.
    walker.add_camera(name='eye', fovy=60, xyaxes=(0, -1, 0, 0.2, 0, 1))
    spec.stat.extent, spec.stat.center = 5.0, (0, 0, 1)
    return spec.compile()
