"""Groups of an action that move a hand: poses and motions become joint targets of its arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import (
    EFFECTOR,
    ActionGroup,
    ActionKind,
    AnswerError,
    PolicySpec,
)
from vla_humanoid_control.robot.end_effector import EndEffector


def effector_names(spec: PolicySpec) -> tuple[str, ...]:
    """End effectors that a policy moves or is told of, each once, in order."""
    return tuple(dict.fromkeys([*(g.effector for g in spec.actions.groups if g.effector),
                                *(s.name.removeprefix(EFFECTOR) for s in spec.states
                                  if s.name.startswith(EFFECTOR))]))


@dataclass(frozen=True)
class Hand:
    """One such group.

    Attributes:
        group: The group.
        columns: Where it is in an action.
        scale: Offset and factor of each of its channels, [2, S].
        effector: What it moves.
    """

    group: ActionGroup
    columns: slice
    scale: NDArray[np.float64]
    effector: EndEffector

    @staticmethod
    def of(group: ActionGroup, spec: PolicySpec, scale: Mapping[str, tuple[float, float]],
           effector: EndEffector) -> Hand:
        """That of a group; `scale` is channel to offset and factor, where there is one."""
        pairs = [scale.get(c, (0.0, 1.0)) for c in group.channels]
        return Hand(group, spec.actions.columns(group.name), np.array(pairs).T, effector)

    def joint_targets(self, actions: NDArray[np.float32], positions: NDArray[np.float64]
                      ) -> dict[str, NDArray[np.float64]]:
        """Joint to its targets, [H] each.

        Args:
            actions: float32 [H, D], of the policy.
            positions: float64 [J], where the robot's joints were when it was asked [rad].

        Raises:
            AnswerError: A rotation is none.
        """
        targets = self._poses(actions[:, self.columns].astype(np.float64), positions)
        return dict(zip(self.effector.joints, self.effector.follow(positions, targets).T))

    def _poses(self, values: NDArray[np.float64], positions: NDArray[np.float64]
               ) -> NDArray[np.float64]:
        """Where the hand is to be, row by row, [H, 3, 6 or 7]."""
        offset, factor = self.scale
        values = offset + factor * values
        if self.group.kind is ActionKind.EE_POSE:
            if values.shape[1] == 7 and (np.linalg.norm(values[:, 3:], axis=1) < 0.5).any():
                raise AnswerError('the policy gave a quaternion that is no rotation')
            return values
        pose, rows = self.effector.pose(positions), []
        for delta in values:
            rows.append(self.effector.moved(pose, delta))
            if self.group.relative_to == 'previous_row':
                pose = rows[-1]
        return np.stack(rows)
