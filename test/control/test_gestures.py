"""A gesture that is done several times: counted by the joints, which are brought back between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from controller_bench import HOME, ROBOT, SPEC, ControllerBench

from vla_humanoid_control.control.gestures import GestureWatch
from vla_humanoid_control.control.inference import Request
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.types import Proposal


def at(gesture: str, share: float) -> dict[str, float]:
    """Joints on their way to a posture."""
    posture = ROBOT.gestures.postures[gesture]
    return {**HOME, **{n: HOME[n] + share * (to - HOME[n]) for n, to in posture.items()}}


@pytest.mark.parametrize('gesture', ['raise_left', 'raise_right', 'look_left', 'look_right',
                                     'look_up', 'look_down'])
def test_a_gesture_is_shown_at_its_posture_and_over_at_home(gesture: str) -> None:
    watch = GestureWatch(f'gesture:{gesture}', ROBOT)
    watch.take(at(gesture, 0.3))
    assert not watch.is_shown and not watch.is_back
    watch.take(at(gesture, 0.95))
    assert watch.is_shown and not watch.is_back
    watch.take(at(gesture, 0.05))
    assert watch.is_shown and watch.is_back
    assert watch.home == {n: HOME[n] for n in ROBOT.gestures.postures[gesture] if
                          HOME[n] != ROBOT.gestures.postures[gesture][n]}


def test_what_is_not_heard_of_all_joints_is_no_gesture() -> None:
    watch = GestureWatch('gesture:raise_left', ROBOT)
    watch.take({'left_elbow': HOME['left_elbow']})
    assert not watch.is_shown and not watch.is_back
    watch.take({n: p for n, p in HOME.items() if n != 'left_elbow'})  # in two readings
    assert watch.is_back


class Bench(ControllerBench):
    """A robot whose joints follow what is proposed, and a policy that raises or does nothing."""

    def __init__(self, text: str, robot: RobotSpec = ROBOT) -> None:
        super().__init__(robot)
        self.joints = dict(HOME)
        self.works = True
        self.asked: list[str] = []
        self.peaks = 0
        self._was_up = False
        self.wait(0.2)
        self.controller.on_command(text, self.now_s)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.step(self.joints)
            if (request := self.controller.take_request()) is not None:
                self.asked.append(request.wording)
                self._infer(request)
            for proposal in self.controller.take_proposals():
                assert isinstance(proposal, Proposal) and not proposal.action.twist.any()
                for name, to in proposal.action.joints.items():
                    self.joints[name] += float(np.clip(to - self.joints[name], -0.15, 0.15))
            is_up = self.joints['left_shoulder_pitch'] < -2.2
            self.peaks += is_up and not self._was_up
            self._was_up = is_up

    def _infer(self, request: Request) -> None:
        aim = at('raise_left', 1.0) if self.works else HOME
        row = [aim.get(c, 0.0) for c in SPEC.channels]
        away = abs(self.joints['left_shoulder_pitch'] - aim['left_shoulder_pitch'])
        self.give(request, np.array([row] * SPEC.horizon, np.float32),
                  1.0 if away < 0.2 else 0.1)


@pytest.mark.parametrize(('text', 'times'), [
    ('raise your left hand', 1), ('raise your left hand twice', 2),
    ('raise your left hand three times', 3),
    ('raise your left hand and then raise your left hand', 2),
    ('raise your left hand, then again', 2)])
def test_a_hand_goes_up_as_often_as_was_said(text: str, times: int) -> None:
    bench = Bench(text)
    bench.wait(30.0)
    assert bench.controller.task.describe() == f'DONE: {text}'
    assert bench.peaks == times


def test_the_policy_is_not_asked_while_the_hand_comes_down() -> None:
    bench = Bench('raise your left hand twice')
    task = bench.controller.task
    while not task.returns_to:
        bench.wait(0.02)
    asked = len(bench.asked)
    assert task.describe() == \
        'RUNNING: raise your left hand twice (step 2 of 2: raise your left hand)'
    while task.returns_to:
        bench.wait(0.02)
    assert len(bench.asked) <= asked + 1
    assert abs(bench.joints['left_shoulder_pitch'] - HOME['left_shoulder_pitch']) < 0.65


def test_a_hand_that_does_not_come_down_is_told() -> None:
    bench = Bench('raise your left hand twice')
    while not bench.controller.task.returns_to:
        bench.wait(0.02)
    bench.joints = at('raise_left', 1.0)
    for _ in range(1600):
        bench.joints['left_shoulder_pitch'] = at('raise_left', 1.0)['left_shoulder_pitch']
        bench.wait(0.02)
    assert bench.controller.task.describe() == (
        'FAILED: raise your left hand twice (step 2 of 2, raise your left hand: '
        'not done after 30 s: the joints did not come back for it)')


def test_a_policy_that_says_done_without_raising_is_not_believed() -> None:
    bench = Bench('raise your left hand twice')
    bench.works = False
    bench.wait(5.0)
    assert bench.controller.task.describe() == (
        'FAILED: raise your left hand twice (step 1 of 2, raise your left hand: '
        'by the joints it was not done)')


def test_a_stop_leaves_the_hand_where_it_is() -> None:
    bench = Bench('raise your left hand twice')
    while not bench.controller.task.returns_to:
        bench.wait(0.02)
    bench.wait(0.1)
    bench.controller.on_command('stop', bench.now_s)
    where = dict(bench.joints)
    bench.wait(1.0)
    assert bench.joints == where


def test_without_a_posture_in_the_robot_file_it_is_held() -> None:
    bare = replace(ROBOT, gestures=replace(ROBOT.gestures, postures={}))
    bench = Bench('raise your left hand twice', bare)
    assert 'no posture raise_left' in bench.controller.task.describe()
    assert bench.controller.task.describe().startswith('FAILED')
