"""`vla bench`: latency, jitter, delivery and speed, measured in one run on this machine.

What is measured, exactly:

(a) Camera to /cmd_vel: from the stamp of a camera frame to the arrival, at the robot's end, of the
    first /cmd_vel that follows from it. An action is computed from one frame, and its proposal
    carries that frame's stamp through both gates; a command follows from a frame when the newest
    proposal that safety had received when it decided was computed from that frame. The stamp is
    taken before the frame is published, the arrival by the middleware. So it holds transport,
    decoding, waiting for the loop, inference, both gates, and waiting for safety's next tick.
(b) The same for benchmarks/textbook_node.py, with the same frames, policy and loop rate.
(c) `Policy.infer` alone, back to back.
(d) The same behind `vla serve` on this machine, asked in turns with the policy in process.

With --models instead: the policy as it is deployed in several precisions, compiled, and on a GPU
where there is one, asked in turns: milliseconds at two threads, the largest difference of an
action from float32, and success on 60 unseen episodes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vla_humanoid_control.cli.prerequisites import rendering_problem, ros_problem
from vla_humanoid_control.cli.shared import add_policy
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_folder, make_folder
from vla_humanoid_control.support.resources import resource_path, share_dir

INSTRUCTIONS = ('turn around', 'please turn around')
VIEWS = 120
"""Camera images of a full turn; 3 degrees are hardly more than the base turns between two."""
BUSY = 0.5
"""Load for each core before the start from which the figures say little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--out', type=Path, default=Path('out', 'bench'),
                        help='folder for bench.json and the logs (default: %(default)s)')
    parser.add_argument('--quick', action='store_true',
                        help='a few seconds of each, to see that it works; no figures to quote')
    parser.add_argument('--models', action='store_true',
                        help='instead: the policy in several precisions, compiled, and on a GPU')
    add_policy(parser)
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write; 0 whatever the figures are.

    Raises:
        UserError: Bad input, something is missing on this machine, or a process died.
    """
    check_folder(arguments.out, '--out')
    _find_benchmarks()
    if arguments.models:
        deployments = importlib.import_module('benchmarks.deployments')
        return int(deployments.compare_deployments(arguments.policy or 'default', arguments.out,
                                                   arguments.quick))
    _join_graph()  # before torch is loaded, which reads its number of threads then
    from vla_humanoid_control.policy.registry import chosen_policy, load_policy
    from vla_humanoid_control.robot.reader import load_robot
    robot = load_robot(arguments.robot)
    with ExitStack() as stack:
        checkpoint, note = chosen_policy(arguments.policy, robot), ''
        if checkpoint == 'default' and not resource_path('checkpoints', 'default').is_dir():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            note = 'random weights: there is no default checkpoint here'
            checkpoint = str(_untrained(folder, robot))
        policy = load_policy(checkpoint, robot, arguments.embodiment, arguments.trust)
        make_folder(arguments.out, '--out')
        _measure(arguments, robot, policy, checkpoint, note)
    return 0


def _measure(arguments: argparse.Namespace, robot: Any, policy: Any, checkpoint: str,
             note: str) -> None:
    from vla_humanoid_control.control.timing import Timing
    local, report = _benchmark('local'), _benchmark('report')
    ticks, passes, checks, seconds = (30, 20, 200, 1.0) if arguments.quick \
        else (1000, 300, 5000, 5.0)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    about: dict[str, Any] = {
        'policy': note or checkpoint, 'quick': arguments.quick, 'ticks': ticks,
        'cores': os.cpu_count(), 'threads': os.environ['OMP_NUM_THREADS'],
        'machine': _processor(), 'python': platform.python_version(),
        'load_before_per_core': round(load, 2)}
    _say(f'Policy: {about["policy"]}. {about["cores"]} cores, {about["machine"]}.')
    if load > BUSY:
        _say(f'This machine is busy already (load {load:.1f} a core): all times come out too '
             'long. End what else runs and measure again.')
    _say('Safety check, simulator and forward pass ...')
    check = local.SafetyCheck(robot)
    step, tick = check.measure(checks)
    _, crowded = local.SafetyCheck(robot, crowded=True).measure(checks)
    steps_per_s, factor, frames_per_s = local.simulator_speed(robot, seconds)
    frames = local.record_turn(robot, VIEWS)
    forward = local.forward_pass(policy, robot, frames, INSTRUCTIONS[0], passes)
    served, added = (None, None) if '://' in checkpoint else _benchmark('served').served_pass(
        checkpoint, arguments.embodiment, arguments.trust, policy, robot, frames,
        INSTRUCTIONS[0], passes)
    here = report.LocalFigures(forward, served, added, step, tick, crowded, check.moving,
                               steps_per_s, factor, frames_per_s)
    graph, textbook, camera_hz = _through_processes(
        arguments, robot, checkpoint, Timing.of(policy.spec).parameters(), frames, ticks)
    reached = report.goals(graph, here, camera_hz)
    report.save_json(arguments.out / 'bench.json', graph, textbook, here, reached, about)
    _say('\n' + report.table(graph, textbook, here, reached))
    _say(f'\nFigures: {arguments.out}/bench.json'
         + (' (--quick: not to be quoted)' if arguments.quick else ''))


def _through_processes(arguments: argparse.Namespace, robot: Any, checkpoint: str, timing: Any,
                       frames: Any, ticks: int) -> tuple[Any, Any, float]:
    processes = _benchmark('graph')
    (arguments.out / 'graph.log').unlink(missing_ok=True)
    setting = processes.Setting(
        arguments.robot, robot, checkpoint, arguments.embodiment, arguments.trust, timing, frames,
        INSTRUCTIONS, ticks, arguments.out)
    _say(f'The graph, {ticks} ticks of the policy ...')
    graph = processes.measure_graph(setting)
    _say('The textbook node, as many ...')
    return graph, processes.measure_textbook(setting), processes.CAMERA_HZ


def _find_benchmarks() -> None:
    """Make the folder benchmarks/ importable; it is not part of an installation."""
    from vla_humanoid_control.simulation.camera import check_drawing
    problem = rendering_problem()
    if problem is not None:
        raise UserError(problem)
    check_drawing()
    root = share_dir()
    if not (root / 'benchmarks' / 'graph.py').is_file():
        raise UserError(f'There is no benchmarks/ in {root}. vla bench runs from a checkout of '
                        'the source: clone the repository and run make bench there.')
    sys.path.insert(0, str(root))


def _benchmark(name: str) -> Any:
    """A module of benchmarks/, which `_find_benchmarks` has made importable."""
    return importlib.import_module(f'benchmarks.{name}')


def _join_graph() -> None:
    """This process is one end of the graph, and must speak and run as its nodes do."""
    if problem := ros_problem():
        raise UserError(problem)
    from vla_humanoid_control.graph.bringup import environment
    os.environ.update(environment())


def _untrained(folder: Path, robot: Any) -> Path:
    """A checkpoint of the default architecture: as fast as the trained one."""
    from vla_humanoid_control.models.checkpoint import save_untrained
    from vla_humanoid_control.models.config import load_model_config
    save_untrained(folder / 'untrained', load_model_config('default'), robot)
    return folder / 'untrained'


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def _say(text: str) -> None:
    print(text, flush=True)
