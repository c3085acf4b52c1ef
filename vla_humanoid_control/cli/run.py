"""`vla run`: the node graph for a robot, without the simulator. Ctrl-C ends it."""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_humanoid_control.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--checkpoint', default='', metavar='DIR',
                        help='folder of a checkpoint, or a policy name (default: the checkpoint '
                             'that comes with the package)')
    parser.add_argument('--log', type=Path, default=Path('out/run/graph.log'),
                        help='file for the output of all nodes (default: %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C.

    Raises:
        UserError: The robot file or the checkpoint is wrong, ROS 2 is missing, or a node ended by
            itself.
    """
    from vla_humanoid_control.policy.registry import DEFAULT_POLICY, gate_config
    from vla_humanoid_control.robot import load_robot
    load_robot(arguments.robot)
    gate_config(arguments.checkpoint or DEFAULT_POLICY)
    try:
        from vla_humanoid_control.nodes.bringup import Deployment, run_graph
    except ImportError as error:
        raise UserError(f'ROS 2 is not here ({error}). Run make setup, or source a ROS 2 '
                        'installation.') from error
    run_graph(Deployment(robot=arguments.robot, policy=arguments.checkpoint, simulated=False),
              arguments.log)
    return 0
