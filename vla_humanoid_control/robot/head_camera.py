"""Where a camera of the robot is and looks, from the joints that carry it, in the base frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.model import add_camera, model_spec
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError


@dataclass(frozen=True)
class CameraPose:
    """A camera in the base frame: x forward, y left, z up, the floor below the base at z = 0.

    Attributes:
        position: float64 [3], of the eye [m].
        axes: float64 [3, 3], columns are its right, its up, and backwards from where it looks.
        tangent: Of half of the vertical angle of view.
    """

    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    tangent: float

    def ray(self, u: float, v: float, aspect: float) -> NDArray[np.float64]:
        """Where a place of the image lies, as a direction, float64 [3], of any length.

        Args:
            u: The place, as a share of the image's width.
            v: And of its height.
            aspect: Width by height of the image.
        """
        across, down = 2 * u - 1, 2 * v - 1
        local = np.array([across * self.tangent * aspect, -down * self.tangent, -1.0])
        return np.asarray(self.axes @ local, np.float64)


class HeadCamera:
    """Poses of a camera on the robot's own model.

    Args:
        robot: The robot.
        name: The camera's, in the robot file or the model.

    Raises:
        UserError: The robot has no model, or none with that camera.
    """

    def __init__(self, robot: RobotSpec, name: str = 'head') -> None:
        if robot.mjcf is None:
            raise UserError(f'Robot {robot.name} has no model (mjcf), without which nobody knows '
                            'where its camera is.')
        spec = model_spec(robot)
        if name in robot.cameras:
            add_camera(spec, robot, name)
        self._model = spec.compile()
        self._camera = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_CAMERA, name)
        if self._camera < 0:
            raise UserError(f'Model {robot.mjcf} of robot {robot.name} has no camera {name}.')
        self._data = mujoco.MjData(self._model)
        names = {self._model.joint(i).name: i for i in range(self._model.njnt)}
        self._addresses: dict[str, int] = {}
        body = self._model.cam_bodyid[self._camera]
        carrying = set()
        while body:
            carrying.add(int(body))
            body = self._model.body_parentid[body]
        for joint in robot.joint_names:
            if joint in names and int(self._model.jnt_bodyid[names[joint]]) in carrying:
                self._addresses[joint] = int(self._model.jnt_qposadr[names[joint]])
        self._tangent = float(np.tan(np.radians(self._model.cam_fovy[self._camera]) / 2))

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints that it moves with."""
        return tuple(self._addresses)

    def pose(self, joints: Mapping[str, float]) -> CameraPose:
        """Where it is for joint positions [rad], of at least those that it moves with."""
        for name, address in self._addresses.items():
            self._data.qpos[address] = joints[name]
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        return CameraPose(np.array(self._data.cam_xpos[self._camera]),
                          np.array(self._data.cam_xmat[self._camera]).reshape(3, 3),
                          self._tangent)
