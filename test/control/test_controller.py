"""The controller by itself: what is heard goes in, requests and proposals come out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.control.dialogue import NEWS_S
from vla_humanoid_control.control.inference import Outcome, Request
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import (
    Fault,
    JointReading,
    OdometryReading,
    Proposal,
    RobotChunk,
    RobotObservation,
    SafetyState,
    ScanReading,
)

ROBOT = load_robot('humanoid')
POLICY = ScriptedRobot(ROBOT)
HOME = {j.name: j.home for j in ROBOT.joints}
STOP = 'emergency stop (topic)'


class Bench:
    """A controller whose senses are fed by hand, with a clock that is moved by hand."""

    def __init__(self, task: TaskConfig | None = None) -> None:
        self.controller = Controller(POLICY.spec, ROBOT, ControllerConfig(), FrameLimits(),
                                     task or TaskConfig())
        self.now_s = 100.0
        self.random = np.random.default_rng(0)
        self.camera_on = self.joints_on = self.odometry_on = True
        self.wait(0.0)

    @property
    def task(self) -> str:
        return self.controller.task.describe()

    def wait(self, seconds: float) -> None:
        """Let time pass in steps of 20 ms: senses at each, a tick at every fifth."""
        for step in range(round(seconds / 0.02) + 1):
            if step:
                self.now_s += 0.02
            if self.joints_on:
                self.controller.on_joints(JointReading(self.stamp_ns, HOME), self.now_s)
            if self.odometry_on:
                self.controller.on_odometry(OdometryReading(
                    self.stamp_ns, np.zeros(3), np.zeros(3)), self.now_s)
            if step % 5 == 0:
                self.controller.tick(self.now_s)
            if self.camera_on:
                self.see()

    def see(self) -> str:
        image = self.random.integers(0, 256, (48, 64, 3), np.uint8)
        return self.controller.on_frame('head', image, self.stamp_ns, self.stamp_ns, self.now_s)

    @property
    def stamp_ns(self) -> int:
        return int(self.now_s * 1e9)

    def say(self, text: str) -> None:
        self.controller.on_command(text, self.now_s)

    def safety(self, state: str, reason: str = '') -> None:
        self.controller.on_safety(SafetyState(state), reason, self.now_s)

    def request(self) -> Request:
        request = self.controller.take_request()
        assert request is not None
        return request

    def answer(self, request: Request, chunk: RobotChunk | None, error: str = '') -> None:
        self.controller.on_outcome(Outcome(request, chunk, error, False, 0.01), self.now_s)

    def chunk(self, **other: Any) -> RobotChunk:
        actions = np.zeros((POLICY.spec.horizon, len(POLICY.spec.channels)), np.float32)
        given = {'channels': POLICY.spec.channels, 'actions': actions, 'dt_s': POLICY.spec.dt_s,
                 'confidence': 0.9, 'progress': 0.1, **other}
        return RobotChunk(**given)


def test_a_command_is_inferred_from_the_next_frame_and_proposed_when_answered() -> None:
    bench = Bench()
    bench.controller.take_proposals()
    bench.say('walk forward')
    assert bench.controller.take_request() is None
    assert not bench.see()
    request = bench.request()
    assert request.wording == 'walk forward'
    assert request.observation.stamp_ns == bench.stamp_ns
    bench.controller.take_proposals()
    bench.now_s += 0.01
    actions = np.zeros((8, len(POLICY.spec.channels)), np.float32)
    actions[:, 0] = 0.2
    bench.answer(request, bench.chunk(actions=actions))
    proposal, = bench.controller.take_proposals()
    assert isinstance(proposal, Proposal)
    assert proposal.action.twist[0] == pytest.approx(0.2) and proposal.confidence == 0.9
    assert proposal.stamp_ns == request.observation.stamp_ns


def test_one_request_at_a_time() -> None:
    bench = Bench()
    bench.say('walk forward')
    bench.see()
    request = bench.request()
    bench.wait(0.3)
    assert bench.controller.take_request() is None
    bench.answer(request, bench.chunk())
    bench.wait(0.1)
    assert bench.controller.take_request() is not None


def test_a_policy_that_is_away_is_asked_again_when_it_says_so_and_loses_no_retry() -> None:
    bench = Bench()
    bench.wait(0.1)
    bench.say('walk forward')
    bench.see()
    bench.controller.take_proposals()
    outcome = Outcome(bench.request(), None, 'the server is away', False, 0.01, 0.5)
    bench.controller.on_outcome(outcome, bench.now_s)
    fault, = bench.controller.take_proposals()
    assert isinstance(fault, Fault) and fault.reason == 'the server is away'
    asked_s = bench.now_s
    bench.wait(0.44)
    assert bench.controller.take_request() is None
    assert bench.task == 'HELD: walk forward (the server is away)'
    assert all(isinstance(p, Fault) for p in bench.controller.take_proposals())
    bench.wait(0.2)
    request = bench.request()
    assert request.wording == 'walk forward' and bench.now_s - asked_s < 0.7
    bench.answer(request, bench.chunk())
    assert isinstance(bench.controller.take_proposals()[-1], Proposal)
    assert bench.controller.task.attempt == 0 and not bench.controller.fault


def test_an_answer_to_an_older_command_is_discarded() -> None:
    bench = Bench()
    bench.say('walk forward')
    bench.see()
    request = bench.request()
    bench.say('turn left')
    bench.answer(request, bench.chunk())
    assert bench.controller.counts['results_discarded'] == 1
    assert bench.controller.answered is None


def test_a_command_during_an_emergency_stop_is_refused_with_the_reason() -> None:
    """Regression: it began, and ended without a word when the stop was next heard of."""
    bench = Bench()
    bench.say('walk forward')
    bench.safety('ESTOP', STOP)
    assert bench.task == f'FAILED: walk forward (ESTOP: {STOP})'
    bench.say('wave')
    bench.wait(NEWS_S + 0.1)
    assert bench.task == f'FAILED: wave (refused in ESTOP: {STOP})'
    assert bench.controller.dialogue.counts['commands_rejected'] == 1
    bench.safety('ESTOP', STOP)  # said again once a second
    assert bench.task.startswith('FAILED: wave')
    bench.say('stop')
    assert bench.task == 'DONE: stop'
    bench.safety('STOP', 'recovering')
    bench.say('wave')
    assert bench.task == 'RUNNING: wave'


def test_a_command_that_overtakes_the_news_of_a_reset_is_carried_out() -> None:
    """Regression: a command right after a reset could be refused as given before it."""
    bench = Bench()
    bench.safety('ESTOP', STOP)
    bench.say('wave')
    bench.wait(0.1)
    assert not bench.controller.task.is_active
    bench.safety('HOLD', 'no task')
    assert bench.task == 'RUNNING: wave'
    bench.wait(NEWS_S)
    assert bench.task == 'RUNNING: wave'


def test_a_stop_undoes_a_command_that_waits_for_the_news_of_a_reset() -> None:
    """The last word counts, whatever safety says after it."""
    bench = Bench()
    bench.safety('ESTOP', STOP)
    bench.say('wave')
    bench.say('stop')
    bench.safety('HOLD', 'no task')
    assert bench.task == 'DONE: stop'


def test_a_task_of_an_idle_robot_begins_with_a_hold() -> None:
    """Regression: right after a reset, safety waited for one until the task had failed."""
    bench = Bench()
    bench.controller.take_proposals()
    bench.say('walk forward')
    hold = bench.controller.take_proposals()[0]
    assert isinstance(hold, Proposal)
    assert not hold.action.twist.any() and not hold.action.joints
    assert hold.confidence == 0.0 and hold.stamp_ns > 0


def test_a_stop_waits_for_no_tick() -> None:
    bench = Bench()
    bench.say('walk forward')
    bench.controller.take_proposals()
    bench.say('stop')
    hold, = bench.controller.take_proposals()
    assert isinstance(hold, Proposal) and hold.confidence == 0.0


@pytest.mark.parametrize('speed', [math.nan, math.inf, 1e308, -7.0])
def test_commands_that_safety_never_gave_are_no_way_travelled(speed: float) -> None:
    """Regression: one NaN of a foreign publisher spoilt the odometry of the whole task."""
    bench = Bench()
    for vx in (0.3, speed, 0.3):
        bench.controller.on_twist(np.array([vx, 0.0, 0.0]), bench.now_s)
        bench.now_s += 0.02
    assert bench.controller.is_moving(bench.now_s)
    way = bench.controller.senses._commanded.travelled(bench.now_s)
    assert 0.0 < way[0] < 0.3


def test_an_inference_that_hangs_is_reported_until_it_hangs_no_longer() -> None:
    """Regression: it stayed an error until the next command."""
    bench = Bench()
    bench.say('wave')
    bench.see()
    request = bench.request()
    bench.wait(1.2)
    assert bench.task.startswith('RETRYING: wave (retry 1 of 3: inference hangs for 1.')
    assert any(isinstance(p, Fault) for p in bench.controller.take_proposals())
    bench.say('stop')
    bench.wait(1.2)
    assert bench.controller.health(bench.now_s)[:2] == ('error', bench.controller.fault)
    bench.answer(request, None, 'too late')
    assert bench.controller.health(bench.now_s)[0] == 'ok'


@pytest.mark.parametrize('spoilt', [
    {'actions': None}, {'actions': 'forward'}, {'actions': [[0.1]]},
    {'actions': np.full((8, 22), None)}, {'actions': np.full((8, 22), np.nan, np.float32)},
    {'channels': ('a',)}])
def test_a_policy_that_gives_nonsense_fails_the_task_and_not_the_controller(
        spoilt: dict[str, Any]) -> None:
    """Regression: the controller's process ended with a TypeError."""
    bench = Bench()
    bench.say('wave')
    for retry in range(4):
        bench.wait(0.1)  # a retry begins with the next tick
        bench.answer(bench.request(), bench.chunk(**spoilt))
        assert bench.task.startswith('RETRYING' if retry < 3 else 'FAILED')
        assert 'chunk' in bench.task
        if retry < 3:
            assert isinstance(bench.controller.take_proposals()[-1], Fault)


@pytest.mark.parametrize(('sense', 'reason'), [
    ('camera_on', 'camera head: no frame'), ('joints_on', 'joint_states: nothing heard for 0.3 s'),
    ('odometry_on', 'odometry: nothing heard for 0.5 s')])
def test_the_task_says_which_sense_is_missing(sense: str, reason: str) -> None:
    """Regression: people read 'the policy gave no result', and health stayed OK."""
    bench = Bench()
    setattr(bench, sense, False)
    bench.wait(1.5)
    level, problem, _ = bench.controller.health(bench.now_s)
    assert level == 'error' and problem.startswith(reason)
    bench.say('walk forward')
    bench.wait(1.0)
    assert bench.task.startswith(f'HELD: walk forward ({reason}')
    assert bench.controller.take_request() is None
    setattr(bench, sense, True)
    bench.wait(0.2)
    assert bench.controller.take_request() is not None


def test_a_joint_that_is_missing_is_named() -> None:
    bench = Bench()
    bench.joints_on = False
    positions = {k: v for k, v in HOME.items() if k != 'left_elbow'}
    bench.say('walk forward')
    for _ in range(4):
        bench.controller.on_joints(JointReading(bench.stamp_ns, positions), bench.now_s)
        bench.wait(0.2)
    assert bench.task.startswith('HELD: walk forward (joint_states: left_elbow not heard for')


def test_a_reason_whose_figures_change_is_no_news() -> None:
    """A stamp that grows older with every frame would be published as news ten times a second."""
    bench = Bench()
    bench.camera_on = False
    bench.say('walk forward')
    lines = set()
    for age in range(20):
        bench.controller.on_frame('head', np.zeros((4, 4, 3), np.uint8), 10**9,
                                  int((5 + 0.3 * age) * 1e9), bench.now_s)
        bench.wait(0.1)
        lines.add(bench.task)
    assert len({line for line in lines if line.startswith('HELD')}) == 1


def test_the_way_is_measured_where_the_robot_has_odometry() -> None:
    """Regression: it was what had been commanded, whether the base moved or not."""
    bench = Bench()
    bench.say('walk forward')
    for _ in range(10):
        bench.controller.on_twist(np.array([0.3, 0.0, 0.0]), bench.now_s)
        bench.wait(0.1)
    bench.see()
    observation: RobotObservation = bench.request().observation
    assert not observation.travelled.any()


def test_a_base_that_is_told_in_another_language_is_not_guessed_at() -> None:
    """Without odometry the way is what was commanded: who cannot hear that must not act."""
    sensors = {k: v for k, v in ROBOT.sensors.items() if k != 'odom'}
    from dataclasses import replace
    bench = Bench()
    bench.controller = Controller(POLICY.spec, replace(ROBOT, sensors=sensors),
                                  ControllerConfig(), FrameLimits(), TaskConfig())
    bench.controller.senses.base_problem = '/cmd_vel is published as TwistStamped'
    bench.wait(0.1)
    bench.say('walk forward')
    bench.wait(0.3)
    assert bench.controller.take_request() is None
    bench.controller.senses.base_problem = ''
    bench.wait(0.1)
    assert bench.controller.take_request() is not None


@pytest.mark.parametrize(('words', 'detour_s', 'rows', 'aside'), [
    ('go to the red box', 0.8, 8, True), ('go to the red box', 0.0, 8, False),
    ('go to the red box', 0.8, 2, False), ('walk forward', 0.8, 8, False),
    ('walk forward two metres', 0.8, 8, False)])
def test_only_a_step_to_an_object_goes_around_what_is_in_the_way(
        words: str, detour_s: float, rows: int, aside: bool) -> None:
    """Where the person said which way, that is the way, or none; nor where it plans to stop."""
    bench = Bench()
    bench.controller.configure(config=ControllerConfig(detour_s=detour_s))
    bench.say(words)
    bench.see()
    ranges = np.full(180, np.inf)
    ranges[84:97] = 0.6  # ahead
    for _ in range(3):
        bench.controller.on_scan(ScanReading(bench.stamp_ns, -math.pi, math.pi / 90, 0.05, 10.0,
                                             ranges), bench.now_s)
        bench.now_s += 0.01
    actions = np.zeros((8, len(POLICY.spec.channels)), np.float32)
    actions[:rows, 0] = 0.4
    bench.controller.take_proposals()
    bench.answer(bench.request(), bench.chunk(actions=actions))
    proposal, = bench.controller.take_proposals()
    assert isinstance(proposal, Proposal)
    assert bool(abs(proposal.action.twist[1]) > 0.1) is aside
    assert bench.controller.health(bench.now_s)[2]['detour'] is aside
    if not aside:
        assert proposal.action.twist.tolist() == pytest.approx([0.4, 0.0, 0.0])
