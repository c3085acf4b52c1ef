"""The node of the confidence gate by itself."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')

import rclpy

from vla_humanoid_control.channels import encode_proposal
from vla_humanoid_control.nodes.confidence_monitor import ConfidenceMonitor
from vla_humanoid_control.ros.messages import channels_to_msg
from vla_humanoid_control.types import Action, Proposal

pytestmark = pytest.mark.ros


def test_the_gate_starts_closed_each_time_that_the_node_is_activated(
        domain_id: int) -> None:
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted'], domain_id=domain_id)
    node = ConfidenceMonitor()
    try:
        node.trigger_configure()
        node.trigger_activate()
        action = Action(np.array([0.2, 0.0, 0.0]), {})
        node._on_proposal(channels_to_msg(encode_proposal(Proposal(1, action, 0.9, 0.0))))
        assert node._gate.is_open
        node.trigger_deactivate()
        node.trigger_activate()
        assert not node._gate.is_open
    finally:
        node.destroy_node()
        rclpy.shutdown()
