"""Faults 13 to 15: the robot's clock jumps and halts. Deadlines run on a steady clock.

The robot tells its clock on /clock, the nodes run with `use_sim_time`, and all stamps are in it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fault_report import Bringup, Fault
from graph_under_test import GraphUnderTest

from vla_humanoid_control.safety.config import SafetyConfig

T_S = SafetyConfig().proposal_timeout_s


@pytest.fixture(scope='module')
def bringup() -> Bringup:
    def create(number: int, folder: Path) -> GraphUnderTest:
        parameters = {name: {'use_sim_time': True} for name in
                      ('vla_controller', 'confidence_monitor', 'safety_monitor')}
        return GraphUnderTest(number, folder, controller='faulty_controller',
                              parameters=parameters, tells_clock=True)
    return create


def jump(graph: GraphUnderTest, seconds: float) -> None:
    """The clock jumps, and all stamps with it."""
    before = graph.robot.now_ns
    graph.robot.now_ns = lambda: before() + int(seconds * 1e9)


def goes_on_and_still_stops(graph: GraphUnderTest, fault: Fault) -> None:
    """The robot keeps walking, or walks again, and its watchdogs still bite."""
    graph.pause(0.5)
    graph.wait_for(lambda: graph.speed > 0.299, 'the robot walks')
    graph.assert_within_limits()
    since = time.monotonic()
    graph.robot.camera_on = False
    fault.stops(graph, since, T_S)
    fault.happened('walked on; a camera that falls silent still stops it')


def test_fault_13_clock_jumps_back(graph: GraphUnderTest, fault: Fault) -> None:
    """The clock jumps back 5 s in motion."""
    graph.walk_on()
    jump(graph, -5.0)
    goes_on_and_still_stops(graph, fault)


def test_fault_14_clock_jumps_ahead(graph: GraphUnderTest, fault: Fault) -> None:
    """The clock jumps ahead 1 h in motion, with the stamps and without."""
    graph.walk_on()
    jump(graph, 3600.0)
    goes_on_and_still_stops(graph, fault)
    graph.settle()
    graph.forget()
    graph.walk_on()
    # Only the clock: every stamp is an hour old now, and nothing may be trusted.
    graph.robot.stamp_ns = graph.robot.now_ns
    jump(graph, 3600.0)
    fault.stops(graph, time.monotonic(), T_S)
    fault.happened('stamps from before the jump: stopped')


def test_fault_15_paused_clock(graph: GraphUnderTest, fault: Fault) -> None:
    """/clock halts in motion under `use_sim_time`; sensors go on with stamps that halt."""
    graph.walk_on()
    halted_ns = graph.robot.now_ns()
    graph.robot.now_ns = lambda: halted_ns
    fault.stops(graph, time.monotonic(), T_S)
    fault.happened(graph.safety)
