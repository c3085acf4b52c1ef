"""Who listens to the commands, and whether it can hear them. Pure: endpoints are arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_REMEDIES = {'geometry_msgs/msg/TwistStamped': 'set stamped_twist to true',
             'geometry_msgs/msg/Twist': 'set stamped_twist to false',
             'sensor_msgs/msg/JointState': 'set joint_command_type to joint_state',
             'std_msgs/msg/Float64MultiArray': 'set joint_command_type to array',
             'trajectory_msgs/msg/JointTrajectory': 'set joint_command_type to trajectory'}
"""What makes `safety_monitor` publish a type, in its parameters."""


@dataclass(frozen=True)
class Subscriber:
    """A subscription of another node.

    Attributes:
        node: Its name, with its namespace.
        type: What it wants to hear, such as 'geometry_msgs/msg/Twist'.
    """

    node: str
    type: str


def deaf(topic: str, published: str, listeners: Iterable[Subscriber]) -> list[str]:
    """What to say of every node that listens to a topic, but to another type than is published.

    Whoever listens to that type, too, hears.
    """
    listeners = sorted(set(listeners), key=lambda listener: (listener.node, listener.type))
    hears = {listener.node for listener in listeners if listener.type == published}
    return [f'{topic}: {o.node} wants {_short(o.type)} and gets {_short(published)}: '
            + _REMEDIES.get(o.type, 'no parameter makes this node publish that')
            for o in listeners if o.node not in hears]


def nobody_hears(topic: str, published: str, listeners: Sequence[Subscriber]) -> str:
    """Why a command would reach nobody; '' if someone hears it."""
    if any(listener.type == published for listener in listeners):
        return ''
    return '; '.join(deaf(topic, published, listeners)) or f'{topic}: nobody listens'


def _short(kind: str) -> str:
    return kind.rpartition('/')[2]
