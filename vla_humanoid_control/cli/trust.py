"""`vla trust`: a calibrated confidence for any policy, from recorded rollouts, and how good it is.

Without --rollouts it records them first, in the simulator: tasks that the robot can do, requests
beyond it and views that are impaired, or the episodes of a --suite. What is recorded already
stays. `vla trust check --pictures DIR` says how the promise is kept, and of how many pictures the
gate stays closed.
"""

from __future__ import annotations

import argparse
import importlib.util
from contextlib import closing
from pathlib import Path
from typing import Any

from vla_humanoid_control.cli.prerequisites import rendering_problem
from vla_humanoid_control.cli.shared import HARDER, add_policy
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_folder
from vla_humanoid_control.tasks.task import check_keys

EPISODES = 800
"""Recorded where a person says nothing else."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('what', nargs='?', choices=['check'], metavar='check',
                        help='judge what was measured, on pictures: see --pictures')
    add_policy(parser)
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--rollouts', type=Path, action='append', default=[], metavar='DIR',
                        help='rollouts of this policy that are there already; may be repeated')
    parser.add_argument('--suite', type=Path, help='record the episodes of this suite')
    parser.add_argument('--episodes', type=int, default=EPISODES,
                        help='how many to record without a suite (default: %(default)s)')
    parser.add_argument('--tasks', nargs='+', default=[], metavar='KEY',
                        help='tasks of which half of them are to be, such as go_to:red:box, for a '
                             'policy that can do no others')
    parser.add_argument('--harder', action='store_true', help=HARDER)
    parser.add_argument('--out', type=Path, default=None, metavar='DIR',
                        help='folder for the artifact, with rollouts/ beside it (default: '
                             'out/trust)')
    parser.add_argument('--signals', default='', metavar='NAMES',
                        help='what the confidence is made of, separated by commas (default: all '
                             'that can be measured)')
    parser.add_argument('--latency', default='measured', metavar='SECONDS',
                        help="how long the policy takes to answer while recording: 'measured' on "
                             'this machine, or seconds (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=2, help='processes that record')
    parser.add_argument('--pictures', type=Path, metavar='DIR',
                        help='with check: a folder of pictures that are no view of the world of '
                             'the robot (default: those of config/suites/pictures.yaml)')


def run(arguments: argparse.Namespace) -> int:
    """Record, measure and judge, or check.

    Raises:
        UserError: Bad input, or rollouts that are too few or another policy's.
    """
    if arguments.what == 'check':
        return _check(arguments)
    if arguments.pictures is not None:
        raise UserError('--pictures belongs to: vla trust check')
    if arguments.episodes < 1 or arguments.workers < 1:
        raise UserError('--episodes and --workers must be 1 or more.')
    check_keys(arguments.tasks)
    if importlib.util.find_spec('torch') is not None:
        # What is asked for is small: two threads would wait for each other most of the time.
        import torch
        torch.set_num_threads(1)
    out = arguments.out or Path('out', 'trust')
    check_folder(out, '--out')
    from vla_humanoid_control.data.rollouts import RolloutsFolder
    from vla_humanoid_control.evaluation.trust_report import judge, said, save_page
    from vla_humanoid_control.learning.trust import TrustMeasurement
    from vla_humanoid_control.policy.registry import chosen_policy, fingerprint, load_policy
    from vla_humanoid_control.robot.reader import load_robot
    robot = load_robot(arguments.robot)
    arguments.policy = chosen_policy(arguments.policy, robot)
    folders = [RolloutsFolder.open(path) for path in arguments.rollouts] or [
        _record(arguments, out.with_name(f'{out.name}_rollouts'), robot)]
    policy = load_policy(arguments.policy, robot, arguments.embodiment, trust=None)
    try:
        own = fingerprint(arguments.policy, policy.policy)
        for folder in folders:
            if folder.header.fingerprint != own:
                raise UserError(f'{folder.path} has rollouts of another policy, or of this one '
                                'before it changed. Record new ones: leave out --rollouts.')
        signals = tuple(n for n in arguments.signals.split(',') if n)
        artifact, held_out, recorded = TrustMeasurement(
            policy, folders, arguments.seed, signals).run(out, own)
    finally:
        policy.close()
    report = judge(artifact, held_out, recorded)
    page = save_page(report, out, arguments.policy)
    print(said(report))
    print(f'\nPage: {page}. Use it: --policy {arguments.policy} --trust {out}')
    return 0


def _record(arguments: argparse.Namespace, folder: Path, robot: Any) -> Any:
    from vla_humanoid_control.collection.recording import Recording, record
    from vla_humanoid_control.collection.rollouts import drawn, of_suite
    from vla_humanoid_control.evaluation.latency import measure_latency_s, read_latency
    from vla_humanoid_control.evaluation.suite import load_suite
    from vla_humanoid_control.policy.registry import load_policy
    from vla_humanoid_control.simulation.camera import check_drawing
    from vla_humanoid_control.simulation.world import World
    plans = of_suite(load_suite(arguments.suite)) if arguments.suite is not None else \
        [drawn(robot, 'val', number, arguments.tasks, arguments.harder)
         for number in range(arguments.episodes)]
    if problem := rendering_problem():
        raise UserError(problem)
    check_drawing()
    World(robot)  # refuses a robot that the simulator lacks
    latency_s = read_latency(arguments.latency)
    if latency_s is None:
        # A server may have one connection only, which those that record will want.
        with closing(load_policy(arguments.policy, robot, arguments.embodiment)) as policy:
            latency_s = round(measure_latency_s(policy, robot), 3)
    print(f'Recording {len(plans)} episodes in {folder}, at a latency of '
          f'{1000 * latency_s:.0f} ms.', flush=True)
    recording = Recording(arguments.policy, arguments.embodiment, arguments.robot, latency_s,
                          folder)
    return record(recording, plans, arguments.workers)


def _check(arguments: argparse.Namespace) -> int:
    from vla_humanoid_control.evaluation.pictures import check_pictures, load_pictures
    from vla_humanoid_control.evaluation.trust_report import promises_of, said_promises
    from vla_humanoid_control.policy.registry import (
        chosen_policy,
        load_policy,
        monitoring,
        trust_of,
    )
    from vla_humanoid_control.robot.reader import load_robot
    pictures = load_pictures(arguments.pictures)
    robot = load_robot(arguments.robot)
    arguments.policy = chosen_policy(arguments.policy, robot)
    policy = load_policy(arguments.policy, robot, arguments.embodiment, arguments.trust)
    asked = monitoring(arguments.policy, arguments.trust,
                       allow_uncalibrated=arguments.allow_uncalibrated)
    if (artifact := trust_of(arguments.policy, arguments.trust)) is not None:
        print('\n'.join(said_promises(promises_of(artifact))), flush=True)
    verdicts = check_pictures(policy, robot, asked, pictures)
    held = [v for v in verdicts if v.held_s is not None and v.held_s <= 1.0]
    for verdict in verdicts:
        if verdict not in held:
            print(f'not held: {verdict.picture}, {verdict.instruction!r}, confidence up to '
                  f'{verdict.highest:.2f}')
    print(f'{len(held)} of {len(verdicts)} held within 1 s, of {len(pictures)} pictures.')
    return 0 if len(held) == len(verdicts) else 1
