"""The nodes in a namespace: what they are connected to, and what they call it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('mujoco', reason='needs mujoco: pip install .[sim]')

import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from std_srvs.srv import Trigger

from vla_humanoid_control.nodes.confidence_monitor import ConfidenceMonitor
from vla_humanoid_control.nodes.humanoid_sim import HumanoidSim
from vla_humanoid_control.nodes.safety_monitor import SafetyMonitor
from vla_humanoid_control.nodes.vla_controller import VlaController
from vla_humanoid_control.ros.managed import ManagedNode

pytestmark = pytest.mark.ros

OF_ALL = {'/parameter_events', '/rosout', '/clock'}


@pytest.fixture
def start(domain_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
          ) -> Iterator[Callable[..., Any]]:
    """Makes a node in the namespace robot1, configured; with further ROS arguments."""
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    nodes: list[ManagedNode] = []

    def make(kind: Callable[[], ManagedNode], *arguments: str) -> ManagedNode:
        rclpy.init(domain_id=domain_id, args=['--ros-args', '-r', '__ns:=/robot1', '-p',
                                              'policy:=scripted', *arguments])
        nodes.append(kind())
        nodes[0].trigger_configure()
        return nodes[0]
    yield make
    for node in nodes:
        node.trigger_cleanup()
        node.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize('kind', [VlaController, ConfidenceMonitor, SafetyMonitor, HumanoidSim])
def test_every_name_is_in_the_namespace(start: Callable[..., Any], kind: Callable[[], Any]
                                        ) -> None:
    """All names were absolute, and stayed where they were."""
    node = start(kind)
    names = {*(p.topic_name for p in node.publishers),
             *(s.topic_name for s in node.subscriptions),
             *(node.resolve_service_name(s.srv_name) for s in node.services)}
    assert len(names - OF_ALL) > 8
    assert {n for n in names if not n.startswith('/robot1/')} <= OF_ALL


@pytest.mark.parametrize(('rules', 'name'), [
    ((), '/robot1/cmd_vel'), (('-r', 'cmd_vel:=/base/cmd_vel'), '/base/cmd_vel')])
def test_a_foreign_publisher_is_looked_for_in_the_namespace(
        start: Callable[..., Any], rules: tuple[str, ...], name: str) -> None:
    """The /cmd_vel of another robot is none of this one's, and its own is named in full."""
    node = start(SafetyMonitor, *rules)
    found: list[list[str]] = []
    node.supervisor.on_foreign_publisher = lambda topics, _now: found.append(list(topics))
    other = rclpy.create_node('other')
    other.create_publisher(Twist, '/cmd_vel', 1)
    wait_until(lambda: node.count_publishers('/cmd_vel') == 1)
    node._look_for_foreign_publishers()
    other.create_publisher(Twist, name, 1)
    wait_until(lambda: node.count_publishers(name) == 2)
    node._look_for_foreign_publishers()
    other.destroy_node()
    assert found == [[], [name]]


def test_what_people_read_names_this_robot(start: Callable[..., Any]) -> None:
    """The name of the root would be read as another robot's service."""
    node = start(SafetyMonitor)
    answer = node._on_stop_service(Trigger.Request(), Trigger.Response())
    assert '/robot1/safety/reset' in answer.message


def test_a_base_that_is_told_in_another_type_is_named(start: Callable[..., Any],
                                                      domain_id: int) -> None:
    node = start(VlaController)
    context = rclpy.Context()  # where the topic has no other type yet
    rclpy.init(domain_id=domain_id, context=context)
    other = rclpy.create_node('other', context=context)
    other.create_publisher(TwistStamped, '/robot1/cmd_vel', 1)
    wait_until(lambda: node.count_publishers('/robot1/cmd_vel') == 1)
    node._look_for_other_twists()
    other.destroy_node()
    context.shutdown()
    assert node.controller.senses.base_problem.startswith('/robot1/cmd_vel is published as')


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
