"""Gazebo behind its bridge has the topics of the simulated robot, with the same types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy')
pytest.importorskip('mujoco', reason='needs mujoco: pip install .[sim]')

import rclpy

from vla_humanoid_control.graph.bringup import Deployment, graph
from vla_humanoid_control.nodes.humanoid_sim import HumanoidSim
from vla_humanoid_control.nodes.safety_monitor import SafetyMonitor
from vla_humanoid_control.robot.gazebo_bridge import (
    FROM_GAZEBO,
    OBJECT_POSES,
    TO_GAZEBO,
    bridged_topics,
    object_topics,
)
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros.topics import type_name
from vla_humanoid_control.support.names import full_name
from vla_humanoid_control.support.resources import config_path

pytestmark = pytest.mark.ros

ROBOT = load_robot('humanoid')
OURS = {'/diagnostics', '/parameter_events', '/rosout', '/humanoid_sim/task_truth',
        '/humanoid_sim/transition_event', '/safety_monitor/transition_event'}
"""What a node has beside the topics of a robot."""
SHIPPED = next(entry for entry in graph(Deployment(simulated=False, gazebo=True))
               if entry.name == 'safety_monitor').shipped


@pytest.fixture(params=[HumanoidSim, SafetyMonitor], ids=lambda kind: kind.__name__)
def node(request: pytest.FixtureRequest, domain_id: int, tmp_path: Path,
         monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The robot, or who commands it, with the parameters that are shipped for Gazebo."""
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    rclpy.init(domain_id=domain_id, args=[
        '--ros-args', '-p', f'joint_command_type:={SHIPPED["joint_command_type"]}'])
    node = request.param()
    node.trigger_configure()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def types(endpoints: Any) -> dict[str, str]:
    return {e.topic_name: type_name(e.msg_type) for e in endpoints if e.topic_name not in OURS}


def bridged(direction: str) -> dict[str, str]:
    return {full_name(t.ros_topic, ''): t.ros_type for t in bridged_topics(ROBOT)
            if t.direction == direction}


def test_topics_and_types_are_those_of_the_simulated_robot(node: Any) -> None:
    published, heard = types(node.publishers), types(node.subscriptions)
    from_gazebo, to_gazebo = bridged(FROM_GAZEBO), bridged(TO_GAZEBO)
    assert from_gazebo.pop('/tf') == 'tf2_msgs/msg/TFMessage'
    if isinstance(node, HumanoidSim):  # Gazebo is in its place
        assert (published, heard) == (from_gazebo, to_gazebo)
    else:  # and whoever commands it hears what Gazebo says, and is heard
        shared = heard.keys() & from_gazebo.keys()
        assert shared >= {'/joint_states', '/scan', '/imu/data', '/odom'}
        assert {t: heard[t] for t in shared} == {t: from_gazebo[t] for t in shared}
        assert to_gazebo.items() <= published.items()


def test_the_shipped_file_is_what_the_bridge_takes() -> None:
    """Keys and directions as in the README of ros_gz_bridge."""
    document = yaml.safe_load(config_path('gazebo', 'bridge.yaml').read_text(encoding='utf-8'))
    objects = [t['gz_topic_name'].split('/')[2] for t in document
               if t['ros_topic_name'] == OBJECT_POSES]
    assert objects
    assert [{'ros_topic_name': t.ros_topic, 'gz_topic_name': t.gazebo_topic,
             'ros_type_name': t.ros_type, 'gz_type_name': t.gazebo_type,
             'direction': t.direction}
            for t in (*bridged_topics(ROBOT), *object_topics(objects))] == document
    assert {FROM_GAZEBO, TO_GAZEBO} == {'GZ_TO_ROS', 'ROS_TO_GZ'}


def test_parameters_for_gazebo_fit_the_graph() -> None:
    entries = graph(Deployment(simulated=False, gazebo=True, namespace='/robot1'))
    assert [e.name for e in entries] == ['vla_controller', 'confidence_monitor', 'safety_monitor']
    assert all(e.shipped['use_sim_time'] is True for e in entries)
    assert all(e.remappings == {'/clock': 'clock'} for e in entries)
    assert SHIPPED['joint_command_type'] == 'trajectory'
