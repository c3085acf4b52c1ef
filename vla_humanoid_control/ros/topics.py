"""What the graph tells of a topic, beyond its messages."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

OUTSIDE_TOPIC = 'humanoid_sim/outside/image_raw'
"""The simulator's view from outside, for people."""


def type_name(kind: Any) -> str:
    """Name of a message type as the graph has it, such as 'geometry_msgs/msg/Twist'."""
    package = kind.__module__.split('.')[0]
    return f'{package}/msg/{kind.__name__}'


def type_problem(node: Node, topic: str, kind: Any, remedy: str) -> str:
    """That a topic is published as another type than `kind` as well; '' where it is not.

    A topic may have several types, and who asks for one hears nothing of the others.
    """
    others = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    others -= {type_name(kind)}
    name = node.resolve_topic_name(topic)
    return '' if not others else (f'{name} is published as {", ".join(sorted(others))} and read '
                                  f'as {type_name(kind)}: {remedy}')
