"""Faults 52 to 56: parameters, configuration, storage."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fault_report import Fault
from graph_under_test import GraphUnderTest
from rcl_interfaces.srv import GetParameters
from std_msgs.msg import Empty

from vla_humanoid_control.evaluation.video import Caption, Video
from vla_humanoid_control.graph.bringup import environment
from vla_humanoid_control.ros import qos
from vla_humanoid_control.support.resources import config_path

NONSENSE = (
    ('safety_monitor', 'safety.slow_ttc_s', (float('nan'), float('inf'), -1.0)),
    ('safety_monitor', 'safety.proposal_timeout_s', (float('nan'), float('inf'), -0.3, 0.0)),
    ('safety_monitor', 'safety.base_velocity_scale', ([float('nan')] * 3, [-1.0, 1.0, 1.0],
                                                      [float('inf'), 1.0, 1.0])),
    ('confidence_monitor', 'gate.open_threshold', (float('nan'), float('inf'), -0.5)),
    ('confidence_monitor', 'gate.stale_after_s', (float('nan'), float('inf'), -0.5)),
    ('vla_controller', 'frames.max_age_s', (float('nan'), float('inf'), -1.0)),
    ('vla_controller', 'task.time_limit_s', (float('nan'), float('inf'), -1.0)),
)


def present(graph: GraphUnderTest, node: str, name: str) -> Any:
    """A parameter as the node gives it."""
    request = GetParameters.Request(names=[name])
    value = graph.call(GetParameters, f'/{node}/get_parameters', request).values[0]
    return list(value.double_array_value) or value.double_value


def test_fault_52_nonsense_limits(graph: GraphUnderTest, fault: Fault) -> None:
    """Limits and deadlines set to NaN, infinite and negative, at all three nodes."""
    count = 0
    for node, name, values in NONSENSE:
        before = present(graph, node, name)
        for value in values:
            accepted, reason = graph.set(node, name, value)
            assert not accepted and reason, (node, name, value)
            assert present(graph, node, name) == before
            count += 1
    graph.walk_on()
    fault.happened(f'{count} of {count} refused with a reason; the old values stayed')


def test_fault_53_array_of_the_wrong_size(graph: GraphUnderTest, fault: Fault) -> None:
    """Arrays of two, four and no numbers, text and a number, where three numbers belong."""
    name = 'safety.base_velocity_scale'
    for value in ([1.0, 1.0], [1.0] * 4, ['fast', 'fast', 'fast'], 1.0):
        accepted, reason = graph.set('safety_monitor', name, value)
        assert not accepted and reason, value
    assert present(graph, 'safety_monitor', name) == [1.0, 1.0, 1.0]
    graph.processes.check()
    graph.walk_on()
    fault.happened(f'refused, such as: {reason}')


SWITCHES = ('watch_scan', 'watch_imu', 'watch_odom', 'watch_depth', 'watch_frozen',
            'watch_posture', 'watch_cameras')
ENDLESS = (('vla_controller', 'frames.frozen_after_s'), ('vla_controller', 'frames.max_age_s'),
           ('vla_controller', 'joints_max_age_s'), ('vla_controller', 'hang_timeout_s'),
           ('confidence_monitor', 'gate.stale_after_s'),
           ('safety_monitor', 'safety.proposal_timeout_s'),
           ('safety_monitor', 'safety.heartbeat_timeout_s'),
           ('safety_monitor', 'safety.sensor_timeout_scale'),
           ('safety_monitor', 'safety.frozen_after_s'))
"""Time limits that would switch a watchdog off if they could be made very long."""
LAXER = (('safety_monitor', 'safety.heartbeat_timeout_s', 0.0),  # 0 means none
         ('vla_controller', 'frames.frozen_at_rest', False),
         ('vla_controller', 'frames.frozen_after_s', 5.0),
         ('vla_controller', 'joints_max_age_s', 5.0), ('vla_controller', 'hang_timeout_s', 60.0))
"""Within bounds, and a person's choice for a robot at rest."""


def test_fault_54_watchdog_switched_off(graph: GraphUnderTest, fault: Fault) -> None:
    """Each watchdog is to be switched off in motion, by its switch or by a limit without end."""
    heartbeats = graph.node.create_publisher(Empty, '/safety/heartbeat', qos.STREAM)
    graph.node.create_timer(0.2, lambda: heartbeats.publish(Empty()))
    for node, name, value in (('safety_monitor', 'safety.heartbeat_timeout_s', 10.0),
                              ('safety_monitor', 'safety.watch_cameras', True),
                              ('vla_controller', 'frames.frozen_at_rest', True)):
        assert graph.set(node, name, value)[0]
    graph.walk_on()
    for name in SWITCHES:
        accepted, reason = graph.set('safety_monitor', f'safety.{name}', False)
        assert not accepted and 'moves' in reason
    for node, name, value in LAXER:
        accepted, why = graph.set(node, name, value)
        assert not accepted and 'moves' in why, name
    for node, name in ENDLESS:
        accepted, why = graph.set(node, name, 1e9)
        assert not accepted and why, name
    assert graph.speed > 0.2
    fault.happened(reason)
    graph.settle()
    for name in SWITCHES:  # at rest it is a person's choice
        assert graph.set('safety_monitor', f'safety.{name}', False)[0]
        assert graph.set('safety_monitor', f'safety.{name}', name != 'watch_cameras')[0]
    for node, name, value in (*LAXER[:2], ('vla_controller', 'frames.frozen_after_s', 0.4),
                              ('vla_controller', 'joints_max_age_s', 0.3)):
        assert graph.set(node, name, value)[0]


def damaged_files(folder: Path) -> dict[str, tuple[Sequence[str], str]]:
    """Name of the damage to arguments of a node, and what it has to say about that."""
    robot = yaml.safe_load(config_path('robots', 'humanoid.yaml').read_text(encoding='utf-8'))
    del robot['joints']['neck_yaw']['jerk']
    (folder / 'limitless.yaml').write_text(yaml.safe_dump(robot), encoding='utf-8')
    (folder / 'corrupt.yaml').write_bytes(b'name: [\xff\xfe')
    for name in ('empty', 'garbage'):
        (folder / name).mkdir()
    (folder / 'garbage' / 'config.json').write_text('{"format": 1, ', encoding='utf-8')
    return {
        'safety_monitor, robot file missing': (
            ('robot', str(folder / 'none.yaml')), 'No such file'),
        'safety_monitor, a limit missing': (
            ('robot', str(folder / 'limitless.yaml')), 'joints.neck_yaw.jerk is missing'),
        'safety_monitor, robot file corrupt': (
            ('robot', str(folder / 'corrupt.yaml')), 'not valid YAML'),
        'safety_monitor, a threshold that is no number': (
            ('safety.slow_ttc_s', '.nan'), 'slow_ttc_s'),
        'safety_monitor, a threshold misspelt': (
            ('safety.stop_tcc_s', '1.0'), 'did you mean safety.stop_ttc_s?'),
        'vla_controller, unknown policy': (('policy', 'wizard'), "'wizard'"),
        'vla_controller, checkpoint empty': (
            ('policy', str(folder / 'empty')), 'config.json: No such file'),
        'vla_controller, checkpoint corrupt': (
            ('policy', str(folder / 'garbage')), 'config.json is damaged'),
        'confidence_monitor, checkpoint empty': (
            ('policy', str(folder / 'empty')), 'config.json cannot be read'),
    }


def test_fault_55_missing_or_corrupt_files(domain_id: int, tmp_path: Path, fault: Fault) -> None:
    """Robot file, parameters and checkpoint missing, corrupt, or without a limit."""
    cases = damaged_files(tmp_path)
    variables = {**os.environ, **environment(), 'ROS_DOMAIN_ID': str(domain_id),
                 'ROS_HOME': str(tmp_path)}
    running = {
        case: subprocess.Popen(
            [sys.executable, '-m', f'vla_humanoid_control.nodes.{case.split(",")[0]}',
             '--ros-args', '-p', f'{name}:={value}'],
            env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for case, ((name, value), _) in cases.items()}
    for case, process in running.items():
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 2, f'{case}: {said}'
        assert cases[case][1] in said, f'{case}: {said}'
        assert 'Traceback' not in said, f'{case}: {said}'
    fault.happened(f'{len(cases)} of {len(cases)} refused to start, each with status 2 and what '
                   'was wrong where')


def test_fault_56_full_disk(domain_id: int, tmp_path: Path, fault: Fault) -> None:
    """The disk is full where the graph's output is recorded."""
    if not os.path.exists('/dev/full'):
        pytest.skip('needs /dev/full')
    (tmp_path / 'graph.log').symlink_to('/dev/full')
    with GraphUnderTest(domain_id, tmp_path, controller='faulty_controller') as graph:
        graph.wait_until_ready()
        reports = [line for line in graph.log if 'No space left' in line]
        assert len(reports) == 1
        # More than a pipe holds: nodes whose output nobody reads any more would come to a halt.
        for number in range(300):
            graph.say(f'turn left {number}' + ' and on' * 60)
            time.sleep(0.002)
        graph.walk_on()
        graph.pause(0.5)
        graph.processes.check()
        assert graph.speed > 0.2
    fault.happened(f'control went on; {reports[0]}')
    fault.happened(full_while_filming(tmp_path / 'demo.mp4'))


def full_while_filming(path: Path) -> str:
    """Films until no more fits; gives what the video says of that."""
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Video(path) as video:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            for _ in range(100):
                video.add(pixels, pixels, Caption('walk', 'RUNNING', 'RUN', 0.9, 0.5))
                if video.problem:
                    break
            video.add(pixels, pixels, Caption('walk', 'RUNNING', 'RUN', 0.9, 0.5))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 'ends early' in video.problem
    return video.problem.replace(f'{path.parent}/', '')
