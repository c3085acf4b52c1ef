"""`vla say`, `vla stop` and `vla reset` on the real nodes, beside a recorder that listens too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from graph_under_test import GraphUnderTest
from std_msgs.msg import Bool, String

from vla_humanoid_control.ros import qos

ROOT = Path(__file__).resolve().parents[2]


def vla(graph: GraphUnderTest, *arguments: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    done = subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.cli.main', *arguments, '--timeout', '60'],
        capture_output=True, text=True, timeout=100, check=False, env={
            **os.environ, 'ROS_DOMAIN_ID': str(graph.domain_id),
            'PYTHONPATH': os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))})
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_commands_and_stops_arrive_and_are_confirmed(graph: GraphUnderTest) -> None:
    """Regression: 8 of 20 stops of `ros2 topic pub --once` arrived while a recorder ran."""
    graph.node.create_subscription(String, '/vla_command', lambda m: None, qos.EVENT)
    graph.node.create_subscription(Bool, '/emergency_stop', lambda m: None, qos.EVENT)
    graph.wait_for(lambda: graph.safety.startswith('HOLD') and graph.task == 'IDLE', 'ready', 90.0)
    assert vla(graph, 'say', 'turn', 'left') == (0, 'RUNNING: turn left')
    graph.wait_for(lambda: graph.speed > 0.1, 'the robot turns')
    code, answer = vla(graph, 'stop')
    assert code == 0 and len(answer.splitlines()) == 1
    graph.wait_for(lambda: graph.safety.startswith('ESTOP'), 'it is latched')
    code, answer = vla(graph, 'say', 'walk forward')
    assert code == 1 and 'ESTOP' in answer and len(answer.splitlines()) == 1
    graph.wait_for(graph.is_at_rest, 'the base is at rest')
    code, answer = vla(graph, 'reset')
    assert code == 0, answer
    code, answer = vla(graph, 'say', '--wait', 'raise your left hand')
    assert (code, answer.splitlines()[-1]) == (0, 'DONE: raise your left hand'), answer
    code, answer = vla(graph, 'say', '--wait', 'file my taxes')
    assert code == 1 and answer.splitlines()[-1].startswith('FAILED: file my taxes'), answer
