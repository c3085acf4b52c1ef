"""`vla run`: the node graph for a robot, without the simulator. Ctrl-C ends it."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.outputs import check_file
from vla_humanoid_control.resources import read_yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--checkpoint', default='', metavar='DIR',
                        help='folder of a checkpoint, or a policy name (default: the checkpoint '
                             'that comes with the package)')
    parser.add_argument('--params', type=Path, metavar='FILE',
                        help='parameters of the nodes in YAML (default: config/params/robot.yaml)')
    parser.add_argument('--remap', action='append', default=[], metavar='FROM:=TO',
                        help='another name for a topic or service, such as '
                             '/cmd_vel:=/base/cmd_vel; may be repeated. Cameras and sensors have '
                             'theirs in the robot file')
    parser.add_argument('--log', type=Path, default=Path('out/run/graph.log'),
                        help='file for the output of all nodes (default: %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C.

    Raises:
        UserError: The robot file, the checkpoint, the parameter file or a remapping is wrong,
            ROS 2 is missing, or a node ended by itself.
    """
    from vla_humanoid_control.policy.registry import DEFAULT_POLICY, check_policy, gate_config
    from vla_humanoid_control.robot import load_robot
    check_file(arguments.log, '--log')
    policy, robot = arguments.checkpoint or DEFAULT_POLICY, load_robot(arguments.robot)
    check_policy(policy, robot)
    gate_config(policy)
    if arguments.params is not None:
        _check_parameters(arguments.params)
    try:
        from vla_humanoid_control.nodes.bringup import Deployment, parse_remappings, run_graph
    except ImportError as error:
        raise UserError(f'ROS 2 is not here ({error}). Run make setup, or source a ROS 2 '
                        'installation.') from error
    run_graph(Deployment(robot=arguments.robot, policy=arguments.checkpoint, simulated=False,
                         parameter_file=arguments.params or '',
                         remappings=parse_remappings(arguments.remap)), arguments.log)
    return 0


def _check_parameters(path: Path) -> None:
    from vla_humanoid_control.nodes.bringup import Deployment, graph
    document = read_yaml(path, 'Parameter file',
                         'Give the path of a YAML file like config/params/robot.yaml.')
    if not isinstance(document, dict) or not all(
            isinstance(entry, dict) and isinstance(entry.get('ros__parameters'), dict)
            for entry in document.values()):
        raise UserError(f'Parameter file {path} must name nodes, each with ros__parameters below '
                        'it, as in config/params/robot.yaml.')
    names = [entry.name for entry in graph(Deployment())]
    for name in document:
        # Before the last slash is a namespace, and may be a pattern, too.
        if (last := str(name).rpartition('/')[2]) not in (*names, '*', '**'):
            nearest = difflib.get_close_matches(last, names, 1)
            hint = f'Did you mean {nearest[0]}? ' if nearest else ''
            raise UserError(f'Parameter file {path}: there is no node {name}. {hint}'
                            f'There are {", ".join(names)}, and /** for all of them.')
