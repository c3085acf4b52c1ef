"""A Unitree G1 walks through the real graph: words in, steps out, and a fall is reported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g1 import needs_g1
from graph_under_test import GraphUnderTest
from std_msgs.msg import String

from vla_humanoid_control.ros import qos
from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.support.resources import config_path

# A busy machine runs the simulator slower than time: there the G1 walks in slow motion, which
# without these limits would be a robot that does not follow, or sensors that are silent.
PATIENT = {'safety.watch_odom': False, 'safety.proposal_timeout_s': 2.0,
           'safety.max_stamp_age_s': 5.0, 'safety.base_tracking_s': 5.0}
# A small image, seldom: drawing must not hold up the walking controller.
SMALL = {'camera_width': 64, 'camera_height': 48, 'camera_rate_hz': 10.0}


@needs_g1
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_g1_walks_forward_when_it_is_told_to(domain_id: int, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('mujoco')
    monkeypatch.setenv('LP_NUM_THREADS', '1')  # threads that draw wait for each other there
    robot = tmp_path / 'g1.yaml'
    text = config_path('robots', 'unitree_g1.yaml').read_text(encoding='utf-8')
    text = re.sub(r'timeout_s: 0\.[25]\b', 'timeout_s: 5.0', text)
    robot.write_text(text.replace('command_timeout_s: 5.0', 'command_timeout_s: 2.0'), 'utf-8')
    parameters = {'humanoid_sim': SMALL,
                  'vla_controller': {'use_sim_time': True, 'task.time_limit_s': 150.0,
                                     'task.hold_timeout_s': 30.0, 'frames.frozen_after_s': 5.0,
                                     'joints_max_age_s': 5.0, 'odometry_max_age_s': 5.0,
                                     'hang_timeout_s': 20.0, 'frames.max_age_s': 5.0},
                  'confidence_monitor': {'use_sim_time': True},
                  'safety_monitor': {'use_sim_time': True, 'remember_latch': False, **PATIENT}}
    with GraphUnderTest(domain_id, tmp_path, simulated=True, robot=str(robot),
                        parameters=parameters) as graph:
        truth: list[dict[str, Any]] = []
        graph.node.create_subscription(String, '/humanoid_sim/task_truth',
                                       lambda m: truth.append(json.loads(m.data)), qos.STREAM)
        graph.wait_for(lambda: graph.safety.startswith('HOLD') and truth, 'the G1 stands', 120.0)
        graph.wait_for(lambda: graph.task == 'IDLE', 'the controller is idle', 60.0)
        x, y, yaw = truth[-1]['pose']

        def way() -> tuple[float, float]:
            """Ahead and to the left of where it stood."""
            now = np.array(truth[-1]['pose'][:2]) - (x, y)
            return rotate(now[0], now[1], -yaw)

        graph.say('walk forward')
        graph.wait_for(lambda: way()[0] > 0.3, 'it is on its way', 150.0)
        graph.wait_for(lambda: graph.task.startswith(('DONE', 'FAILED')), 'it is over', 150.0)
        assert graph.task == 'DONE: walk forward'
        assert 0.5 <= way()[0] < 1.2 and abs(way()[1]) < 0.2
        assert not truth[-1]['fallen']
        assert max(twist[0] for _, twist in graph.twists) <= 0.5
