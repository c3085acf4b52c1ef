"""Goals, table and JSON of `vla bench`. Pure, but for writing the file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Loop, Summary

GRAPH_MS = 15.0
SAFETY_MS, SAFETY_P99_MS = 0.5, 1.0
ENOUGH = 0.95
"""Share of the ticks that must carry the policy's action. With fewer, the robot was held, and what
is left says little about the latency in operation."""


@dataclass(frozen=True)
class GraphFigures:
    """What was measured of a graph, ours or the textbook node.

    Attributes:
        latency: From the stamp of a frame to the arrival of the first command that follows; None
            where it was not measured, for want of commands.
        stages: Where that time went, by stage, medians and 99th percentiles of each.
        frames_published, frames_delivered: Camera frames sent, and received by the node.
        loops: By topic, how evenly it was published.
        missed_by_node: Deadlines that the nodes themselves count as missed, by node.
        acted: Ticks whose action of the policy, past the confidence gate, reached the robot.
        ticks: Ticks that were to be measured.
    """

    latency: Summary | None
    stages: Mapping[str, Summary]
    frames_published: int
    frames_delivered: int
    loops: Mapping[str, Loop]
    missed_by_node: Mapping[str, int]
    acted: int
    ticks: int

    @property
    def coverage(self) -> str:
        """How many ticks carried an action, for people."""
        return f"{self.acted} of {self.ticks} ticks carried the policy's action"


def needed(ticks: int) -> int:
    """How many of so many ticks must carry the policy's action."""
    return math.ceil(ENOUGH * ticks)


@dataclass(frozen=True)
class LocalFigures:
    """What was measured in one process, without ROS.

    Attributes:
        forward: One `Policy.infer` on a camera frame, resizing included, with its results.
        served: The same behind `vla serve` on this machine, asked in turns with the policy in this
            process, and `served_added` by how much longer that took; None where the policy is
            behind a server anyway.
        safety_step: One `SafetySupervisor.step` on one core.
        safety_tick: The same with all inputs that come in its period.
        safety_crowded: As `safety_tick`, near walls and with arms in each other's way.
        safety_moving: Share of the steps of `safety_step` in which the robot was allowed
            to move.
        physics_steps_per_s: Steps of the physics, and how much faster than real time that is.
        real_time_factor: Simulated seconds a second.
        frames_per_s: Camera images drawn a second.
    """

    forward: Summary
    served: Summary | None
    served_added: Summary | None
    safety_step: Summary
    safety_tick: Summary
    safety_crowded: Summary
    safety_moving: float
    physics_steps_per_s: float
    real_time_factor: float
    frames_per_s: float


@dataclass(frozen=True)
class Goal:
    """One goal and what came of it in this run.

    Attributes:
        text: What is to be reached.
        measured: What was reached; None where it was not measured, which meets no goal.
        limit: What it may be at most.
        unit: Of both; empty for counts.
        why_not: Why it was not measured.
    """

    text: str
    measured: float | None
    limit: float
    unit: str
    why_not: str = ''

    @property
    def is_met(self) -> bool:
        """Whether it was measured, and is at most the limit."""
        return self.measured is not None and self.measured <= self.limit

    def __str__(self) -> str:
        unit = f' {self.unit}' if self.unit else ''
        came = f'not measured, {self.why_not}' if self.measured is None \
            else f'{self.measured:.4g}{unit}'
        return (f'[{"met" if self.is_met else "NOT MET"}] {self.text}: {came} '
                f'(goal {self.limit:.4g}{unit})')


def goals(graph: GraphFigures, local: LocalFigures, camera_hz: float) -> list[Goal]:
    """What is to be reached, with what was."""
    period_ms = 1e3 / camera_hz
    latency_ms = None if graph.latency is None else graph.latency.p99_ms
    why_not = f'as {graph.coverage}, and {needed(graph.ticks)} are needed'
    missed = sum(loop.missed for loop in graph.loops.values()) + sum(graph.missed_by_node.values())
    return [
        Goal(f'camera to /cmd_vel, p99, at most the forward pass + {GRAPH_MS:g} ms + one camera '
             f'period of {period_ms:.1f} ms', latency_ms,
             local.forward.median_ms + GRAPH_MS + period_ms, 'ms', why_not),
        Goal('no missed deadline, seen from outside or counted by the nodes', missed, 0, ''),
        Goal('all frames delivered: lost', graph.frames_published - graph.frames_delivered, 0, ''),
        Goal('a safety check, median, under', local.safety_step.median_ms, SAFETY_MS, 'ms'),
        Goal('the whole safety tick with its inputs, p99 of the harder case, under',
             max(local.safety_tick.p99_ms, local.safety_crowded.p99_ms), SAFETY_P99_MS, 'ms'),
    ]


def table(graph: GraphFigures, textbook: GraphFigures, local: LocalFigures,
          reached: Iterable[Goal]) -> str:
    """Everything for people."""
    rows = [
        ('', 'median', 'p99', 'worst', 'n'),
        _row('(a) camera to /cmd_vel, full graph', graph.latency),
        *(_row(f'      {name}', s) for name, s in graph.stages.items()),
        _row('(b) camera to /cmd_vel, textbook node', textbook.latency),
        *(_row(f'      {name}', s) for name, s in textbook.stages.items()),
        _row('(c) bare forward pass', local.forward),
        _row('(d) behind vla serve on this machine', local.served),
        _row('      more than in process, in turns', local.served_added),
        _row('safety check (SafetySupervisor.step)', local.safety_step, 3),
        _row('safety tick, inputs included', local.safety_tick, 3),
        _row('      near walls, arms in the way', local.safety_crowded, 3),
    ]
    loops = [('', 'period', 'jitter', 'p99 off', 'longest', 'missed', 'ticks')]
    for who, figures in (('graph', graph), ('textbook', textbook)):
        loops += [(f'{who} {topic}', _ms(x.period_ms), _ms(x.jitter_ms), _ms(x.p99_deviation_ms),
                   _ms(x.longest_ms), str(x.missed), str(x.ticks))
                  for topic, x in figures.loops.items()]
    lines = [
        *_aligned(rows), '', *_aligned(loops), '',
        f'of the graph, {graph.coverage}; of the textbook node, {textbook.acted} of '
        f'{textbook.ticks}',
        f'frames delivered: graph {graph.frames_delivered} of {graph.frames_published}, '
        f'textbook {textbook.frames_delivered} of {textbook.frames_published}',
        f'simulator: {local.physics_steps_per_s:.0f} physics steps a second '
        f'({local.real_time_factor:.1f} times real time), {local.frames_per_s:.0f} frames of '
        '640x480 a second', '',
        *map(str, reached),
    ]
    return '\n'.join(lines)


def save_json(path: Path, graph: GraphFigures, textbook: GraphFigures, local: LocalFigures,
              reached: Iterable[Goal], about: Mapping[str, Any]) -> None:
    """Everything for machines."""
    data = {'about': dict(about), 'graph': asdict(graph), 'textbook': asdict(textbook),
            'local': asdict(local), 'goals': [{**asdict(g), 'met': g.is_met} for g in reached]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + '\n', encoding='utf-8')


def _row(name: str, s: Summary | None, digits: int = 1) -> tuple[str, ...]:
    if s is None:
        return (name, *3 * ('not measured',), '')
    return (name, *(f'{v:.{digits}f} ms' for v in (s.median_ms, s.p99_ms, s.worst_ms)), str(s.n))


def _ms(value: float) -> str:
    return f'{value:.1f} ms'


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ['  '.join([row[0].ljust(widths[0]),
                       *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))])
            for row in rows]
