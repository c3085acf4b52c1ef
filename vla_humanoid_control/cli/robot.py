"""`vla robot`: the model of a robot file, in a form that other programs read.

`vla robot urdf` writes links, joints with the limits of the robot file, inertias, geometry and the
frames of cameras, sensors and hands: for robot_state_publisher, RViz, MoveIt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_humanoid_control.support.outputs import check_file, make_folder, write_atomically

FORMS = ('urdf',)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('form', choices=FORMS, help='what to write')
    parser.add_argument('--robot', default='humanoid', metavar='FILE',
                        help='name of a robot file in config/robots/, or its path')
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='where to (default: on the terminal)')


def run(arguments: argparse.Namespace) -> int:
    """Write it.

    Raises:
        UserError: There is no such robot, it has no model, or the file cannot be written.
    """
    from vla_humanoid_control.robot.reader import load_robot
    from vla_humanoid_control.robot.urdf import urdf
    if arguments.out is not None:
        check_file(arguments.out, '--out')
    text = urdf(load_robot(arguments.robot))
    if arguments.out is None:
        print(text, end='')
        return 0
    make_folder(arguments.out.parent, '--out')
    write_atomically(arguments.out, text.encode())
    return 0
