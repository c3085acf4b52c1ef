"""Throws everything at a supervisor and watches what comes out.

    python -m fuzz.fuzz --robot humanoid --steps 1000000 --seed 1

`World` does things to a supervisor at random, most of them bad. `Watcher` says when a promise was
broken. A run consists of rounds; each has its own source of chance, made
of seed and number, so that a round in which something broke can be played again alone:

    python -m fuzz.fuzz --robot humanoid --seed 1 --round 17
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fuzz.watcher import ViolationError
from fuzz.world import World
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec, SensorSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.workers import parallel_map

ROUND_STEPS = 2000  # of one round
PROGRESS_S = 5.0
_KINDS = (*World.ACTIONS, *World.COMMON * 2)


@dataclass(frozen=True)
class Round:
    """What became of one round.

    Attributes:
        number: Which one.
        counts: How often each kind of thing was done, and each state was seen.
        steps: Ticks that were judged.
        violation: The promise that was broken, and how; empty if none was.
        before: What was done last, in order, ending with what broke it.
    """

    number: int
    counts: Counter[str]
    steps: int
    violation: str
    before: tuple[str, ...]


def play(robot: RobotSpec, seed: int, number: int, steps: int = ROUND_STEPS,
         tell: Callable[[str], None] | None = None) -> Round:
    """One round, until so many steps are done or a promise is broken; `tell` hears each thing."""
    noise = np.random.default_rng([seed, number])
    sensors = dict(robot.sensors)
    if number % 2:  # every other robot has eyes for depth
        sensors.setdefault('depth', SensorSpec('/camera/depth/image_raw', 0.5))
    world = World(replace(robot, sensors=sensors), noise)
    done: list[str] = []
    violation = ''
    while world.steps < steps and not violation:
        done.append(_KINDS[noise.integers(len(_KINDS))])
        if tell is not None:
            tell(f'step {world.steps}: {done[-1]}')
        try:
            world.act(done[-1], noise)
        except ViolationError as error:
            violation = f'step {world.steps}: {error}'
        except Exception:  # the supervisor must not raise, whatever arrives
            violation = f'step {world.steps}: {traceback.format_exc()}'
    return Round(number, world.counts, world.steps, violation, tuple(done[-10:]))


def fuzz(robot_file: str, steps: int, seed: int, jobs: int = 1) -> int:
    """Do random things for that many steps, and print what became of it.

    Args:
        robot_file: Name or path of the robot file.
        steps: Ticks to judge.
        seed: Where chance comes from.
        jobs: Processes to share the rounds among.

    Returns:
        0 if no promise was broken, else 1.

    Raises:
        UserError: The robot file cannot be used.
    """
    robot = load_robot(robot_file)
    begun = said = time.monotonic()
    rounds = -(-steps // ROUND_STEPS)
    counts: Counter[str] = Counter()
    done, violations = 0, 0
    for result in parallel_map(partial(play, robot, seed, steps=min(steps, ROUND_STEPS)),
                               range(rounds), jobs):
        counts += result.counts
        done += result.steps
        if result.violation:
            violations += 1
            print(f'VIOLATION in round {result.number}, {result.violation}\n  after '
                  f'{", ".join(result.before)}\n  again: python -m '
                  f'fuzz.fuzz --robot {robot_file} --seed {seed} '
                  f'--round {result.number}', flush=True)
        now = time.monotonic()
        if now - said >= PROGRESS_S:
            said, rate = now, done / (now - begun)
            print(f'{done} of {steps} steps, {violations} violations, {rate:.0f} steps/s, '
                  f'{max(steps - done, 0) / rate:.0f} s left', flush=True)
    print(_summary(counts, done, violations, seed, time.monotonic() - begun))
    return 1 if violations else 0


def _summary(counts: Counter[str], steps: int, violations: int, seed: int, took_s: float) -> str:
    states = ', '.join(f'{k} {counts[k] / steps:.1%}' for k in sorted(counts)
                       if k.startswith('in '))
    rarest = min(World.ACTIONS, key=lambda kind: counts[kind])
    return (f'{steps} steps, {violations} violations, seed {seed}, {took_s:.0f} s; '
            f'moving {counts["moving"] / steps:.0%}, {states}; {len(World.ACTIONS)} kinds of '
            f'events, the rarest {counts[rarest]} times ({rarest})')


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; 0 if no promise was broken, 1 if one was, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=
                                     argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--steps', type=int, default=1_000_000, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--jobs', type=int, default=min(2, os.cpu_count() or 1),
                        help='processes that share the work (default: %(default)s)')
    parser.add_argument('--round', type=int, help='play this round alone, and tell each event')
    given = parser.parse_args(arguments)
    try:
        if given.steps < 1 or given.jobs < 1 or given.seed < 0 or (given.round or 0) < 0:
            raise UserError('--steps and --jobs must be at least 1, --seed and --round at least '
                            '0.')
        if given.round is None:
            return fuzz(given.robot, given.steps, given.seed, given.jobs)
        result = play(load_robot(given.robot), given.seed, given.round,
                      min(given.steps, ROUND_STEPS), print)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(result.violation or 'no violation')
    return 1 if result.violation else 0


if __name__ == '__main__':
    sys.exit(main())
