"""Puts a policy through what the graph will ask of it, without a robot: `vla policies check`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from vla_humanoid_control.control.playback import chunk_problem
from vla_humanoid_control.control.timing import Timing
from vla_humanoid_control.interfaces import UnreadableError
from vla_humanoid_control.policy.embodiment import FittedPolicy
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import EXIT_USER_ERROR, UserError
from vla_humanoid_control.types import RobotChunk, RobotObservation

INSTRUCTIONS = ('walk forward', 'turn left', 'go to the red box')
IMAGE_SIZE = (640, 480)
"""Width and height of the images that it is shown [px]."""
TURNS = 3
"""How often it is asked on each instruction."""


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        problems: What the graph would not accept; empty if there is nothing.
        slowest_s: The slowest answer but the first [s]; NaN where there was none.
    """

    problems: tuple[str, ...]
    slowest_s: float


def check_contract(policy: FittedPolicy, robot: RobotSpec) -> Verdict:
    """Ask a policy for actions as the controller would, on images of blotches of colour.

    Args:
        policy: Fitted to `robot`.
        robot: Whose cameras, joints and limits it is shown.
    """
    rng = np.random.default_rng(0)
    problems: list[str] = []
    durations: list[float] = []
    readable = 0
    for instruction in INSTRUCTIONS:
        try:
            policy.reset(instruction)
        except UnreadableError:
            continue
        except Exception as error:
            problems.append(f'reset({instruction!r}): {_say(error)}')
            continue
        readable += 1
        for turn in range(TURNS):
            seen = _observation(policy, robot, rng, turn)
            began = time.perf_counter()
            try:
                chunk = policy.infer(seen)
            except Exception as error:
                problems.append(f'infer on {instruction!r}: {_say(error)}')
                break
            durations.append(time.perf_counter() - began)
            problems += _chunk_problems(chunk, policy)
    if not readable and not problems:
        problems.append(f'it reads none of {", ".join(map(repr, INSTRUCTIONS))}')
    return Verdict(tuple(dict.fromkeys(problems)), max(durations[1:], default=np.nan))


def _observation(policy: FittedPolicy, robot: RobotSpec, rng: np.random.Generator, turn: int
                 ) -> RobotObservation:
    home = dict(zip(robot.joint_names, robot.home.tolist(), strict=True))
    images = {name: np.asarray(cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), IMAGE_SIZE),
                               np.uint8) for name in policy.spec.cameras}
    joints = np.array([home[name] for name in policy.spec.joint_names])
    for array in (*images.values(), joints):
        array.setflags(write=False)  # others are shown the same
    return RobotObservation(turn * 100_000_000, images, joints, elapsed_s=0.1 * turn)


def _chunk_problems(chunk: object, policy: FittedPolicy) -> list[str]:
    if problem := chunk_problem(chunk, policy.spec):
        return [problem]
    assert isinstance(chunk, RobotChunk)
    return [f'chunk has {name} {value:g}, must lie in [0, 1]'
            for name in ('confidence', 'progress')
            if not 0 <= (value := float(getattr(chunk, name))) <= 1]


def _say(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a policy, and print its time limits.

    As a program: `python -m vla_humanoid_control.policy.contract WHAT ROBOT EMBODIMENT`.
    """
    what, robot_name, embodiment = sys.argv[1:] if arguments is None else arguments
    try:
        robot = load_robot(robot_name)
        policy = load_policy(what, robot, embodiment=embodiment)
        verdict = check_contract(policy, robot)
        if verdict.problems:
            raise UserError(f'Policy {what!r} does not do what the graph needs: '
                            f'{"; ".join(verdict.problems)}. vla policies check tries it again.')
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    print(json.dumps(asdict(Timing.of(policy.spec))))
    return 0


if __name__ == '__main__':
    sys.exit(main())
