"""A graph of real processes over real DDS, and a probe that plays robot and person."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: pip install .[ros], or source an installation')

from vla_humanoid_control.nodes.bringup import environment

# Before anything of ROS is loaded: this process must speak as the nodes do.
os.environ.update(environment())
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that these tests share

from graph_under_test import GraphUnderTest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A ROS domain that no other test on this machine uses at the same time."""
    lock, number = _claim_domain()
    yield number
    lock.close()


@pytest.fixture
def graph(domain_id: int, tmp_path: Path) -> Iterator[GraphUnderTest]:
    """The three nodes with the scripted policy, and a simple robot played by the test."""
    with GraphUnderTest(domain_id, tmp_path) as running:
        yield running


def _claim_domain() -> tuple[IO[str], int]:
    for offset in range(100):
        number = 1 + (os.getpid() + offset) % 100  # up to 101 keeps clear of ephemeral ports
        lock = (Path(tempfile.gettempdir()) / f'vla_test_domain_{number}.lock').open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock, number
    raise RuntimeError('all ROS domains are in use by other tests')
