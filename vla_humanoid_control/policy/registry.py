"""Which policies there are: names and checkpoint folders, in one explicit place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.policy.protocol import Policy
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.resources import resource_path
from vla_humanoid_control.robot import RobotSpec


def _checkpoint(folder: Path, robot: RobotSpec) -> Policy:
    # Imported when needed: a robot that runs the scripted policy needs no torch.
    from vla_humanoid_control.policy.checkpoint import CheckpointPolicy
    return CheckpointPolicy.load(folder, robot)


NAMED: dict[str, Callable[[RobotSpec], Policy]] = {
    'scripted': ScriptedPolicy,
    'default': lambda robot: _checkpoint(resource_path('checkpoints', 'default'), robot),
}
"""Policy name to loader."""


def load_policy(name_or_path: str, robot: RobotSpec) -> Policy:
    """A policy, ready for `reset`.

    Args:
        name_or_path: A name in `NAMED`, or the folder of a checkpoint.
        robot: The robot that it is to move; its channels and joints must be those of the policy.

    Raises:
        UserError: There is no such policy, or it does not fit the robot.
    """
    if name_or_path in NAMED:
        policy = NAMED[name_or_path](robot)
    elif Path(name_or_path).is_dir():
        policy = _checkpoint(Path(name_or_path), robot)
    else:
        raise UserError(f'Policy {name_or_path!r} is neither a folder nor one of '
                        f'{", ".join(NAMED)}. Give a name or the folder of a checkpoint.')
    _check_fits(policy, name_or_path, robot)
    return policy


def _check_fits(policy: Policy, name: str, robot: RobotSpec) -> None:
    spec = policy.spec
    problems = {
        'cameras': set(spec.cameras) - set(robot.cameras),
        'joints': set(spec.joint_names) - set(robot.joint_names),
        'action channels': set(spec.channels) - set(robot.action_channels),
    }
    for what, missing in problems.items():
        if missing:
            raise UserError(f'Policy {name!r} needs {what} that robot {robot.name} lacks: '
                            f'{", ".join(sorted(missing))}. Use a policy for this robot.')
