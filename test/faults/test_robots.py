"""Faults of several robots in one ROS domain."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_report import Fault
from graph_under_test import GraphUnderTest

from vla_humanoid_control.ros.latch_file import LatchFile


def has_rested(graph: GraphUnderTest) -> bool:
    """Its base was told things since, and never to move."""
    return bool(graph.twists) and not any(twist.any() for _, twist in graph.twists)


@pytest.mark.parametrize('spaces', [('/robot1', '/robot2'), ('', '/fleet/robot1')])
def test_fault_80_two_robots_in_one_domain(spaces: tuple[str, str], domain_id: int,
                                           tmp_path: Path, fault: Fault) -> None:
    """One of two robots in one ROS domain is told to walk, stopped, restarted and reset.

    Every name was absolute, so that both heard one command and one button, and each took the
    other for a foreign publisher.
    """
    def robot(namespace: str) -> GraphUnderTest:
        return GraphUnderTest(domain_id, tmp_path, controller='faulty_controller',
                              namespace=namespace)
    with robot(spaces[0]) as stopped, robot(spaces[1]) as other:
        for graph in (stopped, other):
            graph.wait_until_ready()
        stopped.walk_on()
        assert other.task == 'IDLE' and has_rested(other) and other.safety.startswith('HOLD')
        other.walk_on()
        fault.happened('walked when it was told')
        stopped.press(True)
        stopped.wait_for(lambda: stopped.safety.startswith('ESTOP'), 'it is latched')
        stopped.wait_for(stopped.is_at_rest, 'the base is at rest')
        other.forget()
        other.pause(2.0)
        assert len(other.twists) > 10 and min(t[0] for _, t in other.twists) > 0.29
        assert all(state.startswith('RUN') for _, state in other.safety_states)
        fault.happened('the other one walked on')

        other.kill('safety_monitor')
        other.forget()
        other.wait_for(lambda: other.processes.processes['safety_monitor'].poll() is not None,
                       'safety is gone')
        other.start('safety_monitor')
        other.wait_for(lambda: len(other.safety_states) > 1, 'safety is back')
        other.wait_until_restarted()
        assert not any(state.startswith('ESTOP') for _, state in other.safety_states)
        latches = sorted((tmp_path / 'ros' / 'vla_humanoid_control').iterdir())
        assert len(latches) == 1 and LatchFile(latches[0]).reason.startswith('ESTOP')

        stopped.press(False)
        other.reset()
        stopped.forget()
        stopped.pause(1.0)
        assert stopped.safety.startswith('ESTOP') and has_rested(stopped)
        stopped.settle()
        other.forget()
        stopped.walk_on()
        assert has_rested(other)
        fault.happened('and was not latched or reset by it')
