"""Fault 75: commands that no base hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fault_report import Fault
from graph_under_test import GraphUnderTest

STAMPED = {'vla_controller': {'stamped_twist': True}, 'safety_monitor': {'stamped_twist': True}}


def nothing_is_done(graph: GraphUnderTest, reason: str, fault: Fault) -> None:
    """'walk forward' moves nothing and is not done, and everybody can read why."""
    graph.wait_for(lambda: graph.safety.startswith('STOP') and reason in graph.safety, reason)
    graph.say('walk forward')
    graph.pause(4.0)
    assert not any(state.startswith('DONE: walk') for _, state in graph.task_states)
    assert graph.safety.startswith('STOP') and reason in graph.safety
    graph.wait_for(lambda: reason in graph.health('safety_monitor'), 'it is in the diagnostics')
    fault.happened(graph.safety)


def test_fault_75_nobody_listens(graph: GraphUnderTest, fault: Fault) -> None:
    """The base stops listening to /cmd_vel in motion, and listens again."""
    graph.walk_on()
    graph.drop(graph.base)
    graph.robot.twist = np.zeros(3)
    try:
        nothing_is_done(graph, '/cmd_vel: nobody listens', fault)
    finally:
        graph.base = graph.listen_as_base()
    graph.settle()
    graph.walk_on()
    fault.happened('walked again once it listened')


def test_fault_75_base_that_wants_another_type(domain_id: int, tmp_path: Path, fault: Fault
                                               ) -> None:
    """TwistStamped is published, and the base wants Twist."""
    with GraphUnderTest(domain_id, tmp_path, parameters=STAMPED) as graph:
        nothing_is_done(graph, 'wants Twist and gets TwistStamped: set stamped_twist to false',
                        fault)


def test_fault_75_controller_that_wants_another_type(domain_id: int, tmp_path: Path, fault: Fault
                                                     ) -> None:
    """Twist is published to the base that wants it, and the controller wants TwistStamped."""
    parameters = {'vla_controller': {'stamped_twist': True}}
    with GraphUnderTest(domain_id, tmp_path, parameters=parameters) as graph:
        nothing_is_done(graph, '/vla_controller wants TwistStamped and gets Twist', fault)
        assert not any(twist.any() for _, twist in graph.twists)
