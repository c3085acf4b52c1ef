"""What the tests of faults share: a report for the table, and a graph for a whole module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from graph_under_test import GraphUnderTest

from vla_humanoid_control.graph.domain import claimed_domain
from vla_humanoid_control.graph.processes import ProcessDiedError

SLACK_S = 1.0
"""How much later than its deadline a stop may come before a test fails, on whatever machine [s].
What is required at the 99th percentile is measured, and stands below the table."""
REQUIRED_S = 0.1


@dataclass
class FaultRecord:
    """What one run of a test has to say.

    Attributes:
        number: Of the fault.
        injected, happened: What was done, and what became of it.
        case: What repetitions of the same test have in common.
        late_s: When deceleration began after the deadline, for every stop that was measured [s].
        deadline_s: T, the deadline of the latest of them [s]; None without any.
        result: 'pass', 'fail' or 'known gap'.
    """

    number: int
    injected: str
    happened: str = ''
    case: str = ''
    late_s: list[float] = field(default_factory=list)
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
        if late_s > max(self._record.late_s, default=-math.inf):
            self._record.deadline_s = deadline_s
        self._record.late_s.append(late_s)
        assert late_s < SLACK_S, f'deceleration began {seconds:.2f} s after the fault'

    def stops(self, graph: GraphUnderTest, since: float, deadline_s: float) -> None:
        """The walking base is brought to rest within limits; `since` is the time of the fault."""
        graph.wait_for(graph.is_at_rest, 'the base is at rest')
        self.stopped_after(graph.stopping_began_after(since), deadline_s)
        graph.assert_within_limits()


def table(records: Iterable[FaultRecord]) -> str:
    """The table in Markdown: a row for each test, and a line on all measured stops."""
    cases: dict[str, list[FaultRecord]] = {}
    for record in sorted(records, key=lambda r: r.number):
        cases.setdefault(record.case, []).append(record)
    lines = ['# Faults, and what became of them', '',
             'T is the deadline of the watched input. A stop is measured from the fault to when '
             'the last base command at full speed was published. '
             'Negative: before the deadline. The 99th percentile of fewer than 100 stops is the '
             'latest of them. Where no stop was measured, none is due.', '',
             '| fault | injected | what happened | T [ms] | stops | median after T [ms] '
             '| 99th percentile [ms] | result |',
             '|---:|---|---|---:|---:|---:|---:|---|']
    lines += [_row(runs) for runs in cases.values()]
    passed = sum(_result(runs) == 'pass' for runs in cases.values())
    lines += ['', f'{passed} of {len(cases)} passed.']
    every = [r for runs in cases.values() for r in runs]
    if (p99 := late_percentile(every)) is not None:
        lines += ['', f'Stops after T, n = {sum(len(r.late_s) for r in every)}: median '
                  f'{_ms(late_percentile(every, 0.5))} ms, 99th percentile {_ms(p99)} ms '
                  f'(required: {_ms(REQUIRED_S)} ms).']
    return '\n'.join(lines) + '\n'


def _row(runs: Sequence[FaultRecord]) -> str:
    """One test, however often it was run."""
    first, count = runs[0], sum(len(r.late_s) for r in runs)
    latest = max(runs, key=lambda r: max(r.late_s, default=-math.inf))
    cells = (first.number, first.injected, first.happened, _ms(latest.deadline_s), count or '',
             _ms(late_percentile(runs, 0.5)), _ms(late_percentile(runs)), _result(runs))
    return f'| {" | ".join(map(str, cells))} |'


def _result(runs: Sequence[FaultRecord]) -> str:
    """The worst of them."""
    results = {r.result for r in runs}
    return next(r for r in ('fail', 'known gap', 'pass') if r in results)


def _ms(seconds: float | None) -> str:
    return '' if seconds is None else f'{seconds * 1e3:.0f}'


def late_percentile(records: Iterable[FaultRecord], share: float = 0.99) -> float | None:
    """By when after T that share of all measured stops had begun [s]; None without any."""
    late = sorted(s for r in records for s in r.late_s)
    return late[math.ceil(share * len(late)) - 1] if late else None


Bringup = Callable[[int, Path], GraphUnderTest]


class SharedGraph:
    """One graph for the tests of a module, brought to rest before each.

    Where it cannot be, the test that asks for it fails: the one before left something behind.
    """

    def __init__(self, create: Bringup, folders: pytest.TempPathFactory) -> None:
        self._create, self._folders = create, folders
        self._graph: GraphUnderTest | None = None
        self._domain = ExitStack()

    def fresh(self) -> GraphUnderTest:
        """The graph at rest, with nothing recorded."""
        if self._graph is not None:
            try:
                self._graph.processes.check()
            except ProcessDiedError:  # a test that killed one need not have started it again
                self.close()
            else:
                try:
                    self._graph.settle()
                except AssertionError:  # one test fails for it, and not all that follow
                    self.close()
                    raise
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
