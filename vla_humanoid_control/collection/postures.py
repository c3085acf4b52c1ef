"""How the robot stands when a command comes: mostly near home, at times as another one left it."""

from __future__ import annotations

import numpy as np

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.tasks.task import Task


def starting_posture(robot: RobotSpec, task: Task, rng: np.random.Generator) -> dict[str, float]:
    """Joint positions to begin a task from [rad]; joints that are not named are at home."""
    if task.family == 'reach':  # with its arms below the table
        return _own(robot, {'neck_pitch': float(rng.choice([.15, .70]) + rng.normal(0, .04))})
    return random_posture(robot, rng)


def _own(robot: RobotSpec, posture: dict[str, float]) -> dict[str, float]:
    """Without joints that the robot lacks, such as those of a neck."""
    own = {j.name for j in robot.controlled}
    return {name: value for name, value in posture.items() if name in own}


def random_posture(robot: RobotSpec, rng: np.random.Generator) -> dict[str, float]:
    """Joint positions, mostly near home; at times what a gesture or a reach left behind [rad]."""
    posture = {j.name: float(np.clip(j.home + rng.normal(0, .03), j.lower, j.upper))
               for j in robot.controlled if 'gripper' not in j.name}
    if rng.random() < 0.25:
        posture['neck_yaw'] = float(rng.uniform(-.8, .8))
        posture['neck_pitch'] = float(rng.uniform(-.5, .9))
    for side, sign in (('left', 1), ('right', -1)):
        if rng.random() < 0.15:
            posture[f'{side}_shoulder_pitch'] = float(rng.uniform(-2.8, .3))
            posture[f'{side}_elbow'] = float(rng.uniform(-1.2, -.1))
            posture[f'{side}_shoulder_roll'] = float(sign * rng.uniform(.05, .7))
    if rng.random() < 0.15:  # in the middle of a wave
        posture['right_shoulder_pitch'] = float(rng.uniform(-2.6, -1.9))
        posture['right_shoulder_roll'] = float(-rng.uniform(-.05, .85))
        posture['right_elbow'] = float(rng.uniform(-.7, -.4))
    if rng.random() < 0.15:  # with a hand at what it reached for, and looking at it
        posture |= _after_a_reach(str(rng.choice(['left', 'right'])), rng)
    return _own(robot, posture)


def _after_a_reach(side: str, rng: np.random.Generator) -> dict[str, float]:
    sign = 1 if side == 'left' else -1
    return {'neck_pitch': float(rng.normal(.70, .03)), 'neck_yaw': float(rng.normal(0, .03)),
            f'{side}_shoulder_pitch': float(rng.uniform(-1., -.1)),
            f'{side}_shoulder_roll': float(sign * rng.uniform(-.25, .4)),
            f'{side}_shoulder_yaw': float(-sign * rng.uniform(0, .35)),
            f'{side}_elbow': float(rng.uniform(-1.4, -.35)),
            f'{side}_wrist_pitch': float(rng.uniform(0, .5))}
