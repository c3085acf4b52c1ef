"""Sensors that look from elsewhere than the middle of the base."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vla_humanoid_control.robot.spec import RobotSpec, SensorSpec
from vla_humanoid_control.safety.collision import scan_points
from vla_humanoid_control.safety.mounts import Mounts, same_frame
from vla_humanoid_control.support.geometry import mount_pose
from vla_humanoid_control.types import ScanReading


def with_laser(robot: RobotSpec, mount: tuple[float, ...], frame: str = 'laser') -> RobotSpec:
    sensors = {**robot.sensors, 'scan': replace(robot.sensors['scan'], frame=frame, mount=mount)}
    return replace(robot, sensors=sensors)


@pytest.mark.parametrize(('name', 'known', 'same'), [
    ('base_link', 'base_link', True), ('/base_link', 'base_link', True),
    ('robot1/base_link', 'base_link', True), ('/robot1/base_link', 'base_link', True),
    ('robot1/base_link', 'robot1/base_link', True), ('base_link', 'robot1/base_link', False),
    ('laser_base_link', 'base_link', False), ('rear/laser', 'front/laser', False),
    ('', 'base_link', False), ('/', 'base_link', False), ('BASE_LINK', 'base_link', False)])
def test_how_frames_may_be_spelt(name: str, known: str, same: bool) -> None:
    assert same_frame(name, known) is same


@pytest.mark.parametrize('frame', ['laser_back', '', '/', 'base_link_2', 'x' * 1000])
def test_a_scan_from_who_knows_where_is_refused(robot: RobotSpec, make_bench: Any, frame: str
                                                ) -> None:
    """Regression: its front was taken for the robot's, and the robot drove at a wall."""
    bench = make_bench(robot)
    for _ in range(60):
        bench.overrides['scan'] = replace(bench.scan(), frame=frame)
        assert not bench.step().twist.any()
    command = bench.log[-1][1]
    assert command.state.name == 'STOP' and 'scan missing; rejected: it' in command.reason
    assert 'below sensors.scan' in command.reason and len(command.reason) < 300


@pytest.mark.parametrize('frame', [None, 'base_link', '/base_link', 'robot1/base_link'])
def test_the_frame_of_the_base_needs_no_mount(robot: RobotSpec, frame: str | None) -> None:
    mounts = Mounts(with_laser(robot, (0.0, 0.0, 0.0, 0.0, 0.0, math.pi)))
    assert mounts.problem('scan', frame) == '' and mounts.pose('scan', frame) is None
    assert mounts.problem('scan', 'laser') == ''
    assert mounts.pose('scan', 'robot1/laser') is not None


def test_no_image_is_in_the_frame_of_the_base(robot: RobotSpec) -> None:
    depth = SensorSpec('/depth', 0.5, 'eye', (0.0,) * 6)
    mounts = Mounts(replace(robot, sensors={**robot.sensors, 'depth': depth}))
    assert mounts.problem('depth', '/eye') == ''
    assert "'base_link', and the robot file knows eye" in mounts.problem('depth', 'base_link')


@pytest.mark.parametrize(('mount', 'bearing_rad', 'seen'), [
    ((0.0, 0.0, 0.0, 0.0, 0.0, math.pi), 0.0, (-2.0, 0.0)),
    ((-0.1, 0.2, 0.5, 0.0, 0.0, math.pi / 2), 0.0, (-0.1, 2.2)),
    ((0.0, 0.0, 0.0, math.pi, 0.0, 0.0), 0.5, (2 * math.cos(0.5), -2 * math.sin(0.5))),
    ((0.0, 0.0, 0.0, 0.0, 0.3, 0.0), 0.0, (2 * math.cos(0.3), 0.0))],
    ids=['backwards', 'aside and to the left', 'upside down', 'nodding'])
def test_points_are_turned_by_the_mount(mount: tuple[float, ...], bearing_rad: float,
                                        seen: tuple[float, float]) -> None:
    """Where something 2 m from the scanner is on the base."""
    scan = ScanReading(1, bearing_rad, 0.1, 0.05, 10.0, np.array([2.0]))
    assert scan_points(scan, 3.0, mount_pose(mount))[0] == pytest.approx(np.array(seen))


def test_what_is_near_the_base_may_be_far_from_the_scanner() -> None:
    scan = ScanReading(1, math.pi, 0.1, 0.05, 10.0, np.array([2.0]))
    assert scan_points(scan, 1.0, mount_pose((1.5, 0.0, 0.0, 0.0, 0.0, 0.0)))[0] \
        == pytest.approx(np.array([-0.5, 0.0]))


def test_a_scanner_mounted_backwards_sees_the_wall_ahead(robot: RobotSpec, make_bench: Any
                                                         ) -> None:
    bench = make_bench(with_laser(robot, (0.0, 0.0, 0.0, 0.0, 0.0, math.pi)))

    def wall(bearing_rad: float) -> str:
        bench.obstacle = (bearing_rad, 0.35)
        for _ in range(100):
            bench.overrides['scan'] = replace(bench.scan(), frame='laser')
            bench.step()
        return str(bench.log[-1][1].state.name)

    assert wall(0.0) == 'RUN'  # which is behind the robot
    assert wall(math.pi - 0.2) == 'STOP'
    assert 'collision' in bench.log[-1][1].reason
    bench.check_limits()
