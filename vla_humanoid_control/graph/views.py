"""What shows the robot to people in a ROS installation: its URDF, TF, and RViz. For launch files.

`robot_state_publisher` and RViz are no nodes of the graph: it runs without them, and none of them
is on PyPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.robot.urdf import urdf
from vla_humanoid_control.support.resources import config_path

RVIZ_TOPICS = {'joint_states': 'joint_states', 'scan': 'scan', 'odom': 'odom'}
"""Sensor of the robot file to its topic in config/rviz/vla.rviz."""
RVIZ_IMAGE = 'camera/rgb/image_raw'
"""Topic of the picture there: the first camera of the robot file."""


@dataclass(frozen=True)
class View:
    """One program of another package.

    Attributes:
        package: Name of the package, and of the node.
        executable: Name of the program.
        parameters: Its parameters.
        remappings: Topic name in the program to topic name of this robot.
        arguments: Other arguments of its command line.
    """

    package: str
    executable: str
    parameters: Mapping[str, Any]
    remappings: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def state_publisher(robot: RobotSpec, namespace: str, on_clock: bool) -> View:
    """`robot_state_publisher`: gives `robot_description`, and TF of what the joints do.

    In a namespace its TF is there, too: the frames of two robots have the same names.

    Args:
        robot: The robot.
        namespace: As `read_namespace` gives it.
        on_clock: Whether time is that of `/clock`.

    Raises:
        UserError: The robot has no model.
    """
    topic = robot.sensors['joint_states'].topic
    return View('robot_state_publisher', 'robot_state_publisher',
                {'robot_description': urdf(robot), 'use_sim_time': on_clock},
                {**_elsewhere({'joint_states': topic}), **_own_frames(namespace, on_clock)})


def rviz(robot: RobotSpec, namespace: str, on_clock: bool) -> View:
    """RViz with the package's own view of the robot; arguments as of `state_publisher`."""
    topics = {shown: robot.sensors[name].topic for name, shown in RVIZ_TOPICS.items()
              if name in robot.sensors}
    for camera in list(robot.cameras.values())[:1]:
        topics[RVIZ_IMAGE] = camera.topic
    return View('rviz2', 'rviz2', {'use_sim_time': on_clock},
                {**_elsewhere(topics), **_own_frames(namespace, on_clock)},
                ('-d', str(config_path('rviz', 'vla.rviz')), '-f', robot.base_frame))


def _elsewhere(topics: Mapping[str, str]) -> dict[str, str]:
    return {name: topic for name, topic in topics.items() if name != topic}


def _own_frames(namespace: str, on_clock: bool) -> dict[str, str]:
    if not namespace:
        return {}
    return {'/tf': 'tf', '/tf_static': 'tf_static', **({'/clock': 'clock'} if on_clock else {})}
