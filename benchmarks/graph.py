"""Runs a graph of real processes against the robot's end, and works out latency and jitter."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import (
    Loop,
    Summary,
    first_commands,
    followed_by,
    measure_loop,
    summarise,
)
from benchmarks.report import GraphFigures, needed
from benchmarks.robot_side import CAMERA_HZ as CAMERA_HZ
from benchmarks.robot_side import RobotSide
from benchmarks.tracing import TRACE
from vla_humanoid_control.control.timing import NodeParameters
from vla_humanoid_control.graph.bringup import Deployment, NodeEntry, graph
from vla_humanoid_control.graph.domain import claimed_domain
from vla_humanoid_control.graph.processes import ProcessGroup
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.state_text import state_of
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.types import TaskState

POLICY_HZ, SAFETY_HZ = 10.0, 50.0
START_S = 120.0  # at most, until all nodes are there
SETTLE_S = 1.5  # after the first command, before anything counts
ANOTHER_S = 4.0  # between two commands: a turn is not yet done then, and the policy always acts
_OVERRIDES: dict[str, dict[str, Any]] = {
    'vla_controller': {'rate_hz': POLICY_HZ},
    'safety_monitor': {'remember_latch': False, 'safety.rate_hz': SAFETY_HZ},
}


@dataclass(frozen=True)
class Setting:
    """What both graphs are measured with.

    Attributes:
        robot_name: Name or path of the robot file.
        robot: What is in it.
        policy: Folder of a checkpoint, or a policy name.
        frames: Camera images of a full turn, RGB uint8 [480, 640, 3].
        instructions: What the robot is told, in turn.
        ticks: Ticks of the policy's loop to measure.
        out: Folder for logs and notes.
    """

    robot_name: str
    robot: RobotSpec
    policy: str
    embodiment: str
    trust: str
    timing: NodeParameters
    frames: Sequence[NDArray[np.uint8]]
    instructions: Sequence[str]
    ticks: int
    out: Path


def measure_graph(setting: Setting) -> GraphFigures:
    """The three nodes of this package.

    Raises:
        UserError: A process died, or the graph did not come up; says where the log is.
    """
    deployment = Deployment(robot=setting.robot_name, policy=setting.policy,
                            embodiment=setting.embodiment, trust=setting.trust,
                            timing=setting.timing, simulated=False, parameters=_OVERRIDES)
    entries = tuple(replace(e, module='benchmarks.traced_safety') if e.name == 'safety_monitor'
                    else e for e in graph(deployment))
    notes = setting.out / 'graph_trace.npz'
    with _running(entries, setting, notes) as (group, side):
        def nodes_are_up() -> bool:
            return side.listeners() >= (1, 1) and all(e.name in side.health for e in entries)
        side.spin_until(nodes_are_up, START_S, f'the nodes; see {setting.out}/graph.log',
                        group.check)
        _wait_for_reports(side, group)
        before, published = dict(side.health), side.frames_published
        _drive(side, group, setting, lambda: state_of(side.task_state) == TaskState.RUNNING.value)
        first_ns, missed_before = side.arrivals[-1][0], dict(side.health)
        _measure(side, group, setting)
        side.film(False)
        _wait_for_reports(side, group)
        after, published = side.health, side.frames_published - published
    delivered = sum(int(after['vla_controller'][key]) - int(before['vla_controller'][key])
                    for key in ('head.accepted', 'head.rejected'))
    missed = {name: int(after[name]['deadlines_missed'])
              - int(missed_before[name]['deadlines_missed'])
              for name in ('vla_controller', 'safety_monitor')}
    trace = np.load(notes)['commands']
    messages = {name: np.array(times, np.int64).reshape(-1, 2)
                for name, times in side.stamped.items()}
    loops = {'/vla/action_proposal': measure_loop(messages['proposal'][:, 1].tolist(),
                                                  1 / POLICY_HZ),
             '/cmd_vel': measure_loop([a for a, _ in side.arrivals], 1 / SAFETY_HZ)}
    return _figures(trace[trace[:, 0] >= first_ns], side, messages, (published, delivered), loops,
                    missed, setting.ticks)


def measure_textbook(setting: Setting) -> GraphFigures:
    """The textbook node under the same load; errors as for `measure_graph`."""
    entry = NodeEntry('textbook_vla', {'robot': setting.robot_name, 'policy': setting.policy,
                                       'rate_hz': POLICY_HZ},
                      config_path('params', 'robot.yaml'), module='benchmarks.traced_textbook')
    notes = setting.out / 'textbook_trace.npz'
    with _running((entry,), setting, notes) as (group, side):
        side.spin_until(lambda: side.listeners() >= (1, 1), START_S,
                        f'the node; see {setting.out}/graph.log', group.check)
        _pause(side, group, 1.0)  # what is discovered here may not yet be discovered there
        _drive(side, group, setting, lambda: bool(side.arrivals))
        first_ns = side.arrivals[-1][0]
        _measure(side, group, setting)
        side.film(False)
        _pause(side, group, 1.0)
        published = side.frames_published
    data = np.load(notes)
    loops = {'/cmd_vel': measure_loop([a for a, _ in side.arrivals], 1 / POLICY_HZ)}
    trace = data['commands']
    return _figures(trace[trace[:, 0] >= first_ns], side, {}, (published, int(data['frames'])),
                    loops, {}, setting.ticks)


def _drive(side: RobotSide, group: ProcessGroup, setting: Setting, acts: Any) -> None:
    """Start the camera, give the command, wait until it is acted on, forget what was before."""
    side.film(True)
    _pause(side, group, 0.5)
    side.say(setting.instructions[0])
    side.spin_until(lambda: acts() and side.arrivals, START_S,
                    f'a reaction to the command; see {setting.out}/graph.log', group.check)
    _pause(side, group, SETTLE_S)
    side.spin_until(lambda: side.arrivals, 5.0, '/cmd_vel', group.check)


def _measure(side: RobotSide, group: ProcessGroup, setting: Setting) -> None:
    """Note what comes for so many ticks, and give another command now and then."""
    side.note(True)
    until_s = time.monotonic() + setting.ticks / POLICY_HZ + 0.2
    for instruction in itertools.cycle((*setting.instructions[1:], setting.instructions[0])):
        # A person's words come at any time. Here they come after an action, so that none of the
        # ticks that are measured falls between the words and the first action on them.
        _wait_for_action(side, group)
        side.say(instruction)
        _pause(side, group, min(ANOTHER_S, until_s - time.monotonic()))
        if time.monotonic() >= until_s:
            break
    side.note(False)  # what follows, without a camera, is another matter


def _wait_for_action(side: RobotSide, group: ProcessGroup) -> None:
    """Until another frame was acted on; where none is, for a second."""
    before, until_s = side.newest_ns, time.monotonic() + 1.0
    side.spin_until(lambda: side.newest_ns != before or time.monotonic() > until_s, 30.0,
                    'an action', group.check)


def _pause(side: RobotSide, group: ProcessGroup, seconds: float) -> None:
    """Go on receiving for so long."""
    until_s = time.monotonic() + seconds
    side.spin_until(lambda: time.monotonic() >= until_s, seconds + 30.0, 'time to pass',
                    group.check)


def _wait_for_reports(side: RobotSide, group: ProcessGroup) -> None:
    """Until every node has reported itself again, from after now."""
    # Two, as the first may have been on its way already.
    wanted = {name: count + 2 for name, count in side.reports.items()}
    side.spin_until(lambda: all(side.reports[n] >= c for n, c in wanted.items()), 15.0,
                    'diagnostics', group.check)


def _figures(trace: NDArray[np.int64], side: RobotSide, messages: Mapping[str, NDArray[np.int64]],
             frames: tuple[int, int], loops: Mapping[str, Loop], missed: Mapping[str, int],
             ticks: int) -> GraphFigures:
    arrivals = np.array(side.arrivals, np.int64).reshape(-1, 2)
    commands = first_commands(trace, arrivals)
    acted = len(commands)
    if acted < needed(ticks):
        return GraphFigures(None, {}, *frames, loops, missed, acted, ticks)
    commands = commands[1:-1]  # the ends may be cut off
    return GraphFigures(summarise((commands[:, 2] - commands[:, 0]) / 1e6),
                        _stages(commands, messages), *frames, loops, missed, acted, ticks)


def _stages(commands: NDArray[np.int64], messages: Mapping[str, NDArray[np.int64]]
            ) -> dict[str, Summary]:
    """Times between the stations of a frame's way, in milliseconds after the one before."""
    times = {'frame to proposal': followed_by(commands[:, 0], messages['proposal']),
             'proposal to gated': followed_by(commands[:, 0], messages['gated'])} \
        if messages else {}
    times['to /cmd_vel sent'] = (commands[:, 1] - commands[:, 0]) / 1e6
    times['to /cmd_vel arrived'] = (commands[:, 2] - commands[:, 0]) / 1e6
    names, columns = list(times), np.column_stack(list(times.values()))
    columns = columns[np.isfinite(columns).all(axis=1)]
    steps = np.diff(columns, axis=1, prepend=0.0)
    return {name: summarise(steps[:, i]) for i, name in enumerate(names)}


@contextmanager
def _running(entries: tuple[NodeEntry, ...], setting: Setting, notes: Path
             ) -> Iterator[tuple[ProcessGroup, RobotSide]]:
    notes.unlink(missing_ok=True)
    with claimed_domain() as domain_id:
        extra = {'ROS_DOMAIN_ID': str(domain_id), TRACE: str(notes.resolve())}
        with ProcessGroup(entries, setting.out / 'graph.log', None, extra) as group, \
                RobotSide(setting.robot, setting.frames, domain_id) as side:
            yield group, side
