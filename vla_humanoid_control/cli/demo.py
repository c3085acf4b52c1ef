"""`vla demo`: a simulated humanoid carries out commands through the real node graph."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_humanoid_control.cli.prerequisites import rendering_problem, ros_problem
from vla_humanoid_control.cli.shared import add_policy
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import folder_of, read_namespace
from vla_humanoid_control.support.outputs import check_folder, make_folder
from vla_humanoid_control.support.resources import config_path

if TYPE_CHECKING:
    from vla_humanoid_control.cli.terminal import Terminal
    from vla_humanoid_control.clients.director import Director, Snapshot
    from vla_humanoid_control.control.timing import NodeParameters, Timing
    from vla_humanoid_control.evaluation.rollout import EpisodeResult
    from vla_humanoid_control.evaluation.suite import Episode
    from vla_humanoid_control.evaluation.video import Video


REACTION_S = 5.0
"""Without a sign of a command for so long, it changed nothing, as a second "stop" does [s]."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--interactive', action='store_true',
                        help='keep the graph up and read commands from the terminal')
    parser.add_argument('--headless', action='store_true',
                        help='never open a window (the default where there is no display)')
    parser.add_argument('--suite', type=Path, default=None,
                        help='episodes to carry out (default: config/suites/demo.yaml)')
    add_policy(parser)
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--out', type=Path, default=None,
                        help='where video, timeline and report go (default: out/demo, in a '
                             'namespace out/demo/NAME)')
    parser.add_argument('--seed', type=int, default=None,
                        help='scene of --interactive (default: that of config/params/demo.yaml)')
    parser.add_argument('--namespace', default='', metavar='NAME',
                        help="the robot's namespace, such as robot1 (default: none)")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 only if every command succeeded.

    Raises:
        UserError: Something is missing on this machine, or the graph fails.
    """
    if problem := rendering_problem() or ros_problem():
        raise UserError(problem)
    arguments.namespace = read_namespace(arguments.namespace)
    if arguments.out is None:
        arguments.out = folder_of(arguments.namespace, Path('out', 'demo'))
    timing = _check(arguments).parameters()
    make_folder(arguments.out, '--out')
    window = not arguments.headless and bool(os.environ.get('DISPLAY'))
    obey = _interactive if arguments.interactive else _carry_out
    return obey(arguments, window, timing)


def _check(arguments: argparse.Namespace) -> Timing:
    """Load everything once, so that bad input is refused before anything starts.

    Returns:
        The time limits for the policy.
    """
    from vla_humanoid_control.control.timing import Timing
    from vla_humanoid_control.evaluation.suite import load_suite
    from vla_humanoid_control.policy.registry import chosen_policy, load_policy
    from vla_humanoid_control.robot.reader import load_robot
    from vla_humanoid_control.simulation.camera import check_drawing
    from vla_humanoid_control.simulation.world import World
    check_folder(arguments.out, '--out')
    if arguments.seed is not None and arguments.seed < 0:
        raise UserError(f'--seed must be 0 or more, got {arguments.seed}.')
    if arguments.suite is not None:
        load_suite(arguments.suite, through_nodes=True)
    check_drawing()
    robot = load_robot(arguments.robot)
    arguments.policy = chosen_policy(arguments.policy, robot)
    policy = load_policy(arguments.policy, robot, arguments.embodiment, arguments.trust)
    World(robot)  # refuses a robot that the simulator lacks
    return Timing.of(policy.spec)


class Recorder:
    """Turns what the topics say into a video and a timeline."""

    def __init__(self, video: Any, threshold: float, window: bool) -> None:
        from vla_humanoid_control.evaluation.timeline import Trace
        self.trace = Trace(threshold)
        self.instruction = ''
        self._video, self._window = video, window
        self._began_s = time.monotonic()

    def now_s(self) -> float:
        """Time since the start of the recording [s]."""
        return time.monotonic() - self._began_s

    def take(self, moment: Snapshot) -> None:
        """Add one moment."""
        from vla_humanoid_control.evaluation.timeline import Moment
        from vla_humanoid_control.evaluation.video import Caption
        from vla_humanoid_control.state_text import state_of
        state = state_of(moment.safety_state)
        self.trace.moments.append(Moment(
            moment.time_s - self._began_s, moment.confidence,
            float((moment.twist[0] ** 2 + moment.twist[1] ** 2) ** 0.5), float(moment.twist[2]),
            state))
        if moment.camera is None or moment.outside is None:
            return
        caption = Caption(self.instruction, state_of(moment.task_state), state,
                          moment.confidence, self.trace.threshold)
        frame = self._video.add(moment.camera, moment.outside, caption)
        if self._window:
            import cv2
            cv2.imshow('vla demo', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            cv2.waitKey(1)


def _carry_out(arguments: argparse.Namespace, window: bool, timing: NodeParameters) -> int:
    from vla_humanoid_control.clients.evaluation import evaluate
    from vla_humanoid_control.evaluation.report import build_report, save_report
    from vla_humanoid_control.evaluation.suite import load_suite
    from vla_humanoid_control.evaluation.timeline import Span, draw_timeline
    from vla_humanoid_control.evaluation.video import Video
    from vla_humanoid_control.policy.registry import monitoring

    suite = arguments.suite or config_path('suites', 'demo.yaml')
    episodes = load_suite(suite)
    gate = monitoring(arguments.policy, arguments.trust).gate
    print(f'Bringing up the graph for {len(episodes)} commands ...', flush=True)
    results: list[EpisodeResult] = []
    with Video(arguments.out / 'demo.mp4') as video:
        recorder = Recorder(video, gate.open_threshold, window)
        began_s = [0.0]

        def announce(episode: Episode) -> None:
            recorder.instruction, began_s[0] = episode.instruction, recorder.now_s()

        with closing(evaluate(
                episodes, arguments.robot, arguments.policy,
                log=arguments.out / 'graph.log', outside_rate_hz=10.0, on_moment=recorder.take,
                on_episode=announce, namespace=arguments.namespace,
                embodiment=arguments.embodiment, trust=arguments.trust, timing=timing,
                allow_uncalibrated=arguments.allow_uncalibrated)) as outcomes:
            for episode, result in zip(episodes, outcomes):
                results.append(result)
                recorder.trace.spans.append(Span(began_s[0], recorder.now_s(),
                                                 episode.instruction, result.success))
                _print_progress(len(results), len(episodes), result)
    _report_problem(video)
    draw_timeline(recorder.trace, arguments.out / 'timeline.png')
    report = build_report(results, gate)
    save_report({'suite': suite.name, 'policy': str(arguments.policy), 'ros': True,
                 'commands': [asdict(s) for s in recorder.trace.spans], **report},
                arguments.out / 'report.json')
    good = sum(r.success for r in results)
    print(f'{good} of {len(results)} commands carried out. Video, timeline and report: '
          f'{arguments.out}/', flush=True)
    return 0 if good == len(episodes) else 1


def _report_problem(video: Video) -> None:
    if video.problem:
        print(f'warning: {video.problem}. The commands were carried out all the same.',
              file=sys.stderr, flush=True)


def _print_progress(number: int, total: int, result: EpisodeResult) -> None:
    mark = 'done  ' if result.success else 'FAILED'
    print(f'[{number}/{total}] {mark} {result.seconds:5.1f} s  confidence '
          f'{result.mean_confidence:.2f}  "{result.instruction}"'
          + ('' if result.success else f'  ({result.reason})'), flush=True)


def _interactive(arguments: argparse.Namespace, window: bool, timing: NodeParameters) -> int:
    from vla_humanoid_control.cli.terminal import Terminal
    from vla_humanoid_control.clients.director import Director, camera_topic
    from vla_humanoid_control.evaluation.video import Video
    from vla_humanoid_control.graph.bringup import Deployment, environment, graph
    from vla_humanoid_control.graph.domain import own_domain
    from vla_humanoid_control.graph.processes import ProcessGroup
    from vla_humanoid_control.policy.registry import monitoring
    from vla_humanoid_control.robot.reader import load_robot

    os.environ.update(environment())
    log = arguments.out / 'graph.log'
    log.unlink(missing_ok=True)
    deployment = Deployment(robot=arguments.robot, policy=arguments.policy,
                            embodiment=arguments.embodiment, trust=arguments.trust,
                            timing=timing, namespace=arguments.namespace, parameters={
        'confidence_monitor': {'allow_uncalibrated': arguments.allow_uncalibrated},
        'humanoid_sim': {'outside_rate_hz': 10.0, **(
            {} if arguments.seed is None else {'scene_seed': arguments.seed})}})
    gate = monitoring(arguments.policy, arguments.trust).gate
    with own_domain() as domain, Video(arguments.out / 'interactive.mp4') as video, \
            ProcessGroup(graph(deployment), log, echo=None) as group:
        recorder = Recorder(video, gate.open_threshold, window)
        with Director(True, group.check, recorder.take,
                      camera_topic(load_robot(arguments.robot)),
                      arguments.namespace) as director:
            director.wait_until_ready()
            print('Ready. Type a command such as "turn left", "stop", or "quit".\n'
                  f'To listen in from another terminal: export ROS_DOMAIN_ID={domain}', flush=True)
            _obey(Terminal(sys.stdin), director, recorder)
    _report_problem(video)
    print(f'Video: {arguments.out}/interactive.mp4', flush=True)
    return 0


def _obey(terminal: Terminal, director: Director, recorder: Recorder) -> None:
    """Pass on what is typed until "quit", or until the end of the input and of the last task."""
    from vla_humanoid_control.evaluation.watching import TaskWatch
    from vla_humanoid_control.language.intake import Rejection, check_command

    shown, watch, said_s = '', None, 0.0
    while True:
        director.linger(0.1)
        state = director.snapshot().task_state
        if state != shown:
            print(f'  {state}', flush=True)
            shown = state
        if watch is not None:
            watch.take(state)
        for line in terminal.lines():
            if line.strip().lower() in (b'quit', b'exit'):
                return
            if isinstance(parsed := check_command(line), Rejection):
                print(f'  not understood: {parsed.reason}', flush=True)
                continue
            watch, said_s = TaskWatch(parsed.text, state), time.monotonic()
            recorder.instruction = parsed.text
            director.say(parsed.text)
        if terminal.has_ended and (watch is None or watch.is_over or (not watch.line
                                   and time.monotonic() - said_s > REACTION_S)):
            return
