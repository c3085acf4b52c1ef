"""A robot whose only eyes for obstacles are a depth camera that looks down ahead of its feet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from graph_under_test import GraphUnderTest
from sensor_msgs.msg import CameraInfo, Image

from vla_humanoid_control.nodes import qos
from vla_humanoid_control.nodes.messages import to_stamp
from vla_humanoid_control.resources import config_path

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
UP_M, DOWN_RAD = 1.2, 0.8


class DepthRobot(GraphUnderTest):
    """The graph on such a robot.

    Attributes:
        box_m: How much nearer than the floor the middle of the image is [m].
        focal: The focal length in `camera_info` [px].
        info_width: The width in `camera_info` [px].
    """

    def __enter__(self) -> DepthRobot:
        self.box_m, self.focal, self.info_width = 0.0, FOCAL, WIDTH
        super().__enter__()
        self._random = np.random.default_rng(1)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        down = (rows - HEIGHT / 2) / FOCAL
        self._floor = UP_M / (np.sin(DOWN_RAD) + down * np.cos(DOWN_RAD))
        self._middle = (np.abs(down) < 0.15) & (np.abs(columns - WIDTH / 2) / FOCAL < 0.15)
        self._depth = self.node.create_publisher(Image, '/camera/depth/image_raw',
                                                 qos.SENSOR_OUTPUT)
        self._info = self.node.create_publisher(CameraInfo, '/camera/depth/camera_info',
                                                qos.SENSOR_OUTPUT)
        self.node.create_timer(1 / 10, self._see_depth)
        return self

    def settle(self) -> None:
        self.box_m, self.focal, self.info_width = 0.0, FOCAL, WIDTH
        super().settle()

    def _see_depth(self) -> None:
        stamp = to_stamp(self.robot.stamp_ns())
        info = CameraInfo(width=self.info_width, height=HEIGHT)
        info.k = [self.focal, 0.0, WIDTH / 2, 0.0, self.focal, HEIGHT / 2, 0.0, 0.0, 1.0]
        info.header.stamp = stamp
        self._info.publish(info)
        depth = self._floor - self.box_m * self._middle \
            + self._random.normal(size=(HEIGHT, WIDTH)) * 0.003
        msg = Image(height=HEIGHT, width=WIDTH, encoding='16UC1', step=WIDTH * 2,
                    data=(1000 * depth).astype('<u2').tobytes())
        msg.header.stamp = stamp
        self._depth.publish(msg)


@pytest.fixture
def graph(domain_id: int, tmp_path: Path) -> Iterator[DepthRobot]:
    robot = yaml.safe_load(config_path('robots', 'humanoid.yaml').read_text(encoding='utf-8'))
    del robot['sensors']['scan']
    robot['sensors']['depth'] = {'topic': '/camera/depth/image_raw', 'timeout_s': 0.5}
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    mount = {'safety_monitor': {'depth_mount': [0.0, 0.0, UP_M, 0.0, DOWN_RAD, 0.0]}}
    with DepthRobot(domain_id, tmp_path, controller='faulty_controller', robot=str(path),
                    parameters=mount) as running:
        yield running


def test_depth_alone_keeps_the_robot_from_obstacles(graph: DepthRobot) -> None:
    """The floor is walked on, a box on it is not, and depth that means nothing stops."""
    graph.wait_until_ready()
    graph.walk_on()
    assert graph.safety == 'RUN'

    graph.box_m = 0.5
    graph.wait_for(lambda: 'collision' in graph.safety, 'the box is seen')
    graph.wait_for(graph.is_at_rest, 'it stops before the box')
    graph.settle()

    for fault, reason in (({'focal': float('nan')}, 'the depth image shows nothing'),
                          ({'info_width': 2 * WIDTH}, 'camera_info')):
        graph.walk_on()
        for name, value in fault.items():
            setattr(graph, name, value)
        graph.wait_for(lambda r=reason: graph.has_stopped_for(r), reason)
        graph.wait_for(graph.is_at_rest, 'it stops')
        graph.settle()
    graph.assert_within_limits()
