"""A world that follows another one, such as Gazebo's, so that one judge judges them both."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.body import Array, Joints
from vla_humanoid_control.simulation.scene import Placed
from vla_humanoid_control.simulation.settings import PLAIN, Setting
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.tasks.task import Task


def object_name(placed: Placed) -> str:
    """What an object is called where its scene is written down."""
    return f'{placed.colour}_{placed.shape}_{placed.slot}'


class Mirror:
    """Holds the scene of a seed and a task, and puts everything where it is told to be.

    Args:
        robot: The robot.
        seed: Decides the scene.
        task: What can be done in it.
        setting: What makes it harder.

    Raises:
        UserError: There is no such scene.

    Attributes:
        world: What `TaskMonitor` looks at. Its time is that of what it follows.
        names: Objects of the scene, see `object_name`.
    """

    def __init__(self, robot: RobotSpec, seed: int, task: Task | None,
                 setting: Setting = PLAIN) -> None:
        self.world = World(robot)
        self.world.reset(seed, task, setting=setting)
        self._joints = Joints(robot, self.world.model, self.world.data)
        self._slots = {object_name(p): p.slot for p in self.world.objects}
        self.names = tuple(self._slots)

    def follow(self, time_s: float, base: Array, twist: Array, joints: Mapping[str, float],
               objects: Mapping[str, Array]) -> None:
        """Put everything where it is.

        Args:
            time_s: Of this moment, in the time of what is followed [s].
            base: float64 [7], position [m] and quaternion (w, x, y, z) of the base; of one that
                slides, x, y and yaw count.
            twist: float64 [3], of the base: forward, left, turning left [m/s, m/s, rad/s].
            joints: Joint name to position [rad; m for grippers]; absent ones stay.
            objects: Name to float64 [7], position [m] and quaternion (w, x, y, z); absent ones
                stay.
        """
        model, data = self.world.model, self.world.data
        passed = time_s - data.time
        self.world.follow_base(base, twist)
        self._joints.place(joints)
        for name, place in objects.items():
            joint = model.joint(f'object_{self._slots[name]}')
            at, moving = joint.qposadr[0], joint.dofadr[0]
            shift = np.asarray(place[:3]) - data.qpos[at:at + 3]
            data.qvel[moving:moving + 3] = shift / passed if passed > 0 else 0.0
            data.qpos[at:at + 7] = place
        data.time = time_s
        mujoco.mj_kinematics(model, data)

    def close(self) -> None:
        """Free what the world holds."""
        self.world.close()
