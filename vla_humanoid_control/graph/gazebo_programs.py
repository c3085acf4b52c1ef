"""Gazebo and its bridge as programs beside the nodes, for who needs them without `ros2 launch`."""

from __future__ import annotations

import shutil
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from vla_humanoid_control.graph.processes import Program
from vla_humanoid_control.support.errors import UserError

_INSTALL = 'Install both with: sudo apt-get install ros-jazzy-ros-gz, on Humble ros-humble-ros-gz.'
_NAMES = (('gz', 'sim'), ('ign', 'gazebo'))
"""How Gazebo is started: Harmonic and later, and Fortress."""


def find_gazebo() -> tuple[tuple[str, str], Path]:
    """The command that starts Gazebo, and the program of its bridge.

    Raises:
        UserError: One of them is not installed.
    """
    command = next(((found, verb) for name, verb in _NAMES if (found := shutil.which(name))), None)
    if command is None:
        raise UserError(f'Gazebo is not installed: there is no program gz or ign. {_INSTALL}')
    try:
        prefix = get_package_prefix('ros_gz_bridge')
    except PackageNotFoundError as error:
        raise UserError('ros_gz_bridge is not installed, which connects Gazebo and the graph. '
                        f'{_INSTALL}') from error
    return command, Path(prefix, 'lib', 'ros_gz_bridge', 'parameter_bridge')


def gazebo_programs(world: Path, bridge: Path) -> tuple[Program, ...]:
    """The bridge and Gazebo's server without a window, in the order in which they are stopped.

    Args:
        world: The world, SDF.
        bridge: What the bridge carries, YAML.

    Raises:
        UserError: One of them is not installed.
    """
    command, carrier = find_gazebo()
    return (
        Program('gazebo_bridge', (str(carrier), '--ros-args', '-r', '__node:=gazebo_bridge', '-p',
                                  f'config_file:={bridge.absolute()}')),
        Program('gazebo', (*command, '-s', '-r', '--headless-rendering', str(world.absolute()))),
    )
