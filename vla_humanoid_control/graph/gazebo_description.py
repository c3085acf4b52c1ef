"""The graph of `bringup` with Gazebo as the robot: needs `ros_gz_sim` and `ros_gz_bridge`."""

from __future__ import annotations

from launch import LaunchDescription  # type: ignore[attr-defined]
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from vla_humanoid_control.graph.launch_description import describe, ended
from vla_humanoid_control.support.resources import config_path

ARGUMENTS = {
    'world': ('world.sdf', 'World of Gazebo with the robot in it; vla robot gazebo writes others'),
    'bridge': ('bridge.yaml', 'Topics between Gazebo and the graph, for ros_gz_bridge'),
}


def describe_gazebo() -> LaunchDescription:
    """Gazebo with a world, the bridge, and the nodes; the end of one of them ends the launch."""
    gazebo = PathJoinSubstitution([FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py'])
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=str(config_path('gazebo', file)),
                                description=text) for name, (file, text) in ARGUMENTS.items()),
        DeclareLaunchArgument('gz_args', default_value='-r',
                              description='Arguments of Gazebo beside the world: -r begins at '
                                          'once, -s goes without a window'),
        *describe(simulated=False, gazebo=True).entities,
        Node(package='ros_gz_bridge', executable='parameter_bridge', name='gazebo_bridge',
             namespace=LaunchConfiguration('namespace'),
             parameters=[{'config_file': ParameterValue(LaunchConfiguration('bridge'),
                                                        value_type=str)}],
             output='both', on_exit=ended),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(gazebo),
            launch_arguments={'gz_args': [LaunchConfiguration('gz_args'), ' "',
                                          LaunchConfiguration('world'), '"'],
                              'on_exit_shutdown': 'true'}.items()),
    ])
