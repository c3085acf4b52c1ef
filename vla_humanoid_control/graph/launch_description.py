"""The graph of `bringup` as a launch description. Needs a ROS installation: no wheel has it."""

from __future__ import annotations

import os

from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetRemap
from launch_ros.parameter_descriptions import ParameterValue

from vla_humanoid_control.graph.bringup import (
    Deployment,
    check_parameter_file,
    default_parameters,
    environment,
    graph,
    parse_remappings,
)
from vla_humanoid_control.graph.lifetime import PARENT_VARIABLE

ARGUMENTS = {
    'robot': (Deployment.robot, 'Name of a robot file in config/robots/, or its path'),
    'policy': (Deployment.policy, 'Name of a policy or folder of a checkpoint; empty for the '
                                  'default'),
}


def describe(simulated: bool) -> LaunchDescription:
    """All nodes with their environment; the end of any of them ends the launch with an error."""
    # Typed, as launch would read a path or an empty name as YAML.
    chosen = {name: ParameterValue(LaunchConfiguration(name), value_type=str)
              for name in ARGUMENTS}
    entries = graph(Deployment(simulated=simulated, parameter_file=LaunchConfiguration('params'),
                               **chosen))
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in ARGUMENTS.items()),
        DeclareLaunchArgument('params', default_value=str(default_parameters(simulated)),
                              description='Parameters of the nodes, a YAML file; what it does '
                                          'not say is as shipped'),
        DeclareLaunchArgument('remap', default_value='',
                              description='Other names for topics and services, separated by '
                                          'spaces, such as "/cmd_vel:=/base/cmd_vel"'),
        OpaqueFunction(function=_check),
        OpaqueFunction(function=_remap),
        *(SetEnvironmentVariable(name, value) for name, value in environment().items()),
        # Where launch is killed, it leaves its nodes behind.
        SetEnvironmentVariable(PARENT_VARIABLE, str(os.getpid())),
        *(Node(package='vla_humanoid_control', executable=entry.name, name=entry.name,
               parameters=[dict(entry.shipped), entry.parameter_file, dict(entry.parameters)],
               remappings=list(entry.remappings.items()),
               ros_arguments=['--enclave', entry.enclave], output='both', on_exit=_ended)
          for entry in entries),
    ])


def _check(context: LaunchContext) -> None:
    """A file that names a node wrongly would be read, and change nothing."""
    check_parameter_file(context.launch_configurations['params'])


def _remap(context: LaunchContext) -> list[SetRemap]:
    """For all nodes that come after it."""
    rules = context.launch_configurations['remap'].split()
    return [SetRemap(src=source, dst=target) for source, target in parse_remappings(rules).items()]


def _ended(event: ProcessExited, context: LaunchContext) -> None:
    # `Shutdown` would end the launch as well, but as if all had been well.
    if not context.is_shutdown:
        raise RuntimeError(f'{event.process_name} has ended with status {event.returncode}')
