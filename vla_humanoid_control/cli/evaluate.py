"""`vla eval`: closed loop on a suite of episodes, with success rates and calibration."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from vla_humanoid_control.cli.prerequisites import rendering_problem, ros_problem
from vla_humanoid_control.cli.shared import add_policy
from vla_humanoid_control.confidence.artifact import ALL
from vla_humanoid_control.confidence.combine import ALPHA
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_file
from vla_humanoid_control.support.workers import parallel_map

if TYPE_CHECKING:
    from vla_humanoid_control.control.timing import NodeParameters

_LEAVE_OUT = 'leave out --ros and --gazebo'


@dataclass(frozen=True)
class Setup:
    """What all episodes have in common; see the arguments of the verb."""

    robot: str
    policy: str
    embodiment: str
    trust: str
    signals: tuple[str, ...]
    alpha: float
    ungated: bool
    allow_uncalibrated: bool
    latency_s: float = 0.0
    finder: str = 'shipped'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--suite', type=Path, required=True, help='YAML list of episodes')
    add_policy(parser)
    parser.add_argument('--json', type=Path, metavar='OUT',
                        help='where the report goes; the reliability diagram goes beside it')
    parser.add_argument('--ros', action='store_true',
                        help='through the real node graph, in real time')
    parser.add_argument('--gazebo', action='store_true',
                        help='through the real node graph, with Gazebo as the robot; both begin '
                             'anew for each episode')
    parser.add_argument('--obedience', action='store_true',
                        help='also tell each episode the instruction of another one, and its own '
                             'with one word exchanged: a robot that listens does not succeed then')
    parser.add_argument('--ungated', action='store_true',
                        help='let every finite action pass the confidence gate, to see what it '
                             'withholds; not with --ros')
    parser.add_argument('--signals', default=','.join(ALL), metavar='NAMES',
                        help='what the confidence is made of, separated by commas: some signals '
                             "of the policy's trust artifact, or %(default)s (default)")
    parser.add_argument('--alpha', type=float, default=ALPHA,
                        help='share of successful episodes that the gate may stop; its threshold '
                             'follows from it (default: %(default)s)')
    parser.add_argument('--latency', default='measured', metavar='SECONDS',
                        help="how long the policy takes to answer, played back in simulated time: "
                             "'measured' on this machine, or seconds (default: %(default)s); not "
                             'with --ros, where it takes what it takes')
    parser.add_argument('--finder', choices=('shipped', 'true', 'none'), default='shipped',
                        help='what finds the objects that words mean by where they are: the '
                             "network that comes with the package, 'true' for one that makes no "
                             'error, or none (default: %(default)s); not with --ros')
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--workers', type=int, default=max(1, min(8, os.cpu_count() or 1)),
                        help='processes (default: %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the table, write the report.

    Raises:
        UserError: Suite, policy, robot or output make no sense; nothing was written then.
    """
    from vla_humanoid_control.control.timing import Timing
    from vla_humanoid_control.evaluation.latency import measure_latency_s, read_latency
    from vla_humanoid_control.evaluation.obedience import obedience, obedience_text, told_otherwise
    from vla_humanoid_control.evaluation.report import build_report, save_report
    from vla_humanoid_control.evaluation.report_text import failures, table
    from vla_humanoid_control.evaluation.suite import load_suite
    from vla_humanoid_control.policy.registry import chosen_policy, load_policy, monitoring
    from vla_humanoid_control.robot.reader import load_robot
    from vla_humanoid_control.simulation.camera import check_drawing
    from vla_humanoid_control.simulation.world import World
    if arguments.workers < 1:
        raise UserError(f'--workers must be 1 or more, got {arguments.workers}.')
    if arguments.json is not None:
        picture = arguments.json.with_suffix('.png')
        if picture == arguments.json:
            raise UserError(f'--json {picture}: the diagram beside the report takes that name. '
                            'Give one that ends in .json.')
        for file in (arguments.json, picture):
            check_file(file, '--json')
    through_nodes = arguments.ros or arguments.gazebo
    if arguments.ungated and through_nodes:
        raise UserError(f'--ungated is for evaluation in process; {_LEAVE_OUT}.')
    episodes = load_suite(arguments.suite, through_nodes=through_nodes)
    told = told_otherwise(episodes) if arguments.obedience else {}
    everything = [*episodes, *(episode for others in told.values() for episode in others)]
    if problem := rendering_problem() or (ros_problem() if through_nodes else None):
        raise UserError(problem)
    if arguments.gazebo:
        from vla_humanoid_control.graph.gazebo_programs import find_gazebo
        find_gazebo()
    signals = tuple(n for n in arguments.signals.split(',') if n)
    if not 0 < arguments.alpha < 1:
        raise UserError(f'--alpha must lie between 0 and 1, got {arguments.alpha:g}.')
    latency_s = read_latency(arguments.latency)
    if through_nodes and latency_s is not None:
        raise UserError(f'--latency is for evaluation in process; {_LEAVE_OUT}.')
    robot = load_robot(arguments.robot)
    arguments.policy = chosen_policy(arguments.policy, robot)
    setup = Setup(arguments.robot, arguments.policy, arguments.embodiment, arguments.trust,
                  signals, arguments.alpha, arguments.ungated, arguments.allow_uncalibrated,
                  finder=arguments.finder)
    # Once here, so that bad input is refused before anything starts.
    check_drawing()
    policy = load_policy(arguments.policy, robot, arguments.embodiment, arguments.trust)
    World(robot)  # refuses a robot that the simulator lacks
    gate = monitoring(arguments.policy, arguments.trust, signals, arguments.alpha).gate
    if through_nodes:
        results = _through_nodes(everything, setup, Timing.of(policy.spec).parameters(),
                                 arguments.gazebo)
    else:
        if latency_s is None:  # before the workers take the cores
            latency_s = round(measure_latency_s(policy, robot), 3)
        setup = replace(setup, latency_s=latency_s)
        jobs = [(setup, episode) for episode in everything]
        with closing(parallel_map(_run, jobs, arguments.workers)) as outcomes:
            results = list(tqdm(outcomes, total=len(jobs), unit='episode', smoothing=0.05))
    result_of = {result.id: result for result in results}
    own = [result_of[episode.id] for episode in episodes]
    report = build_report(own, gate)
    if told:
        report['obedience'] = obedience(own, {how: [result_of[episode.id] for episode in others]
                                              for how, others in told.items()})
    report = {'suite': arguments.suite.name, 'policy': str(arguments.policy),
              'ros': through_nodes, 'gazebo': arguments.gazebo, 'ungated': arguments.ungated,
              'latency_s': latency_s, 'finder': None if through_nodes else arguments.finder,
              **report}
    if latency_s is not None:
        print(f'Latency of the policy: {latency_s * 1e3:.0f} ms.')
    print(table(report))
    if told:
        print(f'\n{obedience_text(report["obedience"])}')
    if wrong := failures(report):
        print(f'\nFailures:\n{wrong}')
    if arguments.json is not None:
        diagram = save_report(report, arguments.json)
        print(f'\nReport: {arguments.json}' + (f', diagram: {diagram}' if diagram else ''))
    return 0


def _through_nodes(episodes: Sequence[Any], setup: Setup, timing: NodeParameters,
                   gazebo: bool) -> list[Any]:
    from vla_humanoid_control.clients.evaluation import LOG, evaluate
    check_file(LOG, 'The log')
    with closing(evaluate(episodes, setup.robot, setup.policy, setup.signals, setup.alpha,
                          embodiment=setup.embodiment, trust=setup.trust, timing=timing,
                          allow_uncalibrated=setup.allow_uncalibrated, gazebo=gazebo)) as outcomes:
        return list(tqdm(outcomes, total=len(episodes), unit='episode'))


def _run(job: tuple[Setup, Any]) -> Any:
    setup, episode = job
    return _rollout(setup).run(episode)


@cache  # one in each process
def _rollout(setup: Setup) -> Any:
    # Not in the pool's initialiser: an error there would start processes for ever.
    from vla_humanoid_control.confidence.gate import OPEN_GATE
    from vla_humanoid_control.evaluation.rollout import TRUE, Rollout
    from vla_humanoid_control.perception.shipped_finder import shipped_finder
    from vla_humanoid_control.policy.registry import load_policy, monitoring
    from vla_humanoid_control.robot.reader import load_robot
    robot = load_robot(setup.robot)
    asked = monitoring(setup.policy, setup.trust, setup.signals, setup.alpha,
                       setup.allow_uncalibrated or setup.ungated, with_each=True)
    if setup.ungated:
        asked = replace(asked, gate=OPEN_GATE)
    loaded = load_policy(setup.policy, robot, setup.embodiment, setup.trust)
    if torch := sys.modules.get('torch'):  # each process has one core to itself
        torch.set_num_threads(1)
    if setup.finder == TRUE:
        return Rollout(robot, loaded, asked, latency_s=setup.latency_s, finder=TRUE)
    finder = shipped_finder(robot)[0] if setup.finder == 'shipped' else None
    return Rollout(robot, loaded, asked, latency_s=setup.latency_s, finder=finder)
