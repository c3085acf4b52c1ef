"""The graph on a robot, without the simulator."""

from launch import LaunchDescription

from vla_humanoid_control.graph.launch_description import describe


def generate_launch_description() -> LaunchDescription:
    return describe(simulated=False)
