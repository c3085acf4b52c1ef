"""Demonstrations as motions of a hand: dx, dy, dz, droll, dpitch, dyaw and the gripper.

    joints, targets [H, A] ──forward kinematics──► poses of the hand ──from row to row──► [H, 7]

As RT-1 and OpenVLA act. A fitted policy does the inverse: `policy/hands.py` adds motions up to
poses, and finds the joint targets of the arm. What else the demonstrations move, base and waist
among it, is not in these actions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.data.shards import ShardSet
from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError

MOTION = ('dx', 'dy', 'dz', 'droll', 'dpitch', 'dyaw')
"""Channels of a motion: [m], then a rotation vector [rad], both in the frame of the base."""
_ROBOT = 'humanoid'
"""Whose demonstrations these are."""


def in_terms_of(hand: Mapping[str, str], shards: ShardSet) -> ShardSet:
    """Shards whose actions are motions of a hand; the same shards where none is given.

    Args:
        hand: 'effector' and 'gripper', as of `ModelConfig`; or empty.
        shards: Their actions are targets of the robot's own channels.

    Raises:
        UserError: The robot has no such hand or gripper, or the shards are of another robot.
    """
    if not hand:
        return shards
    assert shards.spec is not None
    robot, gripper = load_robot(_ROBOT), hand['gripper']
    if shards.spec.joint_names != robot.joint_names:
        raise UserError(f'Motions of a hand need demonstrations of {robot.name}, and these have '
                        'other joints. Collect them with vla collect.')
    if gripper not in shards.spec.channels:
        raise UserError(f'Robot {robot.name} has no gripper {gripper} among the channels of the '
                        f'demonstrations: {", ".join(shards.spec.channels)}.')
    effector, samples = EndEffector(robot, hand['effector']), shards.samples
    joint, column = robot.joint(gripper), shards.spec.channels.index(gripper)
    channels = [(i, robot.joint_names.index(c)) for i, c in enumerate(shards.spec.channels)
                if c in robot.joint_names]
    opened = (samples.actions[..., column] - joint.lower) / (joint.upper - joint.lower)
    motions = np.stack([_motions(effector, shards.joints[frame].astype(np.float64), actions,
                                 channels)
                        for frame, actions in zip(samples.frame, samples.actions)])
    told = copy.copy(shards)
    told.spec = replace(shards.spec, channels=(*MOTION, gripper))
    told.samples = replace(samples, actions=np.concatenate(
        [motions, opened[..., None]], axis=2).astype(np.float32))
    return told


def _motions(effector: EndEffector, joints: NDArray[np.float64], actions: NDArray[np.float32],
             channels: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Joints [J] and their targets [H, A] to motions from row to row, [H, 6]."""
    columns, places = np.array(channels).T
    pose, rows = effector.pose(joints), []
    for target in actions:
        posture = joints.copy()
        posture[places] = target[columns]
        then = effector.pose(posture)
        rows.append(effector.motion(pose, then))
        pose = then
    return np.stack(rows)
