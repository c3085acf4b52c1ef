"""`vla policies`: which policies there are; with `check`, whether one does what the graph needs.

A policy is checked without a robot: it is fitted to each robot file, shown images of nothing in
particular, and what it gives is looked at as the graph does. 0 if it fits a robot and fulfils the
contract.
"""

from __future__ import annotations

import argparse
from typing import Any

from vla_humanoid_control.cli.shared import add_embodiment
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('what', nargs='*', metavar='check WHAT',
                        help='check a policy: its name, the folder of a checkpoint, or '
                             'module:name')
    add_embodiment(parser)
    parser.add_argument('--robot', action='append', default=[], metavar='ROBOT',
                        help='name or path of a robot file; may be repeated (default: all that '
                             'come with the package)')


def run(arguments: argparse.Namespace) -> int:
    """List the policies, or check one.

    Raises:
        UserError: There is no such policy or robot.
    """
    from vla_humanoid_control.policy.registry import policy_names
    if not arguments.what:
        for name, whence in policy_names().items():
            print(f'{name:16} {whence}')
        print('Besides: the folder of a checkpoint, or module:name of a class or function.')
        return 0
    if len(arguments.what) != 2 or arguments.what[0] != 'check':
        raise UserError('Give nothing, or: vla policies check WHAT')
    from vla_humanoid_control.robot.reader import load_robot
    names = arguments.robot or sorted(p.stem for p in config_path('robots').glob('*.yaml'))
    # All of them, as each says what it finds.
    fits = [_check(arguments.what[1], load_robot(name), arguments.embodiment) for name in names]
    return 0 if any(fits) else 1


def _check(what: str, robot: Any, embodiment: str) -> bool:
    from vla_humanoid_control.policy.contract import check_contract
    from vla_humanoid_control.policy.registry import load_policy
    try:
        policy = load_policy(what, robot, embodiment=embodiment)
    except UserError as error:
        print(f'{robot.name}: does not fit: {error}')
        return False
    verdict = check_contract(policy, robot)
    for problem in verdict.problems:
        print(f'{robot.name}: {problem}')
    spec = policy.spec
    if not verdict.problems:
        print(f'{robot.name}: fits. Cameras {", ".join(spec.cameras) or "none"}; '
              f'{len(spec.channels)} channels, {spec.horizon} rows every {spec.dt_s:g} s; '
              f'slowest answer {1000 * verdict.slowest_s:.0f} ms')
    return not verdict.problems
