"""Several steps and quantities in the controller: senses in, requests and proposals out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from controller_bench import ROBOT, STEP_S, ControllerBench

from vla_humanoid_control.control.config import ControllerConfig
from vla_humanoid_control.control.inference import Request
from vla_humanoid_control.types import (
    OdometryReading,
    Proposal,
    RobotObservation,
    SafetyState,
)

BLIND = replace(ROBOT, sensors={k: v for k, v in ROBOT.sensors.items() if k != 'odom'})


class Bench(ControllerBench):
    """A controller of a base that goes at the speed that it is given, and a patient gate."""

    def __init__(self, text: str, has_odometry: bool = True) -> None:
        super().__init__(ROBOT if has_odometry else BLIND, ControllerConfig(stop_delay_s=0.0))
        self.pose = np.array([3.0, 1.0, 0.0])  # odometry begins anywhere
        self.twist = np.zeros(3)
        self.wait(0.2)
        self.controller.on_command(text, self.now_s)
        self.wait(0.02)

    def wait(self, seconds: float, *, hears: bool = True) -> None:
        """Let time pass in steps of 20 ms: senses at each, a tick at every fifth."""
        for _ in range(round(seconds / 0.02)):
            self.pose = self.pose + STEP_S * self.twist
            self.begin_step()
            if hears:
                self.controller.on_twist(self.twist, self.now_s)
                self.controller.on_odometry(OdometryReading(
                    self.stamp_ns, self.pose, self.twist), self.now_s)
            self.end_step()

    def ask(self) -> Request:
        """The next request, which comes with one of the next ticks."""
        for _ in range(10):
            if (request := self.controller.take_request()) is not None:
                return request
            self.wait(0.02)
        raise AssertionError(self.controller.task.describe())

    def answer(self, request: Request, speed: float = 0.0, progress: float = 0.1) -> None:
        self.forward(request, speed, progress)

    def drive(self, seconds: float, *twist: float) -> None:
        """The base goes like that, and every request is answered."""
        self.twist = np.array(twist)
        for _ in range(round(seconds / 0.02)):
            self.wait(0.02)
            if (request := self.controller.take_request()) is not None:
                self.answer(request, twist[0])

    def finish(self) -> None:
        """The policy says of the step that it is done, though it would still go on."""
        number = self.controller.task.instruction_id
        while self.controller.task.instruction_id == number and self.controller.task.wording:
            self.answer(self.ask(), 0.3, 1.0)

    def proposal(self) -> Proposal:
        proposal = self.controller.take_proposals()[-1]
        assert isinstance(proposal, Proposal)
        return proposal


def test_nothing_of_a_step_is_played_under_the_next_one() -> None:
    bench = Bench('wave and walk forward')
    bench.finish()
    assert bench.controller.task.step == '2 of 2: walk forward'
    for _ in range(3):  # at once, and as long as there is no answer to the new step
        hold = bench.proposal()
        assert not hold.action.twist.any() and not hold.action.joints
        assert hold.confidence == 0.9 and bench.stamp_ns - hold.stamp_ns < 3e7
        bench.wait(0.1)
    bench.answer(bench.ask(), 0.2)
    assert bench.proposal().action.twist[0] == pytest.approx(0.2)


def test_a_step_begins_with_the_next_frame_at_its_own_zero() -> None:
    bench = Bench('walk forward and wave')
    bench.twist = np.array([0.2, 0.0, 0.0])
    bench.finish()
    bench.wait(0.02)
    request = bench.ask()
    assert request.wording == 'wave' and request.observation.elapsed_s == 0.0
    assert request.observation.travelled == pytest.approx([0.004, 0.0, 0.0], abs=0.003)


def test_an_answer_to_the_step_before_is_discarded() -> None:
    bench = Bench('walk forward half a metre and wave')
    bench.drive(0.9, 0.4, 0.0, 0.0)
    assert bench.controller.task.wording == 'walk forward'
    late = bench.ask()
    while bench.controller.task.wording is not None:
        bench.wait(0.02)
    bench.wait(0.2)
    bench.twist = np.zeros(3)
    bench.wait(0.5)
    assert bench.controller.task.step_index == 1
    bench.answer(late, 0.3, 1.0)
    assert bench.controller.counts['results_discarded'] == 1
    assert not bench.proposal().action.twist.any()
    assert bench.ask().wording == 'wave'


@pytest.mark.parametrize('has_odometry', [True, False])
def test_a_quantity_is_stopped_between_two_ticks_and_asks_for_nothing_more(
        has_odometry: bool) -> None:
    """At 10 Hz a base would come 4 cm too far before the next tick."""
    bench = Bench('walk forward half a metre', has_odometry)
    bench.answer(bench.ask(), 0.4)
    bench.twist = np.array([0.4, 0.0, 0.0])
    began_s = bench.now_s
    while bench.controller.task.wording is not None:
        bench.controller.take_request()
        bench.controller.take_proposals()
        bench.wait(0.02)
    hold = bench.proposal()
    assert not hold.action.twist.any() and hold.stamp_ns <= bench.stamp_ns
    # From 0.4 m/s the base rolls on for 8.7 cm.
    assert 0.4 * (bench.now_s - began_s) == pytest.approx(0.423, abs=0.012)
    bench.twist = np.zeros(3)
    bench.wait(0.2)
    assert bench.controller.take_request() is None and bench.controller.task.is_active


def test_words_that_begin_anew_see_a_way_that_begins_anew() -> None:
    bench = Bench('walk forward two metres')
    bench.drive(2.0, 0.4, 0.0, 0.3)
    bench.twist = np.zeros(3)
    bench.finish()
    way = bench.controller.senses.way(bench.now_s)
    assert way is not None and way.travelled == pytest.approx([0.8, 0.0, 0.6], abs=0.02)
    bench.drive(0.5, 0.4 * np.cos(0.6), 0.4 * np.sin(0.6), 0.1)  # ahead, as the base stands
    request = bench.ask()
    assert request.wording == 'walk forward'
    seen: RobotObservation = request.observation
    assert seen.travelled == pytest.approx([0.22, 0.0, 0.05], abs=0.04)
    assert seen.elapsed_s < 0.6


def test_a_base_whose_odometry_is_silent_is_not_judged() -> None:
    bench = Bench('walk forward half a metre')
    bench.drive(1.2, 0.42, 0.0, 0.0)
    assert bench.controller.task.wording is None
    bench.twist = np.zeros(3)
    bench.wait(1.0, hears=False)
    assert bench.controller.task.is_active
    bench.wait(0.5)
    assert not bench.controller.task.is_active


def test_a_stop_in_the_middle_ends_all_of_it_and_holds_at_once() -> None:
    bench = Bench('walk forward two metres, then wave, then look up')
    bench.answer(bench.ask(), 0.4)
    bench.twist = np.array([0.4, 0.0, 0.0])
    bench.wait(1.0)
    bench.controller.on_command('stop', bench.now_s)
    assert not bench.proposal().is_answer
    bench.wait(20.0)
    assert bench.controller.task.describe() == 'DONE: stop'
    assert not bench.proposal().action.twist.any()


def test_an_emergency_stop_ends_all_of_it() -> None:
    bench = Bench('wave, then look up')
    bench.finish()
    bench.controller.on_safety(SafetyState.ESTOP, 'button', bench.now_s)
    assert bench.controller.task.describe() == \
        'FAILED: wave, then look up (step 2 of 2, look up: ESTOP: button)'
    bench.wait(0.5)
    assert bench.controller.take_request() is None


def test_diagnostics_show_the_step() -> None:
    bench = Bench('wave, then walk forward two metres')
    assert bench.controller.health(bench.now_s)[2]['step'] == '1 of 2: wave'
    bench.finish()
    assert bench.controller.health(bench.now_s)[2]['step'] == \
        '2 of 2: walk forward, went 0 m of 2 m'
    bench.controller.stop(bench.now_s)
    assert bench.controller.health(bench.now_s)[2]['step'] == ''
