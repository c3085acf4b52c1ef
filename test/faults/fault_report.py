"""What the tests of faults share: a report for the table, and a graph for a whole module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from graph_under_test import GraphUnderTest, claimed_domain

SLACK_S = 1.0
"""How much later than its deadline a stop may come before a test fails, on whatever machine [s].
What is required at the 99th percentile is measured, and stands below the table."""
REQUIRED_S = 0.1


@dataclass
class FaultRecord:
    """One line of the table.

    Attributes:
        number: Of the fault.
        injected, happened: What was done, and what became of it.
        late_s: When deceleration began after the deadline [s]; None where there is none.
        deadline_s: T, the deadline [s].
        result: 'pass', 'fail' or 'known gap'.
    """

    number: int
    injected: str
    happened: str = ''
    late_s: float | None = None
    deadline_s: float | None = None
    result: str = 'fail'


class Fault:
    """How a test tells what happened."""

    def __init__(self, record: FaultRecord) -> None:
        self._record = record

    def happened(self, text: str) -> None:
        """Say what became of the fault."""
        self._record.happened = '; '.join(filter(None, (self._record.happened, text)))

    def stopped_after(self, seconds: float, deadline_s: float) -> None:
        """A stop began so long after the fault; checked against its deadline T with slack."""
        late_s = seconds - deadline_s
        if self._record.late_s is None or late_s > self._record.late_s:
            self._record.late_s, self._record.deadline_s = late_s, deadline_s
        assert late_s < SLACK_S, f'deceleration began {seconds:.2f} s after the fault'

    def stops(self, graph: GraphUnderTest, since: float, deadline_s: float) -> None:
        """The walking base is brought to rest within limits; `since` is the time of the fault."""
        graph.wait_for(graph.is_at_rest, 'the base is at rest')
        self.stopped_after(graph.stopping_began_after(since), deadline_s)
        graph.assert_within_limits()


def table(records: list[FaultRecord]) -> str:
    """The table in Markdown, with a line on all measured stops."""
    lines = ['# Faults, and what became of them', '',
             'T is the deadline of the watched input. A stop is measured from the fault to the '
             'last base command at full speed, as another process on the machine receives it.', '',
             '| fault | injected | what happened | T [ms] | stop after T [ms] | result |',
             '|---:|---|---|---:|---:|---|']
    for r in records:
        deadline = '' if r.deadline_s is None else f'{r.deadline_s * 1e3:.0f}'
        late = '' if r.late_s is None else f'{r.late_s * 1e3:.0f}'
        lines.append(f'| {r.number} | {r.injected} | {r.happened} | {deadline} | {late} '
                     f'| {r.result} |')
    late = sorted(r.late_s for r in records if r.late_s is not None)
    lines += ['', f'{sum(r.result == "pass" for r in records)} of {len(records)} passed.']
    if (p99 := late_percentile(records)) is not None:
        lines += ['', f'Stops after T, n = {len(late)}: median {late[len(late) // 2] * 1e3:.0f} '
                  f'ms, 99th percentile {p99 * 1e3:.0f} ms (required: {REQUIRED_S * 1e3:.0f} ms). '
                  'Negative: before the deadline.']
    return '\n'.join(lines) + '\n'


def late_percentile(records: Iterable[FaultRecord]) -> float | None:
    """99th percentile of stops after T [s]; None without any."""
    late = sorted(r.late_s for r in records if r.late_s is not None)
    return late[math.ceil(0.99 * len(late)) - 1] if late else None


Bringup = Callable[[int, Path], GraphUnderTest]


class SharedGraph:
    """One graph for the tests of a module, brought to rest before each."""

    def __init__(self, create: Bringup, folders: pytest.TempPathFactory) -> None:
        self._create, self._folders = create, folders
        self._graph: GraphUnderTest | None = None
        self._domain = ExitStack()

    def fresh(self) -> GraphUnderTest:
        """The graph at rest, with nothing recorded."""
        if self._graph is not None:
            try:
                self._graph.processes.check()
                self._graph.settle()
            except Exception:  # whatever a test left behind, the next one begins anew
                self.close()
        if self._graph is None:
            number = self._domain.enter_context(claimed_domain())
            graph = self._create(number, self._folders.mktemp('graph'))
            self._graph = graph.__enter__()
            graph.wait_until_ready()
        self._graph.forget()
        return self._graph

    def close(self) -> None:
        """Take the graph down."""
        if self._graph is not None:
            graph, self._graph = self._graph, None
            graph.__exit__(None, None, None)
            self._domain.close()
