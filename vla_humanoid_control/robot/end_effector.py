"""End effectors: where a hand is, and the joint motion that brings it elsewhere.

Differential inverse kinematics by mink (https://github.com/kevinzakka/mink) on the robot's own
model, in the frame of the base: x forward, y left, z up, the origin on the floor below the pelvis.
Only the joints that carry this hand alone move: the others belong to the rest of the body.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.model import load_model
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError

_FIRST, _NEXT = 40, 8  # most iterations for the first target, and for each that follows on it
_NEAR = 1e-4  # a target is reached within so much [m, rad]
_DAMPING = 0.1  # of Levenberg and Marquardt: what is out of reach is approached, and not missed
_POSTURE = 1e-3  # cost of leaving the present posture, beside 1 for missing the target


class EndEffector:
    """One end effector: a site of the robot's model.

    Args:
        robot: The robot.
        site: What its model calls the grasp point.
        turning: Cost of an error of one radian, beside 1 for one metre: where no joints give both,
            a pose is missed by its place or by its turn.

    Attributes:
        joints: Those that move it and nothing else, from the body to the hand.

    Raises:
        UserError: The robot has no model, no such site, or mink is not installed.
    """

    def __init__(self, robot: RobotSpec, site: str, turning: float = 0.3) -> None:
        if robot.mjcf is None:
            raise UserError(f'Robot {robot.name} has no model (mjcf), without which it is not '
                            f'known where {site} is. Give one in its robot file.')
        try:
            import mink
        except ModuleNotFoundError as error:
            raise UserError(f'Poses of {site} need {error.name}, which is not installed. Install '
                            "it: pip install 'vla_humanoid_control[sim]'") from error
        self._mink = mink
        model = load_model(robot)
        sites = [model.site(i).name for i in range(model.nsite)]
        if site not in sites:
            raise UserError(f'Robot {robot.name} has no end effector {site}: its model has '
                            f'{", ".join(filter(None, sites)) or "none"}.')
        self._qpos = np.array([model.joint(n).qposadr[0] for n in robot.joint_names])
        self.joints = _own_joints(model, robot, site)
        self._own = [robot.joint_names.index(name) for name in self.joints]
        dofs = {int(model.joint(name).dofadr[0]) for name in self.joints}
        self._ranges = np.array([model.joint(name).range for name in self.joints]).T
        for joint in range(model.njnt):  # where the others are is no business of the solver's
            if model.joint(joint).name not in self.joints:
                model.jnt_limited[joint] = 0
        self._configuration: Any = mink.Configuration(model)
        self._site = site
        self._limits = [mink.ConfigurationLimit(model)]
        self._frozen = [mink.DofFreezingTask(model, [i for i in range(model.nv)
                                                     if i not in dofs])]
        self._posture = mink.PostureTask(model, cost=_POSTURE)
        self._tasks = {turns: mink.FrameTask(site, 'site', position_cost=1.0,
                                             orientation_cost=turning if turns else 0.0,
                                             lm_damping=_DAMPING)
                       for turns in (False, True)}

    def pose(self, positions: NDArray[np.float64], size: int = 7) -> NDArray[np.float64]:
        """Where it is, for joint positions [J] in robot order [rad].

        Returns:
            [size], 3, 6 or 7 numbers as of `ActionKind.EE_POSE`.
        """
        self._place(positions)
        place = self._configuration.get_transform_frame_to_world(self._site, 'site')
        turned = {3: [], 6: place.rotation().log(), 7: place.rotation().wxyz}[size]
        return np.concatenate([place.translation(), turned])

    def follow(self, positions: NDArray[np.float64], targets: NDArray[np.float64]
               ) -> NDArray[np.float64]:
        """Positions of `joints` that bring it to one target after the other.

        What is out of reach is approached as far as the joints go.

        Args:
            positions: float64 [J], where the robot's joints are, in robot order [rad].
            targets: float64 [H, 3, 6 or 7], poses as of `ActionKind.EE_POSE`. With three numbers
                it turns as it likes.

        Returns:
            float64 [H, A] [rad].
        """
        self._place(positions)
        self._posture.set_target_from_configuration(self._configuration)
        rows = []
        for number, target in enumerate(targets):
            task = self._tasks[len(target) > 3]
            task.set_target(self._transform(target))
            for _ in range(_NEXT if number else _FIRST):
                if np.abs(task.compute_error(self._configuration)[:6 if len(target) > 3 else 3]
                          ).max() < _NEAR:
                    break
                velocity = self._mink.solve_ik(
                    self._configuration, [task, self._posture], 1.0, 'daqp', damping=1e-4,
                    limits=self._limits, constraints=self._frozen)
                self._configuration.integrate_inplace(velocity, 1.0)
            rows.append(self._configuration.q[self._qpos][self._own])
        return np.stack(rows)

    def moved(self, pose: NDArray[np.float64], delta: NDArray[np.float64]) -> NDArray[np.float64]:
        """A pose [7] after a motion [3 or 6] as of `ActionKind.EE_DELTA`, [7]."""
        turn = self._transform(pose).rotation()
        if len(delta) == 6:
            turn = self._mink.SO3.exp(delta[3:]) @ turn
        return np.concatenate([pose[:3] + delta[:3], turn.wxyz])

    def motion(self, pose: NDArray[np.float64], then: NDArray[np.float64]) -> NDArray[np.float64]:
        """The motion [6] from a pose [7] to another, as of `ActionKind.EE_DELTA`; see `moved`."""
        turned = self._transform(then).rotation() @ self._transform(pose).rotation().inverse()
        return np.concatenate([then[:3] - pose[:3], turned.log()])

    def _transform(self, pose: NDArray[np.float64]) -> Any:
        so3 = self._mink.SO3
        turn = so3.identity() if len(pose) == 3 else \
            so3.exp(pose[3:]) if len(pose) == 6 else so3(pose[3:] / np.linalg.norm(pose[3:]))
        return self._mink.SE3.from_rotation_and_translation(turn, pose[:3])

    def _place(self, positions: NDArray[np.float64]) -> None:
        q = np.zeros_like(self._configuration.q)
        q[self._qpos] = positions
        # Joints are measured a little beyond their limits at times, where there is no solution.
        own = self._qpos[self._own]
        q[own] = np.clip(q[own], *self._ranges)
        self._configuration.update(q)


def _own_joints(model: Any, robot: RobotSpec, site: str) -> tuple[str, ...]:
    """Joints between the body and a site that carry no other site and no other joint."""
    def chain(body: int) -> list[int]:
        bodies = []
        while body:
            bodies.append(body)
            body = int(model.body_parentid[body])
        return bodies

    arm = chain(int(model.site(site).bodyid[0]))
    # What carries a joint elsewhere, neither in this chain nor of the hand, is not its alone.
    elsewhere = [chain(body) for body in range(model.nbody) if model.body_jntnum[body]]
    beside = {b for other in elsewhere if other[0] not in arm and arm[0] not in other
              for b in other}
    commanded = {j.name for j in robot.controlled}
    names = [model.joint(j).name for body in reversed(arm) if body not in beside
             for j in range(model.body_jntadr[body],
                            model.body_jntadr[body] + model.body_jntnum[body])]
    return tuple(name for name in names if name in commanded)

