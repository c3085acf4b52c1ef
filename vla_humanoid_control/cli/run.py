"""`vla run`: the node graph for a robot, without the simulator. Ctrl-C ends it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_humanoid_control.cli.prerequisites import ros_problem
from vla_humanoid_control.cli.shared import add_policy
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import folder_of, read_namespace
from vla_humanoid_control.support.outputs import check_file, check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    add_policy(parser)
    parser.add_argument('--params', type=Path, metavar='FILE',
                        help='parameters of the nodes in YAML, which go before those of '
                             'config/params/robot.yaml')
    parser.add_argument('--remap', action='append', default=[], metavar='FROM:=TO',
                        help='another name for a topic or service, such as '
                             '/cmd_vel:=/base/cmd_vel; may be repeated. Cameras and sensors have '
                             'theirs in the robot file')
    parser.add_argument('--namespace', default='', metavar='NAME',
                        help="the robot's namespace, such as robot1, where several are in one ROS "
                             'domain (default: none)')
    parser.add_argument('--record', type=Path, metavar='DIR',
                        help='write what the policy sees and answers there; vla record asks how '
                             'it ended')
    parser.add_argument('--log', type=Path, default=None,
                        help='file for the output of all nodes (default: out/run/graph.log, in a '
                             'namespace out/run/NAME/graph.log)')


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C.

    Raises:
        UserError: The robot file, the policy, the parameter file or a remapping is wrong,
            the namespace is none, ROS 2 is missing, or a node ended by itself.
    """
    from vla_humanoid_control.graph.bringup import (
        Deployment,
        check_parameter_file,
        parse_remappings,
    )
    from vla_humanoid_control.graph.processes import run_graph
    from vla_humanoid_control.policy.registry import check_policy, chosen_policy, monitoring
    from vla_humanoid_control.robot.reader import load_robot
    namespace = read_namespace(arguments.namespace)
    log = arguments.log or folder_of(namespace, Path('out', 'run')) / 'graph.log'
    check_file(log, '--log')
    robot = load_robot(arguments.robot)
    policy = chosen_policy(arguments.policy, robot)
    timing = check_policy(policy, robot, arguments.embodiment)
    monitoring(policy, arguments.trust)
    if arguments.params is not None:
        check_parameter_file(arguments.params, namespace)
    if problem := ros_problem():
        raise UserError(problem)
    # Unasked it is left to the parameter file.
    chosen: dict[str, dict[str, Any]] = {'confidence_monitor': {'allow_uncalibrated': True}} \
        if arguments.allow_uncalibrated else {}
    if arguments.record is not None:
        check_folder(arguments.record, '--record')
        chosen['vla_controller'] = {'record': str(arguments.record)}
    run_graph(Deployment(robot=arguments.robot, policy=arguments.policy,
                         embodiment=arguments.embodiment, trust=arguments.trust,
                         timing=timing.parameters(),
                         simulated=False, parameter_file=arguments.params or '',
                         parameters=chosen, namespace=namespace,
                         remappings=parse_remappings(arguments.remap)), log)
    print('vla run: stopped', flush=True)
    return 0
