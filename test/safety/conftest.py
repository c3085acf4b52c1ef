"""A supervisor on a bench, checked at the end of each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec

sys.path.insert(0, str(Path(__file__).parent))  # for the module that these tests share

from safety_bench import Bench


@pytest.fixture(scope='session')
def robot() -> RobotSpec:
    return load_robot('humanoid')


@pytest.fixture
def bench(robot: RobotSpec) -> Iterator[Bench]:
    """A bench whose every command is checked against the limits at the end of the test."""
    bench = Bench(robot)
    yield bench
    bench.check_limits()


@pytest.fixture
def running(bench: Bench) -> Bench:
    """The same, walking forwards at 0.4 m/s."""
    bench.run(1.5)
    assert bench.log[-1][1].state.name == 'RUN', bench.log[-1][1]
    assert bench.log[-1][1].twist[0] == pytest.approx(0.4)
    return bench


@pytest.fixture
def make_bench(robot: RobotSpec) -> type[Bench]:
    return Bench
