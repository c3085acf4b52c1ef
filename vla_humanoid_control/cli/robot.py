"""`vla robot`: the model of a robot file, in a form that other programs read.

`vla robot urdf` writes links, joints with the limits of the robot file, inertias, geometry and the
frames of cameras, sensors and hands: for robot_state_publisher, RViz, MoveIt. `vla robot gazebo`
writes a folder for gazebo.launch.py: world.sdf with the robot in a scene of the simulator,
bridge.yaml, and meshes.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import (
    check_file,
    check_folder,
    make_folder,
    write_atomically,
)

FORMS = ('urdf', 'gazebo')
DEMO_SEED, DEMO_TASK = 5, 'go_to:red:box'
"""The scene that config/gazebo/ and the simulator are shipped with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('form', choices=FORMS, help='what to write')
    parser.add_argument('--robot', default='humanoid', metavar='FILE',
                        help='name of a robot file in config/robots/, or its path')
    parser.add_argument('--out', type=Path, metavar='PATH',
                        help='where to: a file (default: on the terminal); for gazebo a folder')
    parser.add_argument('--seed', type=int, default=DEMO_SEED,
                        help='gazebo: decides everything about the scene')
    parser.add_argument('--task', default=DEMO_TASK, metavar='KEY',
                        help='gazebo: what can be done in the scene, such as go_to:red:box; empty '
                             'for any scene')


def run(arguments: argparse.Namespace) -> int:
    """Write it.

    Raises:
        UserError: There is no such robot or task, the robot has no model, or the file cannot be
            written.
    """
    from vla_humanoid_control.robot.reader import load_robot
    robot = load_robot(arguments.robot)
    if arguments.form == 'gazebo':
        if arguments.out is None:
            raise UserError('Give the folder to write to: vla robot gazebo --out DIR')
        _write_gazebo(robot, arguments.seed, arguments.task, arguments.out)
    else:
        _write_urdf(robot, arguments.out)
    return 0


def _write_urdf(robot: RobotSpec, out: Path | None) -> None:
    from vla_humanoid_control.robot.urdf import urdf
    if out is None:
        print(urdf(robot), end='')
        return
    check_file(out, '--out')
    text = urdf(robot)
    make_folder(out.parent, '--out')
    write_atomically(out, text.encode())


def _write_gazebo(robot: RobotSpec, seed: int, task: str, folder: Path) -> None:
    from vla_humanoid_control.simulation.gazebo import gazebo_world
    from vla_humanoid_control.simulation.world import World
    from vla_humanoid_control.tasks.task import Task
    check_folder(folder, '--out')
    with closing(World(robot)) as world:
        world.reset(seed, Task.from_key(task) if task else None)
        gazebo_world(world).save(folder)
