"""Whether a policy fits a robot: its cameras, joints and action channels."""

from __future__ import annotations

from pathlib import Path

from vla_humanoid_control.interfaces import Policy, PolicySpec
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError


def check_robot(spec: PolicySpec, robot: RobotSpec, folder: Path) -> None:
    """Refuse a checkpoint that was made for another robot.

    Raises:
        UserError: Joints or action channels are others, or a camera is missing; says which.
    """
    for what, wanted, there in (('joints', spec.joint_names, robot.joint_names),
                                ('action channels', spec.channels, robot.action_channels)):
        if wanted != there:
            differ = [n for n in wanted if n not in there] + [n for n in there if n not in wanted]
            raise UserError(f'Checkpoint {folder} was trained for other {what} than robot '
                            f'{robot.name} has: {", ".join(differ[:6]) or "another order"}. '
                            'Use a checkpoint for this robot.')
    missing = [c for c in spec.cameras if c not in robot.cameras]
    if missing:
        raise UserError(f'Checkpoint {folder} looks through cameras that robot {robot.name} '
                        f'lacks: {", ".join(missing)}. Robot file {robot.file} has '
                        f'{", ".join(robot.cameras)}: give the camera that is meant the name that '
                        'the checkpoint has for it.')


def check_fits(policy: Policy, name: str, robot: RobotSpec) -> None:
    """Refuse a policy that needs what the robot lacks. Raises UserError; says what."""
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
