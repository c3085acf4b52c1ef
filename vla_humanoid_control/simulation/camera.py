"""Draws the simulated world: one camera of one size, and whether anything can be drawn here."""

from __future__ import annotations

import contextlib
import importlib

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.drawing import chosen, explained, setting_problem
from vla_humanoid_control.support.errors import UserError


def _load_triton() -> None:
    """Load Triton before anything is drawn, where it is installed: later it would crash.

    PyTorch's build for CUDA has it, and loads it when a policy is loaded. It has an LLVM of its
    own, whose calls would end in the LLVM with which Mesa draws, were that there first.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module('triton')


def check_drawing() -> None:
    """Draw once where a variable of the environment says how, before anything else is begun.

    Raises:
        UserError: It does not work; says which variable to set to what.
    """
    if chosen() or setting_problem():
        Camera(mujoco.MjModel.from_xml_string('<mujoco/>'), 16, 16).close()


class Camera:
    """Draws a model at one size. Belongs to the thread that made it."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        _load_triton()
        if problem := setting_problem():
            raise UserError(problem)
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # drivers and their bindings raise many kinds
            raise UserError(explained(error)) from error
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._renderer.scene.flags[flag] = 0

    def render(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """RGB uint8 [H, W, 3]."""
        self._renderer.update_scene(data, camera)
        image: NDArray[np.uint8] = self._renderer.render()
        return image

    def close(self) -> None:
        """Free the drawing context."""
        self._renderer.close()
