"""A graph of real processes over real DDS, and a probe that plays robot and person."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: pip install .[ros], or source an installation')

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that these tests share

from graph_under_test import GraphUnderTest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


@pytest.fixture
def graph(domain_id: int, tmp_path: Path) -> Iterator[GraphUnderTest]:
    """The three nodes with the scripted policy, and a simple robot played by the test."""
    with GraphUnderTest(domain_id, tmp_path) as running:
        yield running
