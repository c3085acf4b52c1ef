"""The controller's node by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip('rclpy')

import rclpy
from std_msgs.msg import String

from vla_humanoid_control.nodes.vla_controller import VlaController

pytestmark = pytest.mark.ros

ESTOP = 'ESTOP: emergency stop (topic)'


@pytest.fixture
def node() -> Iterator[VlaController]:
    """A node that is active."""
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted'], domain_id=101)
    node = VlaController()
    node.trigger_configure()
    node.trigger_activate()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_a_command_during_an_emergency_stop_is_refused_with_the_reason(node: VlaController
                                                                       ) -> None:
    """Regression: it began, and ended without a word when the stop was next heard of."""
    node._on_command(String(data='walk forward'))
    node._on_safety_state(String(data=ESTOP))
    assert node._task.describe() == f'FAILED: walk forward ({ESTOP})'
    node._on_command(String(data='wave'))
    assert node._task.describe() == f'FAILED: wave (refused in {ESTOP})'
    assert node._counts['commands_rejected'] == 1
    node._on_safety_state(String(data=ESTOP))  # said again once a second
    assert node._task.describe().startswith('FAILED: wave')
    node._on_command(String(data='stop'))
    assert node._task.describe() == 'DONE: stop'
    node._on_safety_state(String(data='STOP: recovering'))
    node._on_command(String(data='wave'))
    assert node._task.describe() == 'RUNNING: wave'
