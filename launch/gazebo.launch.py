"""The whole graph with Gazebo: a robot and a room like those of the built-in simulator."""

from launch import LaunchDescription

from vla_humanoid_control.graph.gazebo_description import describe_gazebo


def generate_launch_description() -> LaunchDescription:
    return describe_gazebo()
