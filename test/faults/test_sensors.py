"""Faults 1 to 5, 8, 10 to 12, 17, 18 and 78: camera and laser scanner that misbehave in motion.

A frame that is rejected extends no deadline: proposals keep the stamp of the last good frame, and
safety's watchdog of the proposal stops the robot.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from fault_report import Fault
from graph_under_test import ROBOT, GraphUnderTest
from safety_bench import Bench
from sensor_msgs.msg import Image, LaserScan

from vla_humanoid_control.perception.image_decoding import (
    ImageError,
    decode_compressed_rgb,
    decode_rgb,
)
from vla_humanoid_control.ros.messages import raw_image, rgb_to_msg
from vla_humanoid_control.safety.config import SafetyConfig

T_S = SafetyConfig().proposal_timeout_s
"""Of the proposal, and so of the camera frame that it comes from [s]."""


def camera_stops(graph: GraphUnderTest, fault: Fault, spoil: Callable[[Image], Image | None],
                 reason: str, deadline_s: float = T_S) -> None:
    """Walk, spoil the camera, and see the robot stop, say why, and walk again."""
    graph.walk_on()
    graph.robot.spoil = spoil
    fault.stops(graph, time.monotonic(), deadline_s)
    graph.wait_for(lambda: reason in graph.health('vla_controller'), 'the reason is reported')
    graph.wait_for(lambda: graph.count('vla_controller', 'head.rejected') > 0, 'it is counted')
    fault.happened(f'stopped; reported: {graph.health("vla_controller")}')
    assert not any('Traceback' in line for line in graph.log)
    graph.robot.mend()
    graph.settle()
    graph.walk_on()


def test_fault_01_unknown_encoding(graph: GraphUnderTest, fault: Fault) -> None:
    """Camera encoding 'rgb9' in motion."""
    def spoil(image: Image) -> Image:
        image.encoding = 'rgb9'
        return image

    camera_stops(graph, fault, spoil, 'unknown encoding')


def test_fault_02_truncated_data(graph: GraphUnderTest, fault: Fault) -> None:
    """Ten bytes cut off each image; JPEG and PNG files cut in half."""
    def spoil(image: Image) -> Image:
        image.data = image.data[:-10]
        return image

    camera_stops(graph, fault, spoil, 'bytes of data')
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for suffix in ('.jpg', '.png'):
        content = cv2.imencode(suffix, pixels)[1].tobytes()
        with pytest.raises(ImageError, match='truncated'):
            decode_compressed_rgb(content[:len(content) // 2])


def test_fault_03_zero_size(graph: GraphUnderTest, fault: Fault) -> None:
    """Images of width and height 0."""
    def spoil(image: Image) -> Image:
        image.width = image.height = 0
        return image

    camera_stops(graph, fault, spoil, 'size 0x0')


def test_fault_04_step_that_does_not_fit(graph: GraphUnderTest, fault: Fault) -> None:
    """Images whose step is a byte short of a row."""
    def spoil(image: Image) -> Image:
        image.step -= 1
        return image

    camera_stops(graph, fault, spoil, 'step is')


def test_fault_05_width_of_two_to_the_31(graph: GraphUnderTest, fault: Fault) -> None:
    """Images of width 2^31."""
    def spoil(image: Image) -> Image:
        image.width = 2**31
        return image

    camera_stops(graph, fault, spoil, 'size 2147483648')
    image = raw_image(spoil(rgb_to_msg(1, 'head', np.zeros((48, 64, 3), np.uint8))))
    tracemalloc.start()
    with pytest.raises(ImageError):
        decode_rgb(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
    fault.happened(f'at most {peak / 1000:.1f} kB were allocated')


def test_fault_08_frozen_pixels(graph: GraphUnderTest, fault: Fault) -> None:
    """The same pixels for ever, under fresh stamps."""
    def spoil(image: Image) -> Image:
        image.data = type(image.data)('B', bytes(len(image.data)))
        return image

    camera_stops(graph, fault, spoil, 'has not changed', deadline_s=0.4 + T_S)


def test_fault_10_stamp_two_seconds_old(graph: GraphUnderTest, fault: Fault) -> None:
    """Camera stamps 2 s in the past."""
    def spoil(image: Image) -> Image:
        image.header.stamp.sec -= 2
        return image

    camera_stops(graph, fault, spoil, 's old')


def test_fault_11_stamp_ten_seconds_ahead(graph: GraphUnderTest, fault: Fault) -> None:
    """Camera stamps 10 s in the future."""
    def spoil(image: Image) -> Image:
        image.header.stamp.sec += 10
        return image

    camera_stops(graph, fault, spoil, 's ahead')


def test_fault_12_zero_stamp(graph: GraphUnderTest, fault: Fault) -> None:
    """Camera stamps of zero: refused, as nobody can tell how old such a frame is."""
    def spoil(image: Image) -> Image:
        image.header.stamp.sec = image.header.stamp.nanosec = 0
        return image

    camera_stops(graph, fault, spoil, 'stamp is zero')


def test_fault_17_camera_at_2_hz(graph: GraphUnderTest, fault: Fault) -> None:
    """The camera falls from 30 to 2 Hz."""
    seen = 0

    def spoil(image: Image) -> Image | None:
        nonlocal seen
        seen += 1
        return image if seen % 15 == 0 else None

    graph.walk_on()
    began = time.monotonic()
    graph.robot.spoil = spoil
    graph.wait_for(lambda: graph.has_stopped_for('proposal stale'), 'stopped', T_S + 3.0)
    fault.stopped_after(graph.stopping_began_after(began), T_S)
    graph.pause(3.0)
    graph.assert_within_limits()
    speeds = [v[0] for t, v in graph.twists if t > began + 1.0]
    assert np.mean(speeds) < 0.15
    fault.happened(f'mean speed fell from 0.30 to {np.mean(speeds):.2f} m/s')


def scan_damage() -> dict[str, dict[str, Any]]:
    few = np.full(360, 5.0)
    few[::10], few[1::10], few[2::10] = np.nan, np.inf, 0.0
    return {'all NaN': {'ranges_m': np.full(360, np.nan)},
            'all zero': {'ranges_m': np.zeros(360)},
            'no rays': {'ranges_m': np.zeros(0)},
            'a third of the rays': {'ranges_m': np.full(120, 5.0)},
            'NaN angle': {'angle_increment_rad': np.nan},
            'some NaN, inf and zero': {'ranges_m': few}}


def test_fault_18_bad_scan(graph: GraphUnderTest, fault: Fault, running: Bench) -> None:
    """Scans of NaN, infinite and zero ranges, and of a wrong count.

    Over DDS, scans of NaN, and scans with fewer rays than their angles say; every other kind of
    damage to the supervisor, which is what judges ranges.
    """
    def nothing(scan: LaserScan) -> LaserScan:
        scan.ranges = [float('nan')] * len(scan.ranges)
        return scan

    def short(scan: LaserScan) -> LaserScan:
        scan.ranges = scan.ranges[:100]
        return scan

    for spoil in (nothing, short):
        graph.walk_on()
        graph.robot.spoil_scan = spoil
        fault.stops(graph, time.monotonic(), ROBOT.sensors['scan'].timeout_s)
        graph.wait_for(lambda: 'scan stale' in graph.safety, 'the reason is reported')
        fault.happened(graph.safety)
        graph.settle()
        graph.forget()

    noise = np.random.default_rng(0)
    for damage, changes in scan_damage().items():
        running.overrides.pop('scan', None)
        running.until('RUN')
        rejected = int(running.safety.diagnostics(running.now_s)['rejected/scan'])
        for _ in range(60):
            scan = replace(running.scan(), **changes)
            running.overrides['scan'] = replace(scan, ranges_m=scan.ranges_m
                                                + noise.normal(size=scan.ranges_m.shape) * 1e-3)
            running.step()
        masked = damage.startswith('some')
        assert running.log[-1][1].state.name == ('RUN' if masked else 'STOP'), damage
        if not masked:
            assert int(running.safety.diagnostics(running.now_s)['rejected/scan']) > rejected
    fault.happened('single bad rays masked')


@pytest.mark.parametrize('frame', ['laser_back', ''], ids=['unknown', 'none'])
def test_fault_78_scan_of_another_frame(graph: GraphUnderTest, fault: Fault, frame: str) -> None:
    """A scan in a frame that the robot file does not know."""
    def elsewhere(scan: LaserScan) -> LaserScan:
        scan.header.frame_id = frame
        return scan

    graph.walk_on()
    graph.robot.spoil_scan = elsewhere
    fault.stops(graph, time.monotonic(), ROBOT.sensors['scan'].timeout_s)
    graph.wait_for(lambda: 'below sensors.scan' in graph.safety, 'the reason is reported')
    assert graph.safety.startswith('STOP: scan stale')
    fault.happened(graph.safety)


def test_fault_78_frame_of_the_base_by_another_name(graph: GraphUnderTest, fault: Fault) -> None:
    """The frame of the base with a leading slash, and with a namespace before it."""
    for frame in ('/base_link', 'robot1/base_link'):
        def spelt(scan: LaserScan, name: str = frame) -> LaserScan:
            scan.header.frame_id = name
            return scan

        graph.robot.spoil_scan = spelt
        graph.walk_on()
        graph.pause(1.0)
        assert graph.speed > 0.29 and graph.safety.startswith('RUN'), graph.safety
        graph.settle()
    fault.happened('it walked on')


def test_fault_78_scanner_mounted_backwards(fault: Fault) -> None:
    """A scanner that looks backwards, as the robot file says, and a wall ahead.

    To the supervisor: it is what turns the scan, and a process would add nothing.
    """
    scan = replace(ROBOT.sensors['scan'], frame='laser', mount=(0, 0, 0, 0, 0, np.pi))
    bench = Bench(replace(ROBOT, sensors={**ROBOT.sensors, 'scan': scan}))
    bench.obstacle = (np.pi - 0.2, 0.35)
    for _ in range(100):
        bench.overrides['scan'] = replace(bench.scan(), frame='laser')
        bench.step()
    command = bench.log[-1][1]
    assert command.state.name == 'STOP' and 'collision' in command.reason
    fault.happened(command.reason)
    bench.check_limits()
