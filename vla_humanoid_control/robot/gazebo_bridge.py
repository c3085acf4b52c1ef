"""Which topics `ros_gz_bridge` carries between Gazebo and the graph: every one of a robot file.

Beside these, where the objects of the scene are, by which `vla eval --gazebo` judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vla_humanoid_control.robot.sdf import gazebo_topic
from vla_humanoid_control.robot.spec import LET_GO, WALKING_IMU, WALKING_JOINTS, RobotSpec
from vla_humanoid_control.support.names import beside

FROM_GAZEBO, TO_GAZEBO = 'GZ_TO_ROS', 'ROS_TO_GZ'
OBJECT_POSES = 'gazebo/objects'
"""Where each object of the scene is, one after the other; no sensor of the robot."""
_SENSORS = {'joint_states': ('sensor_msgs/msg/JointState', 'gz.msgs.Model'),
            'scan': ('sensor_msgs/msg/LaserScan', 'gz.msgs.LaserScan'),
            'imu': ('sensor_msgs/msg/Imu', 'gz.msgs.IMU'),
            'odom': ('nav_msgs/msg/Odometry', 'gz.msgs.Odometry'),
            'depth': ('sensor_msgs/msg/Image', 'gz.msgs.Image')}


@dataclass(frozen=True)
class BridgedTopic:
    """One topic.

    Attributes:
        ros_topic: Its name in the graph; without a slash in front, in the robot's namespace.
        gazebo_topic: Its name in Gazebo.
        ros_type: Its type in the graph.
        gazebo_type: Its type in Gazebo.
        direction: FROM_GAZEBO or TO_GAZEBO.
    """

    ros_topic: str
    gazebo_topic: str
    ros_type: str
    gazebo_type: str
    direction: str = FROM_GAZEBO


def bridged_topics(robot: RobotSpec) -> tuple[BridgedTopic, ...]:
    """Time, all sensors and cameras of the robot file, TF of the odometry, and all commands.

    That of the base goes to Gazebo where it slides; where it walks, to its `walking_controller`.
    """
    found = [BridgedTopic('clock', '/clock', 'rosgraph_msgs/msg/Clock', 'gz.msgs.Clock')]

    def add(topic: str, types: tuple[str, str], direction: str = FROM_GAZEBO) -> None:
        found.append(BridgedTopic(topic, gazebo_topic(robot, topic), *types, direction))

    for camera in robot.cameras.values():
        add(camera.topic, ('sensor_msgs/msg/Image', 'gz.msgs.Image'))
    for name, sensor in robot.sensors.items():
        add(sensor.topic, _SENSORS[name])
    if 'depth' in robot.sensors:
        add(beside(robot.sensors['depth'].topic, 'camera_info'),
            ('sensor_msgs/msg/CameraInfo', 'gz.msgs.CameraInfo'))
    if 'odom' in robot.sensors:
        add('tf', ('tf2_msgs/msg/TFMessage', 'gz.msgs.Pose_V'))
    if not robot.walks:
        add('cmd_vel', ('geometry_msgs/msg/Twist', 'gz.msgs.Twist'), TO_GAZEBO)
    add('joint_commands', ('trajectory_msgs/msg/JointTrajectory', 'gz.msgs.JointTrajectory'),
        TO_GAZEBO)
    if robot.walks:
        add(WALKING_IMU, _SENSORS['imu'])
        add(WALKING_JOINTS, ('trajectory_msgs/msg/JointTrajectory', 'gz.msgs.JointTrajectory'),
            TO_GAZEBO)
        add(LET_GO, ('std_msgs/msg/Empty', 'gz.msgs.Empty'), TO_GAZEBO)
    return tuple(found)


def object_topics(objects: Sequence[str]) -> tuple[BridgedTopic, ...]:
    """Of the objects of a scene, by the names of their models."""
    return tuple(BridgedTopic(OBJECT_POSES, f'/model/{name}/pose',
                              'geometry_msgs/msg/TransformStamped', 'gz.msgs.Pose')
                 for name in objects)


def bridge_yaml(robot: RobotSpec, objects: Sequence[str]) -> str:
    """The configuration file of `ros_gz_bridge`, `parameter_bridge`.

    Args:
        robot: The robot.
        objects: Names of the models of the scene's objects.
    """
    lines = [f'# Topics between Gazebo and the graph, for ros_gz_bridge. Written by: vla robot '
             f'gazebo --robot {robot.name}']
    for topic in (*bridged_topics(robot), *object_topics(objects)):
        lines += [f'- ros_topic_name: "{topic.ros_topic}"',
                  f'  gz_topic_name: "{topic.gazebo_topic}"',
                  f'  ros_type_name: "{topic.ros_type}"',
                  f'  gz_type_name: "{topic.gazebo_type}"',
                  f'  direction: {topic.direction}']
    return '\n'.join(lines) + '\n'
