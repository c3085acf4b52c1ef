"""`vla collect`: demonstrations of the scripted expert, or corrections of a policy."""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from vla_humanoid_control.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

SHARD_FRAMES = 3000
_SPLIT_SEEDS = {'train': 0, 'val': 10_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--out', type=Path, required=True, help='directory for the shards')
    parser.add_argument('--frames', type=int, default=120_000, help='how many camera frames')
    parser.add_argument('--split', choices=sorted(_SPLIT_SEEDS), default='train')
    parser.add_argument('--seed', type=int, default=0, help='first shard\'s seed')
    parser.add_argument('--workers', type=int, default=2, help='processes')
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--policy', help='checkpoint whose own states the expert is to label '
                                         '(DAgger); default: the expert acts, disturbed')


def run(arguments: argparse.Namespace) -> int:
    """Collect, with a progress bar; shards that are there already are kept.

    Raises:
        UserError: Arguments that make no sense, or a worker that failed.
    """
    if arguments.frames < 1 or arguments.workers < 1:
        raise UserError('vla collect: --frames and --workers must be 1 or more.')
    if arguments.policy is not None and not Path(arguments.policy).is_dir():
        raise UserError(f'vla collect: --policy {arguments.policy} is not a checkpoint directory.')
    shards = -(-arguments.frames // SHARD_FRAMES)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for partial in arguments.out.glob('*.partial'):
        shutil.rmtree(partial)
    todo = [i for i in range(shards) if not _shard(arguments.out, i).exists()]
    context = multiprocessing.get_context('spawn')
    queue: Queue[int | str] = context.Queue()
    workers = [context.Process(target=_work, args=(arguments, todo[k::arguments.workers], queue))
               for k in range(min(arguments.workers, len(todo)))]
    for worker in workers:
        worker.start()
    with tqdm(total=shards * SHARD_FRAMES, unit='frame', smoothing=.05) as bar:
        bar.update((shards - len(todo)) * SHARD_FRAMES)
        running = len(workers)
        while running:
            message = queue.get()
            if isinstance(message, int):
                bar.update(message)
            elif message:
                for worker in workers:
                    worker.terminate()
                raise UserError(f'vla collect: a worker failed: {message}')
            else:
                running -= 1
    for worker in workers:
        worker.join()
    return 0


def _shard(out: Path, index: int) -> Path:
    return out / f'shard_{index:05d}'


def _work(arguments: argparse.Namespace, indices: list[int], queue: Queue[int | str]) -> None:
    """Write some shards; reports frames, then '' at the end or what went wrong."""
    try:
        from vla_humanoid_control.robot import load_robot
        from vla_humanoid_control.simulation.collect import Collector

        robot = load_robot(arguments.robot)
        driver = None
        if arguments.policy is not None:
            from vla_humanoid_control.simulation.policy_driver import PolicyDriver
            driver = PolicyDriver(arguments.policy, robot)
        collector = Collector(robot, driver)
        for index in indices:
            seed = _SPLIT_SEEDS[arguments.split] + arguments.seed + index
            reported = 0
            for frames, shard in collector.shard(seed, SHARD_FRAMES):
                queue.put(frames - reported)
                reported = frames
            shard.save(_shard(arguments.out, index), robot, arguments.split, seed)
        queue.put('')
    except Exception as error:  # To the parent, which raises it.
        queue.put(f'{type(error).__name__}: {error}')
        raise
