"""The graph of `bringup` as a launch description. Needs a ROS installation: no wheel has it."""

from __future__ import annotations

import os
from dataclasses import replace

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetRemap
from launch_ros.parameter_descriptions import ParameterValue

from vla_humanoid_control.control.timing import Timing
from vla_humanoid_control.graph.bringup import (
    Deployment,
    NodeEntry,
    check_parameter_file,
    default_parameters,
    environment,
    graph,
    parse_remappings,
    remapped,
)
from vla_humanoid_control.graph.lifetime import PARENT_VARIABLE
from vla_humanoid_control.graph.views import View, rviz, state_publisher
from vla_humanoid_control.policy.registry import check_policy, chosen_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import read_namespace

ARGUMENTS = {
    'robot': (Deployment.robot, 'Name of a robot file in config/robots/, or its path'),
    'policy': (Deployment.policy, 'Name of a policy, folder of a checkpoint, module:name, or '
                                  'address of a policy server; empty for the default'),
    'embodiment': (Deployment.embodiment, 'Mapping file of the policy: a name in '
                                          'config/embodiments/, or its path'),
    'trust': (Deployment.trust, "Folder of the policy's trust artifact; empty for that which "
                                'belongs to it'),
}


def describe(simulated: bool, gazebo: bool = False) -> LaunchDescription:
    """All nodes with their environment; the end of any of them ends the launch with an error.

    Args:
        simulated: Whether the built-in simulator stands in for the robot.
        gazebo: Whether Gazebo does.
    """
    on_clock = simulated or gazebo
    # Typed, as launch would read a path or an empty name as YAML.
    chosen = {name: ParameterValue(LaunchConfiguration(name), value_type=str)
              for name in ARGUMENTS}
    # Known once policy and robot are.
    timing = {node: {name: ParameterValue(
        LaunchConfiguration(f'{node}.{name}', default=str(value)), value_type=float)
        for name, value in values.items()} for node, values in Timing().parameters().items()}
    deployment = Deployment(simulated=simulated, gazebo=gazebo, timing=timing,
                            parameter_file=LaunchConfiguration('params'), **chosen)
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in ARGUMENTS.items()),
        DeclareLaunchArgument('params', default_value=str(default_parameters(simulated, gazebo)),
                              description='Parameters of the nodes, a YAML file; what it does '
                                          'not say is as shipped'),
        DeclareLaunchArgument('remap', default_value='',
                              description='Other names for topics and services, separated by '
                                          'spaces, such as "/cmd_vel:=/base/cmd_vel"'),
        DeclareLaunchArgument('namespace', default_value='',
                              description='Namespace of the robot, such as robot1, for several '
                                          'robots in one ROS domain'),
        DeclareLaunchArgument('robot_state_publisher', choices=['true', 'false'],
                              default_value='true' if on_clock else 'false',
                              description="Whether to publish the robot's URDF and TF; true where "
                                          'nothing else does'),
        DeclareLaunchArgument('rviz', choices=['true', 'false'], default_value='false',
                              description='Whether to show the robot in RViz'),
        OpaqueFunction(function=_settle_namespace),
        OpaqueFunction(function=_check),
        OpaqueFunction(function=_settle_timing),
        OpaqueFunction(function=_remap, args=[on_clock]),
        *(SetEnvironmentVariable(name, value) for name, value in environment().items()),
        # Where launch is killed, it leaves its nodes behind.
        SetEnvironmentVariable(PARENT_VARIABLE, str(os.getpid())),
        *map(_node, graph(deployment)),
        *([OpaqueFunction(function=_walking, args=[deployment])] if gazebo else []),
        OpaqueFunction(function=_views, args=[on_clock]),
    ])


def _node(entry: NodeEntry) -> Node:
    return _Node(package='vla_humanoid_control', executable=entry.name, name=entry.name,
                 namespace=LaunchConfiguration('namespace'),
                 parameters=[dict(entry.shipped), entry.parameter_file, dict(entry.parameters)],
                 remappings=list(entry.remappings.items()),
                 ros_arguments=['--enclave', [LaunchConfiguration('namespace'), entry.enclave]],
                 output='both', on_exit=ended)


class _Node(Node):
    """A node whose parameters are below /** in the files that launch writes, in any namespace.

    Of several names that fit a node ROS takes the one that came last for the first time, so that
    below its full name the launch arguments would lose against a person's /**.
    """

    def is_node_name_fully_specified(self) -> bool:
        return False


def _settle_namespace(context: LaunchContext) -> None:
    """In its full form, within the one that a launch file around this one has pushed."""
    chosen = context.launch_configurations
    given = chosen['namespace']
    around = '' if given.startswith('/') else chosen.get('ros_namespace', '')
    chosen['namespace'] = read_namespace(f'{around}/{given}')


def _check(context: LaunchContext) -> None:
    """A file that names a node wrongly would be read, and change nothing."""
    check_parameter_file(context.launch_configurations['params'],
                         context.launch_configurations['namespace'])


def _settle_timing(context: LaunchContext) -> None:
    """Time limits that follow from the policy's pace; what does not fit is refused here."""
    chosen = context.launch_configurations
    robot = load_robot(chosen['robot'])
    timing = check_policy(chosen_policy(chosen['policy'], robot), robot, chosen['embodiment'])
    for node, values in timing.parameters().items():
        chosen.update({f'{node}.{name}': str(value) for name, value in values.items()})


def _walking(context: LaunchContext, deployment: Deployment) -> list[Node]:
    """The walking controller, which a robot on legs needs where its simulator has none."""
    if not load_robot(context.launch_configurations['robot']).walks:
        return []
    return [_node(entry) for entry in graph(replace(deployment, walks=True))
            if entry.name == 'walking_controller']


def _remap(context: LaunchContext, on_clock: bool) -> list[SetRemap]:
    """For all nodes that come after it."""
    rules = parse_remappings(context.launch_configurations['remap'].split())
    space = context.launch_configurations['namespace']
    return [SetRemap(src=source, dst=target)
            for source, target in remapped(rules, space, on_clock).items()]


def _views(context: LaunchContext, on_clock: bool) -> list[Node | LogInfo]:
    """Programs that show the robot, as far as a person wants them and they are installed."""
    chosen = context.launch_configurations
    robot, namespace = load_robot(chosen['robot']), chosen['namespace']
    shown: list[Node | LogInfo] = []
    if chosen['robot_state_publisher'] == 'true':
        if robot.mjcf is None:
            shown.append(LogInfo(msg=f'Robot {robot.name} has no model (mjcf): no URDF, no TF.'))
        elif not _is_installed('robot_state_publisher'):
            shown.append(LogInfo(msg='robot_state_publisher is not installed: no URDF, no TF. '
                                     'rosdep install brings it.'))
        else:
            shown.append(_shown(state_publisher(robot, namespace, on_clock)))
    if chosen['rviz'] == 'true':
        if not _is_installed('rviz2'):
            raise UserError('rviz:=true needs the package rviz2, which is not installed. rosdep '
                            'install brings it.')
        shown.append(_shown(rviz(robot, namespace, on_clock)))
    return shown


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def _shown(view: View) -> Node:
    """Its end is no fault of the robot's, and leaves the graph running."""
    return Node(package=view.package, executable=view.executable, name=view.package,
                namespace=LaunchConfiguration('namespace'),
                parameters=[{name: ParameterValue(value, value_type=type(value))
                             for name, value in view.parameters.items()}],
                remappings=list(view.remappings.items()), arguments=list(view.arguments),
                output='log')


def ended(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch with an error, as one of its processes has ended by itself."""
    # `Shutdown` would end the launch as well, but as if all had been well.
    if not context.is_shutdown:
        raise RuntimeError(f'{event.process_name} has ended with status {event.returncode}')
