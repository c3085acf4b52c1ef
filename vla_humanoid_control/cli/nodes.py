"""The nodes as commands of their own, as `ros2 run` and launch files start them."""

from __future__ import annotations

import importlib
import sys

from vla_humanoid_control.cli.prerequisites import ros_problem
from vla_humanoid_control.support.errors import EXIT_USER_ERROR
from vla_humanoid_control.support.outputs import complain


def vla_controller() -> None:
    """See `nodes/vla_controller.py`."""
    _start('vla_controller')


def confidence_monitor() -> None:
    """See `nodes/confidence_monitor.py`."""
    _start('confidence_monitor')


def safety_monitor() -> None:
    """See `nodes/safety_monitor.py`."""
    _start('safety_monitor')


def humanoid_sim() -> None:
    """See `nodes/humanoid_sim.py`."""
    _start('humanoid_sim')


def unitree_bridge() -> None:
    """See `nodes/unitree_bridge.py`."""
    _start('unitree_bridge')


def walking_controller() -> None:
    """See `nodes/walking_controller.py`."""
    _start('walking_controller')


def _start(name: str) -> None:
    try:
        node = importlib.import_module(f'vla_humanoid_control.nodes.{name}')
    except ImportError:
        # Whether ROS is to blame takes a second to find out: asked only now.
        if (problem := ros_problem()) is None:
            raise
        complain(f'{name}: {problem}')
        sys.exit(EXIT_USER_ERROR)
    node.main()
