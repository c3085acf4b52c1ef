"""A robot on legs whose walking controller is a node: it stands, walks, and survives silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from g1 import needs_g1

pytest.importorskip('rclpy')
pytest.importorskip('mujoco', reason='needs mujoco: pip install .[sim]')

import rclpy
from hanging_robot import HangingRobot
from rclpy.node import Node

from vla_humanoid_control.graph.bringup import NodeEntry
from vla_humanoid_control.graph.processes import ProcessGroup
from vla_humanoid_control.robot.reader import load_robot

pytestmark = [pytest.mark.slow, needs_g1]

ENTRY = NodeEntry('walking_controller', {'robot': 'unitree_g1'}, '')


@pytest.fixture
def robot(domain_id: int) -> Iterator[HangingRobot]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = Node('robot', context=context)
    hanging = HangingRobot(load_robot('unitree_g1'), node)
    yield hanging
    hanging.close()
    node.destroy_node()
    rclpy.shutdown(context=context)


def never() -> bool:
    return False


@pytest.mark.timeout(300)
def test_it_is_let_go_walks_and_stands(robot: HangingRobot, domain_id: int,
                                       tmp_path: Path) -> None:
    with ProcessGroup((ENTRY,), tmp_path / 'walking.log', echo=None, extra_environment={
            'ROS_DOMAIN_ID': str(domain_id)}) as group:
        assert robot.run(lambda: robot.is_let_go or group.check(), 60.0)
        robot.run(never, 3.0)
        assert robot.tilt_rad < 0.2 and robot.height_m > 0.65
        start = robot.pose
        robot.command = np.array([0.4, 0.0, 0.0])
        robot.run(lambda: robot.tilt_rad > 0.5, 5.0)
        walked = robot.pose
        assert robot.tilt_rad < 0.5
        assert 1.4 < np.hypot(*(walked - start)[:2]) < 2.4
        # Silence of whoever commands it: it stands after command_timeout_s.
        robot.command = None
        robot.run(never, 2.0)
        rests = robot.pose
        robot.run(lambda: robot.tilt_rad > 0.5, 3.0)
        assert np.hypot(*(robot.pose - rests)[:2]) < 0.1 and robot.tilt_rad < 0.2
        # Turning, and a short gap in what it feels.
        robot.command = np.array([0.0, 0.0, 0.6])
        robot.run(never, 1.0)
        robot.measures = False
        robot.run(never, 0.1)
        robot.measures = True
        robot.run(lambda: robot.tilt_rad > 0.5, 2.0)
        assert robot.tilt_rad < 0.3
        assert 0.8 < (robot.pose - rests)[2] % (2 * np.pi) < 2.6
