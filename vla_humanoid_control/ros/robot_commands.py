"""What a robot's side takes from `/cmd_vel` and `/joint_commands`, and why it refuses the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray

from vla_humanoid_control.ros.joint_commands import JointCommand, JointCommandForm
from vla_humanoid_control.ros.messages import MessageError, twist_from_msg


def base_command(msg: Twist | TwistStamped) -> NDArray[np.float64]:
    """The base twist of a message, as `twist_from_msg`. Raises MessageError where not finite."""
    twist = twist_from_msg(msg.twist if isinstance(msg, TwistStamped) else msg)
    if not np.all(np.isfinite(twist)):
        raise MessageError('base command is not finite')
    return twist


def joint_command(msg: JointCommand, form: JointCommandForm, controlled: Sequence[str]
                  ) -> Mapping[str, float]:
    """Targets by joint name [rad; m for grippers].

    Args:
        msg: In the form `form`.
        form: Of the commands.
        controlled: Names of the joints that may be commanded.

    Raises:
        MessageError: It has no targets, or one of another joint or that is not finite.
    """
    try:
        targets = form.targets(msg, controlled)
    except MessageError as error:
        raise MessageError(f'joint command: {error}') from error
    if unknown := [name for name in targets if name not in controlled]:
        raise MessageError(f'joint command: unknown joint {unknown[0]}')
    if not np.all(np.isfinite(list(targets.values()))):
        raise MessageError('joint command is not finite')
    return targets
