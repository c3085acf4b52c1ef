"""`vla collect`: demonstrations of the expert, corrections of a policy, or its rollouts."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vla_humanoid_control.cli.prerequisites import rendering_problem
from vla_humanoid_control.cli.shared import HARDER
from vla_humanoid_control.policy.registry import check_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_folder, make_folder
from vla_humanoid_control.support.workers import reports

SHARD_FRAMES = 3000
SHARD_EPISODES = 50
"""Rollouts that a seed stands for."""
LATENCY_S = 0.02
"""In rollouts to learn from, answers are heard one control step after they were asked for, as on a
robot whose policy takes no longer; not what this machine takes, so that collecting anew gives the
same [s]."""
_SPLIT_SEEDS = {'train': 0, 'val': 10_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--out', type=Path, required=True, help='directory for the shards')
    parser.add_argument('--frames', type=int, default=120_000, help='how many camera frames')
    parser.add_argument('--rollouts', type=int, metavar='EPISODES',
                        help='instead: that many episodes of --policy, any policy, with their '
                             'outcome, for the confidence stage of training')
    parser.add_argument('--split', choices=sorted(_SPLIT_SEEDS), default='train')
    parser.add_argument('--seed', type=int, default=0, help="first shard's seed")
    parser.add_argument('--workers', type=int, default=2, help='processes')
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--tasks', nargs='+', metavar='KEY',
                        help='demonstrations of these tasks alone, such as gesture:wave')
    parser.add_argument('--harder', action='store_true', help=HARDER)
    parser.add_argument('--policy', help='checkpoint whose own states the expert is to label '
                                         '(DAgger); default: the expert acts, disturbed')


def run(arguments: argparse.Namespace) -> int:
    """Collect, with a progress bar; shards that are there already are kept.

    Raises:
        UserError: Arguments that make no sense, or a worker that failed.
    """
    _check(arguments)
    if arguments.rollouts is not None:
        return _rollouts(arguments)
    size, total = min(SHARD_FRAMES, arguments.frames), arguments.frames
    shards = -(-total // size)
    make_folder(arguments.out, '--out')
    for partial in arguments.out.glob('shard_*.partial'):
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial)
    todo = [i for i in range(shards) if not _is_there(_shard(arguments.out, i), size)]
    shares = [todo[k::arguments.workers] for k in range(min(arguments.workers, len(todo)))]
    with tqdm(total=shards * size, unit='frame', smoothing=.05) as bar, \
            closing(reports(_work, [(arguments, share) for share in shares])) as counts:
        bar.update((shards - len(todo)) * size)
        for count in counts:
            bar.update(count)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse bad input before anything is made, removed or started."""
    from vla_humanoid_control.simulation.camera import check_drawing
    from vla_humanoid_control.simulation.world import World
    from vla_humanoid_control.tasks.task import check_keys

    if arguments.frames < 1 or arguments.workers < 1:
        raise UserError('--frames and --workers must be 1 or more.')
    if arguments.rollouts is not None and (arguments.policy is None or arguments.rollouts < 1):
        raise UserError('--rollouts takes 1 or more, and --policy says of what.')
    if arguments.rollouts is not None and arguments.tasks:
        raise UserError('--tasks is for demonstrations; --rollouts are of all tasks. Leave out '
                        'one of them.')
    count = -(-arguments.frames // SHARD_FRAMES) if arguments.rollouts is None else \
        -(-arguments.rollouts // SHARD_EPISODES)
    last = _SPLIT_SEEDS['val'] - count
    if not 0 <= arguments.seed <= last:
        raise UserError(f'--seed must lie between 0 and {last}, beyond which the seeds of the '
                        f'other split begin; got {arguments.seed}.')
    check_keys(arguments.tasks or ())
    if arguments.rollouts is None and arguments.policy is not None \
            and not Path(arguments.policy).is_dir():
        raise UserError(f'--policy {arguments.policy} is not a checkpoint directory.')
    problem = rendering_problem()
    if problem is not None:
        raise UserError(problem)
    check_drawing()
    check_folder(arguments.out, '--out')
    robot = load_robot(arguments.robot)
    World(robot)  # refuses a robot that the simulator lacks
    if arguments.policy is not None:
        check_policy(arguments.policy, robot)


def _shard(out: Path, index: int) -> Path:
    return out / f'shard_{index:05d}'


def _is_there(shard: Path, size: int) -> bool:
    """Whether a shard was collected already.

    Raises:
        UserError: It was, for fewer frames in all than are asked for now.
    """
    if (frames := shard / 'frames.npy').is_file():
        count = len(np.load(frames, mmap_mode='r'))
        if count < size:
            raise UserError(f'{shard} is of a smaller collection, with {count} frames in place of '
                            f'{size}. Remove it, or give another --out.')
    return shard.exists()


def _work(arguments: argparse.Namespace, indices: list[int], report: Callable[[int], None]
          ) -> None:
    """Write some shards; reports new frames."""
    for count in _demonstrations(arguments, indices):
        report(count)


def _demonstrations(arguments: argparse.Namespace, indices: list[int]) -> Iterator[int]:
    from vla_humanoid_control.collection.demonstrations import Collector

    robot, driver = load_robot(arguments.robot), None
    if arguments.policy is not None:
        from vla_humanoid_control.collection.corrections import PolicyDriver
        _one_core()
        driver = PolicyDriver(arguments.policy, robot)
    collector = Collector(robot, driver, arguments.tasks or (), arguments.harder)
    for index in indices:
        seed = _SPLIT_SEEDS[arguments.split] + arguments.seed + index
        reported = 0
        size = min(SHARD_FRAMES, arguments.frames)
        for frames, shard in collector.shard(seed, size):  # noqa: B007 - the last
            yield frames - reported
            reported = frames
        shard.save(_shard(arguments.out, index), robot, arguments.split, seed)


def _rollouts(arguments: argparse.Namespace) -> int:
    from vla_humanoid_control.collection.recording import Recording, record
    from vla_humanoid_control.collection.rollouts import drawn

    robot = load_robot(arguments.robot)
    plans = [drawn(robot, arguments.split, arguments.seed * SHARD_EPISODES + number,
                   harder=arguments.harder)
             for number in range(arguments.rollouts)]
    record(Recording(arguments.policy, '', arguments.robot, LATENCY_S, arguments.out), plans,
           arguments.workers)
    return 0


def _one_core() -> None:
    """Each worker has one to itself."""
    import torch
    torch.set_num_threads(1)
