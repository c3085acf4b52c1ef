"""The whole graph with the built-in simulator."""

from launch import LaunchDescription

from vla_humanoid_control.graph.launch_description import describe


def generate_launch_description() -> LaunchDescription:
    return describe(simulated=True)
