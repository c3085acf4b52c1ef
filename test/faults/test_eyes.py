"""Faults 6, 7 and 16: depth, and two cameras, on a robot that has them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from fault_report import Bringup, Fault, SharedGraph
from graph_under_test import GraphUnderTest
from sensor_msgs.msg import CameraInfo, Image

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import rgb_to_msg, to_stamp
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.support.resources import config_path

T_S = SafetyConfig().proposal_timeout_s
WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope='module')
def bringup() -> Bringup:
    def create(number: int, folder: Path) -> GraphUnderTest:
        robot = yaml.safe_load(config_path('robots', 'humanoid.yaml').read_text(encoding='utf-8'))
        robot['cameras']['wrist'] = {'topic': '/camera/wrist/image_raw', 'timeout_s': 0.5}
        robot['sensors']['depth'] = {'topic': '/camera/depth/image_raw', 'timeout_s': 0.5,
                                     'frame': 'depth', 'mount': [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]}
        path = folder / 'robot.yaml'
        path.write_text(yaml.safe_dump(robot), encoding='utf-8')
        return Eyes(number, folder, controller='faulty_controller', robot=str(path))
    return create


class Eyes(GraphUnderTest):
    """The graph, with a second camera and a depth camera on its robot.

    Attributes:
        depth_m: What depth shows everywhere [m].
        nan_share: Share of depth pixels without a measurement.
        wrist_late_s: How much older than the head's the stamps of the other camera are [s].
    """

    def __enter__(self) -> Eyes:
        self.depth_m, self.nan_share, self.wrist_late_s = 6.0, 0.0, 0.0
        super().__enter__()
        self._random = np.random.default_rng(1)
        create = self.node.create_publisher
        self._wrist = create(Image, '/camera/wrist/image_raw', qos.SENSOR_OUTPUT)
        self._depth = create(Image, '/camera/depth/image_raw', qos.SENSOR_OUTPUT)
        self._info = create(CameraInfo, '/camera/depth/camera_info', qos.SENSOR_OUTPUT)
        self.node.create_timer(1 / 30, self._see_more)
        self.node.create_timer(1 / 10, self._see_depth)
        return self

    def settle(self) -> None:
        self.depth_m, self.nan_share, self.wrist_late_s = 6.0, 0.0, 0.0
        super().settle()

    def _see_more(self) -> None:
        pixels = self._random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        stamp_ns = self.robot.stamp_ns() - int(self.wrist_late_s * 1e9)
        self._wrist.publish(rgb_to_msg(stamp_ns, 'wrist', pixels))

    def _see_depth(self) -> None:
        stamp = to_stamp(self.robot.stamp_ns())
        info = CameraInfo(width=WIDTH, height=HEIGHT)
        info.k = [60.0, 0.0, WIDTH / 2, 0.0, 60.0, HEIGHT / 2, 0.0, 0.0, 1.0]
        info.header.stamp = stamp
        self._info.publish(info)
        noise = self._random.normal(size=(HEIGHT, WIDTH)) * 0.003
        depth = (self.depth_m + noise).astype(np.float32)
        depth[self._random.random((HEIGHT, WIDTH)) < self.nan_share] = np.nan
        msg = Image(height=HEIGHT, width=WIDTH, encoding='32FC1', step=WIDTH * 4,
                    data=depth.tobytes())
        msg.header.stamp, msg.header.frame_id = stamp, 'depth'
        self._depth.publish(msg)


@pytest.fixture
def graph(shared: SharedGraph) -> Eyes:
    graph = shared.fresh()
    assert isinstance(graph, Eyes)
    return graph


def test_fault_06_depth_all_nan(graph: Eyes, fault: Fault) -> None:
    """Depth images without a single measurement, in motion."""
    graph.walk_on()
    graph.nan_share = 1.1
    fault.stops(graph, time.monotonic(), 0.1)  # the next depth image
    assert 'the depth image shows nothing' in graph.safety
    fault.happened(graph.safety)


def test_fault_07_depth_a_third_nan(graph: Eyes, fault: Fault) -> None:
    """Depth images with 30 % NaN; then a wall 0.34 m ahead in them."""
    graph.nan_share = 0.3
    graph.walk_on()
    graph.pause(0.5)
    assert graph.safety == 'RUN' and graph.speed > 0.29
    since = time.monotonic()
    graph.depth_m = 0.34
    fault.stops(graph, since, 0.2)  # two depth images
    graph.wait_for(lambda: 'collision' in graph.safety, 'the wall is the reason')
    fault.happened(f'walked on with 30 % masked; then {graph.safety}')


def test_fault_16_cameras_apart(graph: Eyes, fault: Fault) -> None:
    """Stamps of two cameras 0.25 s apart; the limit is 0.1 s."""
    graph.walk_on()
    since = time.monotonic()
    graph.wrist_late_s = 0.25
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: 'apart' in graph.health('vla_controller'), 'reported')
    fault.happened(f'stopped; {graph.health("vla_controller")}')
