"""A robot whose only eyes for obstacles are a depth camera that looks down ahead of its feet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from graph_under_test import ROBOT, GraphUnderTest
from sensor_msgs.msg import CameraInfo, Image

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import to_stamp
from vla_humanoid_control.support.resources import config_path

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
UP_M, DOWN_RAD = 1.2, 0.8
BOX_HALF_WIDTH_M, BOX_HEIGHT_M = 0.15, 0.5
AHEAD_M = 1.2  # of the base, where a box is put
NOWHERE_M = 1e3
FRAME = 'depth_optical_frame'


class DepthRobot(GraphUnderTest):
    """The graph on such a robot.

    Attributes:
        box_x: Where on its way the near face of a box stands, in the odometry frame [m].
        focal: The focal length in `camera_info` [px].
        info_width: The width in `camera_info` [px].
        frame: The frame of the images.
    """

    def __enter__(self) -> DepthRobot:
        self.box_x, self.focal, self.info_width = NOWHERE_M, FOCAL, WIDTH
        self.frame = FRAME
        super().__enter__()
        self._random = np.random.default_rng(1)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        down, self._right = (rows - HEIGHT / 2) / FOCAL, (columns - WIDTH / 2) / FOCAL
        # How far ahead and down a ray goes for each metre of depth.
        self._ahead = np.cos(DOWN_RAD) - down * np.sin(DOWN_RAD)
        self._down = np.sin(DOWN_RAD) + down * np.cos(DOWN_RAD)
        self._depth = self.node.create_publisher(Image, '/camera/depth/image_raw',
                                                 qos.SENSOR_OUTPUT)
        self._info = self.node.create_publisher(CameraInfo, '/camera/depth/camera_info',
                                                qos.SENSOR_OUTPUT)
        self.node.create_timer(1 / 10, self._see_depth)
        return self

    def settle(self) -> None:
        self.box_x, self.focal, self.info_width = NOWHERE_M, FOCAL, WIDTH
        self.frame = FRAME
        super().settle()

    @property
    def gap_m(self) -> float:
        """From the base to the box [m]."""
        return self.box_x - self.robot.pose[0]

    def _scene(self) -> np.ndarray:
        """Depth of the floor, and of the box where it is in front of it [m]."""
        floor, face = UP_M / self._down, self.gap_m / self._ahead
        on_face = (np.abs(self._right * face) < BOX_HALF_WIDTH_M) \
            & (UP_M - self._down * face < BOX_HEIGHT_M)
        return np.where(on_face, np.minimum(floor, face), floor)

    def _see_depth(self) -> None:
        stamp = to_stamp(self.robot.stamp_ns())
        info = CameraInfo(width=self.info_width, height=HEIGHT)
        info.k = [self.focal, 0.0, WIDTH / 2, 0.0, self.focal, HEIGHT / 2, 0.0, 0.0, 1.0]
        info.header.stamp = stamp
        self._info.publish(info)
        depth = self._scene() + self._random.normal(size=(HEIGHT, WIDTH)) * 0.003
        msg = Image(height=HEIGHT, width=WIDTH, encoding='16UC1', step=WIDTH * 2,
                    data=(1000 * depth).astype('<u2').tobytes())
        msg.header.stamp, msg.header.frame_id = stamp, self.frame
        self._depth.publish(msg)


@pytest.fixture
def graph(domain_id: int, tmp_path: Path) -> Iterator[DepthRobot]:
    robot = yaml.safe_load(config_path('robots', 'humanoid.yaml').read_text(encoding='utf-8'))
    del robot['sensors']['scan']
    robot['sensors']['depth'] = {'topic': '/camera/depth/image_raw', 'timeout_s': 0.5,
                                 'frame': FRAME,
                                 'mount': [0.0, 0.0, UP_M, 0.0, DOWN_RAD, 0.0]}
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    with DepthRobot(domain_id, tmp_path, controller='faulty_controller', robot=str(path)
                    ) as running:
        yield running


def test_depth_alone_keeps_the_robot_from_obstacles(graph: DepthRobot) -> None:
    """The floor is walked on, a box on it is not, and depth that means nothing stops."""
    graph.wait_until_ready()
    graph.walk_on()
    assert graph.safety == 'RUN'

    graph.box_x = graph.robot.pose[0] + AHEAD_M
    graph.wait_for(lambda: 'collision' in graph.safety, 'the box is seen')
    graph.wait_for(graph.is_at_rest, 'it stops before the box')
    assert graph.has_stopped_for('collision')
    graph.wait_for(lambda: graph.task.startswith('HELD') and 'collision' in graph.task,
                   'the task waits, as it is safety that stopped it')
    assert ROBOT.footprint_radius_m < graph.gap_m < AHEAD_M / 2
    graph.settle()

    for fault, reason in (({'focal': float('nan')}, 'the depth image shows nothing'),
                          ({'info_width': 2 * WIDTH}, 'camera_info'),
                          ({'frame': 'wrist_camera'}, "its frame is 'wrist_camera'"),
                          ({'frame': 'base_link'}, "its frame is 'base_link'")):
        graph.walk_on()
        for name, value in fault.items():
            setattr(graph, name, value)
        graph.wait_for(lambda r=reason: graph.has_stopped_for(r), reason)
        graph.wait_for(graph.is_at_rest, 'it stops')
        graph.settle()
    graph.assert_within_limits()
