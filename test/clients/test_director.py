"""The director against a controller and a simulator that are played by the test."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_humanoid_control.clients.director import Director, EpisodeOutcome
from vla_humanoid_control.ros import qos
from vla_humanoid_control.tasks import task as tasks

pytestmark = pytest.mark.ros
LIMIT_S = 1.5


class Others:
    """Stands in for the graph: says what it is told to say, a line every 0.1 s.

    Attributes:
        heard: Every command.
        answer: The lines of `/vla/task_state`, and of `/safety/state`, that a command leads to.
        achieved: Whether what is judged now is achieved, by the key of its task.
        judged: Keys of what was judged, in order.
    """

    def __init__(self, context: Any) -> None:
        self.heard: list[str] = []
        self.answer: Callable[[str], list[str]] = lambda words: []
        self.achieved: Callable[[str], bool] = lambda key: True
        self.judged: list[str] = []
        self._lines: deque[str] = deque()
        self._scene, self._task = 0, 'IDLE'
        self.node = rclpy.create_node('humanoid_sim', context=context)
        for name, value in (('scene_seed', 0), ('scene_task', ''), ('scene_distractors', -1),
                            ('scene_twins', 0)):
            self.node.declare_parameter(name, value)
        self.node.create_service(Trigger, '/humanoid_sim/reset', self._on_reset)
        self.node.create_service(Trigger, '/humanoid_sim/watch', self._on_watch)
        self._truth = self.node.create_publisher(String, '/humanoid_sim/task_truth', qos.STREAM)
        self._states = {name: self.node.create_publisher(String, name, qos.STATE)
                        for name in ('/vla/task_state', '/safety/state')}
        self.node.create_subscription(String, '/vla_command', self._on_command, qos.EVENT)
        self._say('IDLE')
        self._say('HOLD: the gate is closed')
        self.node.create_timer(0.1, self._tick)

    def _say(self, line: str) -> None:
        safety = line.startswith(('RUN:', 'SLOW', 'HOLD', 'STOP'))
        self._states['/safety/state' if safety else '/vla/task_state'].publish(String(data=line))

    def _on_command(self, msg: String) -> None:
        self.heard.append(msg.data)
        lines = [f'DONE: {msg.data}'] if msg.data in ('stop', 'halt') else self.answer(msg.data)
        self._lines.extend(line for line in lines if line != self._task)
        self._task = lines[-1] if lines else self._task

    def _tick(self) -> None:
        if self._lines:
            self._say(self._lines.popleft())
        success = not self.judged or self.achieved(self.judged[-1])
        self._truth.publish(String(data=json.dumps({'scene': self._scene, 'success': success})))

    def _on_reset(self, request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self._scene += 1
        return self._agree(request, answer)

    def _on_watch(self, request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self.judged.append(self.node.get_parameter('scene_task').value)
        return self._agree(request, answer)

    def _agree(self, _request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        answer.success = True
        return answer


@pytest.fixture
def others(domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Others]:
    monkeypatch.setitem(tasks._TIME_LIMIT_S, 'gesture', LIMIT_S)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))  # the director's
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    played = Others(context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(played.node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield played
    executor.shutdown()
    thread.join(5.0)
    played.node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def director(others: Others) -> Iterator[Director]:
    with Director(False, lambda: None) as client:
        client.wait_until_ready()
        yield client


def episode(director: Director, instruction: str, key: str = 'gesture:wave') -> EpisodeOutcome:
    return director.run_episode(instruction, tasks.Task.from_key(key), 1)


def test_a_controller_that_does_not_react_has_declared_nothing(director: Director,
                                                               others: Others) -> None:
    """What stood there before, 'DONE: stop', passed for the end of the new task."""
    outcome = episode(director, 'wave')
    assert others.heard[:2] == ['stop', 'wave']
    assert not outcome.declared_done
    assert not outcome.success
    assert 'did not react' in outcome.task_state


def test_the_time_limit_is_that_of_the_task(director: Director, others: Others) -> None:
    """It was up to two seconds more."""
    others.answer = lambda words: [f'RUNNING: {words}']
    outcome = episode(director, 'wave')
    assert not outcome.declared_done
    assert LIMIT_S <= outcome.seconds < LIMIT_S + 0.5
    others.answer = lambda words: []
    assert LIMIT_S <= episode(director, 'wave').seconds < LIMIT_S + 0.5


def test_retries_and_interventions_are_counted(director: Director, others: Others) -> None:
    """Retries were always 0."""
    others.answer = lambda words: [
        f'RUNNING: {words}', f'RETRYING: {words} (retry 1 of 3: low)', 'SLOW: a table',
        f'RETRYING: {words} (retry 2 of 3: low)', 'STOP: a wall', 'HOLD: the gate is closed',
        f'RUNNING: {words}', f'DONE: {words}']
    outcome = episode(director, 'wave')
    assert (outcome.success, outcome.declared_done) == (True, True)
    assert (outcome.retries, outcome.interventions) == (2, 2)
    assert outcome.task_state == 'DONE: wave'


def test_an_instruction_to_stop_is_told_from_the_stop_before_it(director: Director,
                                                                others: Others) -> None:
    outcome = episode(director, 'stop')
    assert others.heard[0] == 'halt'
    assert outcome.declared_done
    assert outcome.seconds < 1.0


def test_who_did_not_hear_is_not_held(director: Director, others: Others) -> None:
    """Where the robot must not act, a controller that does not react would always succeed."""
    deaf = episode(director, 'file my taxes', 'out_of_scope')
    assert not deaf.success
    assert 'did not react' in deaf.task_state
    others.answer = lambda words: [f'RUNNING: {words}', f'HELD: {words} (low)']
    held = episode(director, 'file my taxes', 'out_of_scope')
    assert held.success
    assert held.held is not None and not held.held.acted
    assert not held.held.refused


def test_what_is_refused_as_it_is_read_is_told_from_what_the_gate_holds(director: Director,
                                                                        others: Others) -> None:
    others.answer = lambda words: [f'FAILED: {words} (say what to do)']
    outcome = episode(director, 'never wave', 'out_of_scope')
    assert outcome.success
    assert outcome.held is not None and outcome.held.refused == 'say what to do'


SAID, STEPS = 'turn left and then wave', 'turn:left+gesture:wave'


def lines(words: str) -> list[str]:
    return [f'RUNNING: {words} (step 1 of 2: turn left)', f'HELD: {words} (step 1 of 2: a hand)',
            f'RUNNING: {words} (step 1 of 2: turn left)', f'RUNNING: {words} (step 2 of 2: wave)',
            f'RUNNING: {words} (step 2 of 2: wave)', f'DONE: {words}']


def test_each_step_is_judged_from_when_the_robot_goes_on_to_it(director: Director,
                                                               others: Others) -> None:
    others.answer = lines
    outcome = episode(director, SAID, STEPS)
    assert (outcome.success, outcome.declared_done, outcome.problem) == (True, True, '')
    assert others.judged == ['turn:left', 'gesture:wave']


@pytest.mark.parametrize(('missing', 'says'), [
    ('turn:left', 'step 1 of 2 (turn:left) was not achieved when the robot went on'),
    ('gesture:wave', 'declared done, but it was not: step 2 of 2 (gesture:wave)')])
def test_a_step_that_was_not_achieved_is_named(director: Director, others: Others, missing: str,
                                               says: str) -> None:
    others.answer, others.achieved = lines, lambda key: key != missing
    outcome = episode(director, SAID, STEPS)
    assert outcome.declared_done and not outcome.success
    assert outcome.problem == says


def test_done_before_the_last_step_is_not_done(director: Director, others: Others) -> None:
    others.answer = lambda words: [*lines(words)[:3], f'DONE: {words}']
    outcome = episode(director, SAID, STEPS)
    assert outcome.problem == 'declared done at step 1 of 2 (turn:left)'
