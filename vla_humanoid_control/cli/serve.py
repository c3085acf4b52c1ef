"""`vla serve`: a policy for several robots, behind the openpi protocol. Ctrl-C ends it.

A robot uses it with `--policy openpi://HOST:PORT`, and is told what the policy sees and gives. A
LeRobot checkpoint is served from an environment that has LeRobot, with a mapping file:
`vla serve --lerobot FOLDER --embodiment FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from vla_humanoid_control.cli.shared import add_policy
from vla_humanoid_control.support.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_policy(parser)
    parser.add_argument('--lerobot', type=Path, metavar='FOLDER',
                        help='a checkpoint of LeRobot, instead of --policy')
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--host', default='127.0.0.1',
                        help='where it listens; anybody who reaches it there can use it (default: '
                             '%(default)s, this machine alone)')
    parser.add_argument('--port', type=int, default=8000, help='default: %(default)s')
    parser.add_argument('--device',
                        help='of a checkpoint of ours: cpu, cuda, or auto, a GPU if there is one '
                             '(default: as the checkpoint says)')
    parser.add_argument('--robots', type=int, default=8, metavar='COUNT',
                        help='connections at once, and requests in one batch (default: '
                             '%(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        UserError: There is no such policy, or it cannot listen there.
    """
    from vla_humanoid_control.policy.lerobot import is_lerobot_folder
    from vla_humanoid_control.policy.registry import chosen_policy, fingerprint, load_policy
    from vla_humanoid_control.robot.reader import load_robot
    if not 0 <= arguments.port < 65536 or not 1 <= arguments.robots <= 64:
        raise UserError('--port must be 0 to 65535, and --robots 1 to 64.')
    if arguments.lerobot is not None:
        if not is_lerobot_folder(arguments.lerobot):
            raise UserError(f'--lerobot {arguments.lerobot} is no checkpoint of LeRobot. Give the '
                            'folder with its config.json, such as '
                            'outputs/train/RUN/checkpoints/last/pretrained_model.')
        arguments.policy = str(arguments.lerobot)
    robot = load_robot(arguments.robot)
    arguments.policy = chosen_policy(arguments.policy, robot)
    policy = load_policy(arguments.policy, robot, embodiment=arguments.embodiment).policy
    if arguments.device is not None:
        _move(policy, arguments)
    try:
        asyncio.run(_serve(policy, fingerprint(arguments.policy, policy), arguments))
    except OSError as error:
        raise UserError(f'It cannot listen on {arguments.host}:{arguments.port} '
                        f'({error.strerror or error}). Choose another --port or --host.'
                        ) from error
    print('vla serve: stopped', flush=True)
    return 0


def _move(policy: Any, arguments: argparse.Namespace) -> None:
    if not hasattr(policy, 'move'):
        raise UserError(f'--device is for checkpoints of ours; {arguments.policy} runs where it '
                        'says itself, a checkpoint of LeRobot on the device in its config.json.')
    policy.move(arguments.device)


async def _serve(policy: Any, fingerprint: str, arguments: argparse.Namespace) -> None:
    try:
        from vla_humanoid_control.policy.servers.serving import PolicyServer
    except ModuleNotFoundError as error:
        raise UserError(f'vla serve needs {error.name}, which is not installed. Install it: pip '
                        "install 'vla_humanoid_control[servers]'") from error
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with PolicyServer(policy, arguments.host, arguments.port, arguments.robots,
                            fingerprint) as server:
        print(f'{arguments.policy} at openpi://{arguments.host}:{server.port}', flush=True)
        if arguments.host not in ('127.0.0.1', 'localhost', '::1'):
            print('Anybody who reaches it there can use it.', file=sys.stderr, flush=True)
        await ended.wait()
