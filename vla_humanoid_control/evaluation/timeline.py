"""A run on one page: commands, confidence with its threshold, base speed, safety state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.use('Agg')

_STATE_COLOURS = {'RUN': '#4caf7a', 'SLOW': '#e0b040', 'HOLD': '#8fa3bf', 'STOP': '#e07050',
                  'ESTOP': '#b02030'}


@dataclass(frozen=True)
class Moment:
    """What was measured at one time.

    Attributes:
        time_s: Since the start of the run [s].
        confidence: Calibrated confidence in [0, 1].
        speed_mps: Commanded base speed [m/s].
        turn_rad_s: Commanded turning rate [rad/s].
        safety_state: As on `/safety/state`.
    """

    time_s: float
    confidence: float
    speed_mps: float
    turn_rad_s: float
    safety_state: str


@dataclass(frozen=True)
class Span:
    """One command: from when to when [s], its words, and whether it succeeded."""

    start_s: float
    end_s: float
    instruction: str
    success: bool


@dataclass
class Trace:
    """Everything that the picture shows."""

    threshold: float
    moments: list[Moment] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


def draw_timeline(trace: Trace, path: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=(16, 7.5), layout='constrained')
    commands, confidence, speed, safety = figure.subplots(
        4, 1, sharex=True, gridspec_kw={'height_ratios': (1.5, 2, 1.6, .6)})
    times = [m.time_s for m in trace.moments]
    _draw_commands(commands, trace.spans)
    confidence.plot(times, [m.confidence for m in trace.moments], color='#2060b0', lw=1.2)
    confidence.axhline(trace.threshold, color='#c04040', ls='--', lw=1,
                       label=f'threshold {trace.threshold:.2f}')
    confidence.set(ylim=(-.03, 1.03), ylabel='confidence')
    confidence.legend(loc='upper left', bbox_to_anchor=(1.005, 1), frameon=False)
    speed.plot(times, [m.speed_mps for m in trace.moments], label='speed [m/s]', lw=1.2)
    speed.plot(times, [m.turn_rad_s for m in trace.moments], label='turn [rad/s]', lw=1.2)
    speed.set(ylabel='base command')
    speed.legend(loc='upper left', bbox_to_anchor=(1.005, 1), frameon=False)
    _draw_states(safety, times, [m.safety_state for m in trace.moments])
    safety.set(xlabel='time [s]', yticks=[], ylabel='safety')
    figure.savefig(path, dpi=90)


def _draw_commands(axis: matplotlib.axes.Axes, spans: Sequence[Span]) -> None:
    for row, span in enumerate(spans):
        colour = '#4caf7a' if span.success else '#e07050'
        axis.barh(-(row % 3), span.end_s - span.start_s, left=span.start_s, height=.8,
                  color=colour, alpha=.55)
        axis.text(span.start_s, -(row % 3), f' {span.instruction}', va='center', fontsize=9)
    axis.set(ylim=(-2.6, .6), yticks=[], ylabel='commands')


def _draw_states(axis: matplotlib.axes.Axes, times: Sequence[float],
                 states: Sequence[str]) -> None:
    shown: set[str] = set()
    start = 0
    for index in range(1, len(states) + 1):
        if index == len(states) or states[index] != states[start]:
            end = times[min(index, len(times) - 1)]
            state = states[start]
            axis.axvspan(times[start], end, color=_STATE_COLOURS.get(state, '#555555'),
                         label=None if state in shown else state, lw=0)
            shown.add(state)
            start = index
    if shown:
        axis.legend(loc='upper left', bbox_to_anchor=(1.005, 1.6), frameon=False, fontsize=9)
