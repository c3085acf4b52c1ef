"""A ROS domain for each test, and the environment in which the graph's nodes run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from vla_humanoid_control.graph.bringup import environment
from vla_humanoid_control.graph.domain import claimed_domain

# Before anything of ROS is loaded: tests speak as the nodes do, and to this machine alone.
os.environ.update(environment())


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A ROS domain that nobody else on this machine uses at the same time."""
    with claimed_domain() as number:
        yield number
