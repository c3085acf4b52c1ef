"""What launch files start to show the robot."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import mujoco  # noqa: F401, the URDF is made from the robot's model
import pytest
import yaml

from vla_humanoid_control.graph.views import RVIZ_IMAGE, RVIZ_TOPICS, rviz, state_publisher
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import SensorSpec
from vla_humanoid_control.robot.urdf import urdf
from vla_humanoid_control.support.resources import config_path

ROBOT = load_robot('humanoid')


def test_the_state_publisher_has_the_urdf_and_hears_the_joints() -> None:
    view = state_publisher(ROBOT, '', on_clock=True)
    assert view.parameters == {'robot_description': urdf(ROBOT), 'use_sim_time': True}
    assert not view.remappings
    elsewhere = dataclasses.replace(ROBOT, sensors={
        **ROBOT.sensors, 'joint_states': SensorSpec('body/joint_states', 0.2)})
    assert state_publisher(elsewhere, '', on_clock=False).remappings == {
        'joint_states': 'body/joint_states'}


def test_frames_of_robots_in_namespaces_do_not_meet() -> None:
    assert state_publisher(ROBOT, '/robot1', on_clock=False).remappings == {
        '/tf': 'tf', '/tf_static': 'tf_static'}
    assert rviz(ROBOT, '/robot1', on_clock=True).remappings == {
        '/tf': 'tf', '/tf_static': 'tf_static', '/clock': 'clock'}


def leaves(document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from leaves(value)
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value)


def test_rviz_shows_topics_and_frames_that_there_are() -> None:
    document = yaml.safe_load(config_path('rviz', 'vla.rviz').read_text(encoding='utf-8'))
    found = list(leaves(document))
    topics = {value['Value'] for key, value in found if key.endswith('Topic')
              and isinstance(value, dict)}
    ours = {s.topic for s in (*ROBOT.sensors.values(), *ROBOT.cameras.values())}
    assert topics - ours == {'robot_description'}
    assert topics - {'robot_description'} <= {*RVIZ_TOPICS.values(), RVIZ_IMAGE}
    frames = {e.get('name') for e in ElementTree.fromstring(urdf(ROBOT).encode()).iter('link')}
    fixed = {value for key, value in found if key == 'Fixed Frame'}
    assert fixed == {ROBOT.base_frame} <= frames


def test_rviz_is_told_what_another_robot_calls_its_topics() -> None:
    other = dataclasses.replace(ROBOT, base_frame='pelvis', cameras={
        'eye': SensorSpec('eye/image', 0.5)}, sensors={
        'joint_states': SensorSpec('/joint_states', 0.2), 'scan': SensorSpec('front/scan', 0.5)})
    view = rviz(other, '', on_clock=False)
    assert view.remappings == {'joint_states': '/joint_states', 'scan': 'front/scan',
                               'camera/rgb/image_raw': 'eye/image'}
    assert view.arguments[-2:] == ('-f', 'pelvis')


@pytest.mark.parametrize('made', [state_publisher, rviz])
def test_parameters_have_types_that_launch_knows(made: Any) -> None:
    assert all(type(v) in (str, bool) for v in made(ROBOT, '', True).parameters.values())
