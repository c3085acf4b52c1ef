"""Every fault is a test named after its number; `--fault-table` writes what became of each.

With `--fault-repeats` those that measure when a stop came are run more than once.

Most tests of a module share one graph of real processes, which is brought back to rest between
them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: pip install .[ros], or source an installation')

# For the modules that all these tests share.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / 'integration'))
sys.path.insert(0, str(Path(__file__).parents[1] / 'safety'))

from fault_report import (
    REQUIRED_S,
    Bringup,
    Fault,
    FaultRecord,
    SharedGraph,
    late_percentile,
    table,
)
from graph_under_test import GraphUnderTest
from safety_bench import Bench

from vla_humanoid_control.robot.reader import load_robot

# --- the table ----------------------------------------------------------------------------------

_RECORDS = pytest.StashKey[dict[str, FaultRecord]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--fault-table', metavar='FILE', default=None,
                     help='write a table of the faults, and what became of them, as Markdown')
    parser.addoption('--fault-repeats', metavar='N', type=_count, default=1,
                     help='how often to run what measures the time to a stop (default: 1)')


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)  # which the parser turns into words
    return number


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Where these tests are part of a greater run, the option is not known.
    repeats = metafunc.config.getoption('fault_repeats', default=1)
    if repeats > 1 and 'repetition' in metafunc.fixturenames:
        metafunc.parametrize('repetition', range(1, repeats + 1), ids=lambda n: f'run{n}')


@pytest.hookimpl(tryfirst=True)  # before any fixture
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _repetition(item) > 1:
        records = item.config.stash.get(_RECORDS, {}).values()
        if not any(r.late_s for r in records if r.case == _case(item)):
            pytest.skip('the first run measured no stop')


def _repetition(item: pytest.Item) -> int:
    return _parameters(item).get('repetition', 1)


def _case(item: pytest.Item) -> str:
    """The test with its parameters, whichever repetition of it this is."""
    parameters = {k: v for k, v in _parameters(item).items() if k != 'repetition'}
    return f'{item.path}::{getattr(item, "originalname", item.name)} {parameters}'


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, 'callspec') else {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]
                              ) -> Iterator[None]:
    report = yield
    record = item.config.stash.get(_RECORDS, {}).get(item.nodeid)
    if record is not None:
        if report.when == 'call':
            record.result = 'known gap' if hasattr(report, 'wasxfail') else \
                'pass' if report.passed else 'fail'
        elif report.failed:
            record.result = 'fail'
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption('fault_table', default=None)
    records = session.config.stash.get(_RECORDS, {})
    if path and records:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(table(records.values()), encoding='utf-8')
        late_s = late_percentile(records.values())
        if late_s is not None and late_s > REQUIRED_S:
            # Where a table is asked for, the machine is quiet enough to hold it to its promise.
            print(f'\nStops came {late_s * 1e3:.0f} ms after T at the 99th percentile; '
                  f'{REQUIRED_S * 1e3:.0f} ms are promised.')
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def repetition() -> int:
    """Which of `--fault-repeats` runs of the same test this is, from 1."""
    return 1


@pytest.fixture
def fault(request: pytest.FixtureRequest, repetition: int) -> Fault:
    """Reports to the table; number and injection come from the test's name and docstring."""
    number = re.match(r'test_fault_(\d+)_', request.node.name)
    assert number is not None, f'{request.node.name} does not name its fault'
    text = (request.node.function.__doc__ or '').partition('\n\n')[0]
    record = FaultRecord(int(number[1]), ' '.join(text.split()).rstrip('.').replace('|', '/'),
                         case=_case(request.node))
    request.config.stash.setdefault(_RECORDS, {})[request.node.nodeid] = record
    return Fault(record)


# --- the graph ----------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def bringup() -> Bringup:
    """How a module's graph is made; a module may have its own."""
    return lambda number, folder: GraphUnderTest(number, folder, controller='faulty_controller')


@pytest.fixture(scope='module')
def shared(bringup: Bringup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedGraph]:
    """See `SharedGraph`."""
    graphs = SharedGraph(bringup, tmp_path_factory)
    yield graphs
    graphs.close()


@pytest.fixture
def graph(shared: SharedGraph) -> GraphUnderTest:
    """The module's graph, at rest and in good health."""
    return shared.fresh()


# --- the bench ----------------------------------------------------------------------------------


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A supervisor with a handed-in clock; every command is checked against all limits."""
    bench = Bench(load_robot('humanoid'))
    yield bench
    bench.check_limits()


@pytest.fixture
def running(bench: Bench) -> Bench:
    """The same, walking forwards at 0.4 m/s."""
    bench.run(1.5)
    assert bench.log[-1][1].state.name == 'RUN', bench.log[-1][1]
    return bench
