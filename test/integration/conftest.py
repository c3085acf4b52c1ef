"""A graph of real processes over real DDS, and a probe that plays robot and person."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: pip install .[ros], or source an installation')

from vla_humanoid_control.nodes.bringup import environment

# Before anything of ROS is loaded: this process must speak as the nodes do.
os.environ.update(environment())
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that these tests share

from graph_under_test import GraphUnderTest, claimed_domain


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A ROS domain that no other test on this machine uses at the same time."""
    with claimed_domain() as number:
        yield number


@pytest.fixture
def graph(domain_id: int, tmp_path: Path) -> Iterator[GraphUnderTest]:
    """The three nodes with the scripted policy, and a simple robot played by the test."""
    with GraphUnderTest(domain_id, tmp_path) as running:
        yield running
