"""From raw times to figures. Pure: arrays in, frozen dataclasses out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64] | Sequence[float]

MISSED = 1.5
"""A tick is missed when it comes later than this many periods after the one before it."""


@dataclass(frozen=True)
class Summary:
    """Distribution of a duration.

    Attributes:
        n: How many were measured.
        median_ms, p99_ms, worst_ms: Median, 99th percentile and maximum [ms].
    """

    n: int
    median_ms: float
    p99_ms: float
    worst_ms: float


@dataclass(frozen=True)
class Loop:
    """How evenly a loop ticked.

    Attributes:
        ticks: Ticks that were seen, after the first.
        period_ms: The period that it should have [ms].
        jitter_ms: Standard deviation of the time between ticks [ms].
        p99_deviation_ms: 99th percentile of the distance from the period [ms].
        longest_ms: Longest time between two ticks [ms].
        missed: Ticks that came later than `MISSED` periods after the one before.
    """

    ticks: int
    period_ms: float
    jitter_ms: float
    p99_deviation_ms: float
    longest_ms: float
    missed: int


def summarise(durations_ms: Numbers) -> Summary:
    """Median and 99th percentile, the latter as a value that occurred.

    Raises:
        ValueError: There is nothing, or something is not finite.
    """
    values = np.asarray(durations_ms, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f'{len(values)} durations, which must be at least one, and all finite')
    return Summary(len(values), float(np.median(values)),
                   float(np.percentile(values, 99, method='higher')), float(values.max()))


def measure_loop(times_ns: Sequence[int], period_s: float) -> Loop:
    """How evenly these ticks came.

    Args:
        times_ns: When each tick published, in order [ns].
        period_s: The period that they should have [s].

    Raises:
        ValueError: Fewer than two ticks.
    """
    if len(times_ns) < 2:
        raise ValueError(f'{len(times_ns)} ticks make no interval')
    times: NDArray[np.int64] = np.asarray(times_ns, np.int64)
    gaps_ms: NDArray[np.float64] = (times[1:] - times[:-1]) / 1e6
    period_ms = period_s * 1e3
    return Loop(len(gaps_ms), period_ms, float(gaps_ms.std()),
                float(np.percentile(np.abs(gaps_ms - period_ms), 99, method='higher')),
                float(gaps_ms.max()), int((gaps_ms > MISSED * period_ms).sum()))


def first_commands(trace: NDArray[np.int64], arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each camera frame that was acted on, the first command that follows from it.

    Args:
        trace: int64 [T, 3], one row a command in the order of publishing: when publishing it began
            [ns], stamp of the camera frame that it follows from [ns], 1 where it carries the
            policy's action and 0 where it is a hold.
        arrivals: int64 [A, 2], one row a command that reached the robot: when it was sent and when
            it arrived, by the middleware's own clock [ns].

    Returns:
        int64 [F, 3]: frame stamp, when its first command was sent, when that arrived [ns]. A frame
        whose first command was lost on the way is given by the next one that arrived.
    """
    if not len(trace) or not len(arrivals):
        return np.zeros((0, 3), np.int64)
    arrivals = arrivals[np.argsort(arrivals[:, 0], kind='stable')]
    # The middleware stamps a command while it is being published, so after its row began.
    index = np.searchsorted(trace[:, 0], arrivals[:, 0], side='right') - 1
    known = index >= 0
    rows, arrivals = trace[index[known]], arrivals[known]
    acted = rows[:, 2] == 1
    rows, arrivals = rows[acted], arrivals[acted]
    stamps, first = np.unique(rows[:, 1], return_index=True)
    return np.column_stack([stamps, arrivals[first]]).astype(np.int64)


def followed_by(sent: NDArray[np.int64], messages: NDArray[np.int64]) -> NDArray[np.float64]:
    """How long after each stamp a message with that stamp was first sent [ms].

    Args:
        sent: int64 [F], stamps of camera frames [ns].
        messages: int64 [M, 2]: stamp that a message carries, and when it was sent [ns].

    Returns:
        float64 [F]; NaN where no message carries that stamp.
    """
    first: dict[int, int] = {}
    for stamp, time_ns in messages.tolist():
        first[stamp] = min(time_ns, first.get(stamp, time_ns))
    return np.array([(first[s] - s) / 1e6 if s in first else np.nan for s in sent.tolist()])
