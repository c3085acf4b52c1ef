"""`vla say "walk forward"`: a command to a running graph, which confirms that it took it up."""

from __future__ import annotations

import argparse

from vla_humanoid_control.cli import reaching
from vla_humanoid_control.support.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('words', nargs='+', help='the command, in plain English')
    parser.add_argument('--wait', action='store_true', help='follow the task to its end')
    reaching.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say it, and print what becomes of it.

    Returns:
        0 where it was taken up (with `--wait`: done), 1 where it was refused or failed.

    Raises:
        UserError: The words make no command, or no controller is there to hear them.
    """
    from vla_humanoid_control.language.intake import Rejection, check_command
    parsed = check_command(' '.join(arguments.words))
    if isinstance(parsed, Rejection):
        raise UserError(f'{parsed.reason}; say it in plain English, such as "walk forward".')
    reaching.check(arguments)
    from vla_humanoid_control.clients.operator import Operator
    with Operator(arguments.namespace) as operator:
        answer = operator.say(parsed, arguments.timeout, _show if arguments.wait else None)
    _show(answer.line)
    return 0 if answer.accepted else 1


def _show(line: str) -> None:
    print(line, flush=True)
