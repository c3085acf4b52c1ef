"""`vla collect`: demonstrations of the expert, corrections of a policy, or its rollouts."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.workers import CONTEXT, crew

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

SHARD_FRAMES = 3000
SHARD_EPISODES = 50
_SPLIT_SEEDS = {'train': 0, 'val': 10_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--out', type=Path, required=True, help='directory for the shards')
    parser.add_argument('--frames', type=int, default=120_000, help='how many camera frames')
    parser.add_argument('--rollouts', type=int, metavar='EPISODES',
                        help='instead: that many episodes of --policy with their outcome, for the '
                             'confidence stage of training')
    parser.add_argument('--split', choices=sorted(_SPLIT_SEEDS), default='train')
    parser.add_argument('--seed', type=int, default=0, help="first shard's seed")
    parser.add_argument('--workers', type=int, default=2, help='processes')
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--tasks', nargs='+', metavar='KEY',
                        help='demonstrations of these tasks alone, such as gesture:wave')
    parser.add_argument('--policy', help='checkpoint whose own states the expert is to label '
                                         '(DAgger); default: the expert acts, disturbed')


def run(arguments: argparse.Namespace) -> int:
    """Collect, with a progress bar; shards that are there already are kept.

    Raises:
        UserError: Arguments that make no sense, or a worker that failed.
    """
    from vla_humanoid_control.simulation.tasks import Task

    if arguments.frames < 1 or arguments.workers < 1:
        raise UserError('vla collect: --frames and --workers must be 1 or more.')
    if arguments.rollouts is not None and (arguments.policy is None or arguments.rollouts < 1):
        raise UserError('vla collect: --rollouts takes 1 or more, and --policy says of what.')
    if arguments.policy is not None and not Path(arguments.policy).is_dir():
        raise UserError(f'vla collect: --policy {arguments.policy} is not a checkpoint directory.')
    for key in arguments.tasks or ():
        Task.from_key(key)  # refuses what there is not
    size, unit, total = ((SHARD_FRAMES, 'frame', arguments.frames) if arguments.rollouts is None
                         else (SHARD_EPISODES, 'episode', arguments.rollouts))
    shards = -(-total // size)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for partial in arguments.out.glob('*.partial'):
        shutil.rmtree(partial)
    todo = [i for i in range(shards) if not _shard(arguments.out, i).exists()]
    queue: Queue[int | str] = CONTEXT.Queue()
    shares = [todo[k::arguments.workers] for k in range(min(arguments.workers, len(todo)))]
    with crew(_work, [(arguments, share, queue) for share in shares]) as workers, \
            tqdm(total=shards * size, unit=unit, smoothing=.05) as bar:
        bar.update((shards - len(todo)) * size)
        running = len(workers)
        while running:
            message = queue.get()
            if isinstance(message, int):
                bar.update(message)
            elif message:
                raise UserError(f'vla collect: a worker failed: {message}')
            else:
                running -= 1
    return 0


def _shard(out: Path, index: int) -> Path:
    return out / f'shard_{index:05d}'


def _work(arguments: argparse.Namespace, indices: list[int], queue: Queue[int | str]) -> None:
    """Write some shards; reports frames or episodes, then '' at the end or what went wrong."""
    try:
        make = _demonstrations if arguments.rollouts is None else _rollouts
        for message in make(arguments, indices):
            queue.put(message)
        queue.put('')
    except Exception as error:  # To the parent, which raises it.
        queue.put(f'{type(error).__name__}: {error}')
        raise


def _demonstrations(arguments: argparse.Namespace, indices: list[int]) -> Iterator[int]:
    from vla_humanoid_control.robot import load_robot
    from vla_humanoid_control.simulation.collect import Collector

    robot, driver = load_robot(arguments.robot), None
    if arguments.policy is not None:
        from vla_humanoid_control.simulation.policy_driver import PolicyDriver
        _one_core()
        driver = PolicyDriver(arguments.policy, robot)
    collector = Collector(robot, driver, arguments.tasks or ())
    for index in indices:
        seed = _SPLIT_SEEDS[arguments.split] + arguments.seed + index
        reported = 0
        for frames, shard in collector.shard(seed, SHARD_FRAMES):  # noqa: B007 - the last one
            yield frames - reported
            reported = frames
        shard.save(_shard(arguments.out, index), robot, arguments.split, seed)


def _rollouts(arguments: argparse.Namespace, indices: list[int]) -> Iterator[int]:
    from vla_humanoid_control.evaluation.recording import RolloutRecorder
    from vla_humanoid_control.policy.registry import load_policy
    from vla_humanoid_control.robot import load_robot

    _one_core()
    robot = load_robot(arguments.robot)
    policy = load_policy(arguments.policy, robot)
    recorder = RolloutRecorder(robot, policy, arguments.split)
    for index in indices:
        seed = _SPLIT_SEEDS[arguments.split] + arguments.seed + index
        for _, shard in recorder.shard(seed, SHARD_EPISODES):  # noqa: B007 - the last one
            yield 1
        shard.save(_shard(arguments.out, index), policy, arguments.split, seed)


def _one_core() -> None:
    """Each worker has one to itself."""
    import torch
    torch.set_num_threads(1)
