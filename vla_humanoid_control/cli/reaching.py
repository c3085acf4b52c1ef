"""What the verbs have in common that reach for a graph which is running already."""

from __future__ import annotations

import argparse

from vla_humanoid_control.cli.prerequisites import ros_problem
from vla_humanoid_control.support.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the graph is, and how long to wait for it."""
    parser.add_argument('--namespace', default='', metavar='NAME',
                        help="the robot's namespace, such as robot1 (default: none)")
    parser.add_argument('--timeout', type=float, default=10.0, metavar='SECONDS',
                        help='how long to wait for the graph and its answer (default: '
                             '%(default)g)')


def check(arguments: argparse.Namespace) -> None:
    """Refuse arguments that make no sense.

    Raises:
        UserError: They do not, or there is no ROS.
    """
    if not 0 < arguments.timeout <= 3600:
        raise UserError(f'--timeout must lie between 0 and 3600, got {arguments.timeout:g}.')
    if problem := ros_problem():
        raise UserError(problem)


def call(arguments: argparse.Namespace, service: str) -> int:
    """Call a service of safety_monitor; print its answer.

    Returns:
        0 where it did as it was asked, 1 where it refused.

    Raises:
        UserError: Nobody answers.
    """
    check(arguments)
    from vla_humanoid_control.clients.operator import Operator
    with Operator(arguments.namespace) as operator:
        answer = operator.call(service, arguments.timeout)
    print(answer.line, flush=True)
    return 0 if answer.accepted else 1
