"""What all tests share: ROS domains, the environment of the graph's nodes, small training data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vla_humanoid_control.graph.bringup import environment
from vla_humanoid_control.graph.domain import claimed_domain

HERE = Path(__file__).resolve().parent
# benchmarks/ and fuzz/ are no part of the installation; training_data is this folder's.
sys.path[:0] = [str(HERE.parent), str(HERE)]
pytest_plugins = ['training_data']

# Before anything of ROS is loaded: tests speak as the nodes do, and to this machine alone.
os.environ.update(environment())


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A ROS domain that nobody else on this machine uses at the same time."""
    with claimed_domain() as number:
        yield number


@pytest.fixture
def context(domain_id: int) -> Iterator[Any]:
    """A context of ROS that no other process shares."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    yield context
    rclpy.shutdown(context=context)
