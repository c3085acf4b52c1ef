"""How the robot stands when a command comes: mostly near home, at times as another one left it.

What another one left follows from the postures of the robot file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vla_humanoid_control.robot.anatomy import HANDS
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.tasks.task import Task

REACH_PITCH_RAD = 0.70
"""A head that looks down at what a hand reaches for [rad]."""


def starting_posture(robot: RobotSpec, task: Task, rng: np.random.Generator) -> dict[str, float]:
    """Joint positions to begin a task from [rad]; joints that are not named are at home."""
    if task.family == 'reach':  # with its arms below the table
        pitch = float(rng.choice([.15, REACH_PITCH_RAD]) + rng.normal(0, .04))
        return dict.fromkeys(robot.gestures.postures.get('look_down', ()), pitch)
    return random_posture(robot, rng)


def random_posture(robot: RobotSpec, rng: np.random.Generator) -> dict[str, float]:
    """Joint positions, mostly near home; at times what a gesture or a reach left behind [rad]."""
    postures = robot.gestures.postures
    controlled = [j for j in robot.controlled if 'gripper' not in j.name]
    found = {j.name: float(j.home + rng.normal(0, .03)) for j in controlled}
    if rng.random() < 0.25:
        found |= anywhere(robot, [p for n, p in postures.items() if n.startswith('look_')], rng)
    for side in HANDS:
        if rng.random() < 0.15 and (raised := postures.get(f'raise_{side}')):
            found |= anywhere(robot, [raised], rng)
    if rng.random() < 0.15 and (wave := postures.get('wave')):
        swing = robot.gestures.swing
        found |= {n: float(v + rng.normal(0, .12) + rng.uniform(-1, 1) * swing.get(n, 0.0))
                  for n, v in wave.items()}
    side = str(rng.choice(HANDS))
    if rng.random() < 0.15 and (reaching := postures.get(f'reaching_{side}')):
        found |= {n: float(v + rng.normal(0, .25)) for n, v in reaching.items()}
        found |= {n: float(rng.normal(REACH_PITCH_RAD, .03))
                  for n in postures.get('look_down', ())}
    limits = {j.name: (j.lower, j.upper) for j in controlled}
    return {n: float(np.clip(v, *limits[n])) for n, v in found.items()}


def anywhere(robot: RobotSpec, postures: list[Mapping[str, float]], rng: np.random.Generator,
             beyond_rad: float = 0.1) -> dict[str, float]:
    """Each joint that postures move, anywhere from home to so far beyond the farthest of them."""
    found = {}
    for name in sorted({name for posture in postures for name in posture}):
        places = [robot.joint(name).home, *(p[name] for p in postures if name in p)]
        found[name] = float(rng.uniform(min(places) - beyond_rad, max(places) + beyond_rad))
    return found
