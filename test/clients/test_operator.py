"""`vla say`, `vla stop` and `vla reset` against a controller and a monitor played by the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.ros import qos
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import full_name, read_namespace

pytestmark = pytest.mark.ros


class Robot:
    """Plays the graph of a robot.

    Attributes:
        heard: Every command.
        answers: Lines of `/vla/task_state` that a command leads to.
        calls: Every service that was called.
        refusal: Why services refuse; '' where they do as they are asked.
    """

    def __init__(self, context: Any, namespace: str = '') -> None:
        self.heard: list[str] = []
        self.calls: list[str] = []
        self.answers: Callable[[str], list[str]] = lambda words: [f'RUNNING: {words}']
        self.refusal = ''
        self.name = f'{namespace}/vla_controller'.removeprefix('/')
        self.node = rclpy.create_node('vla_controller', context=context)
        self._state = self.node.create_publisher(String, f'{namespace}/vla/task_state', qos.STATE)
        self._health = self.node.create_publisher(DiagnosticArray, f'{namespace}/diagnostics',
                                                  qos.EVENT)
        self.say('IDLE')
        self.node.create_subscription(String, f'{namespace}/vla_command', self._on_command,
                                      qos.EVENT)
        for name in ('emergency_stop', 'reset'):
            self.node.create_service(Trigger, f'{namespace}/safety/{name}',
                                     lambda _, answer, name=name: self._on_call(name, answer))

    def say(self, line: str) -> None:
        self._state.publish(String(data=line))

    def tell_health(self, message: str) -> None:
        self._health.publish(DiagnosticArray(status=[
            DiagnosticStatus(name=self.name, message=message)]))

    def _on_command(self, msg: String) -> None:
        self.heard.append(msg.data)
        for line in self.answers(msg.data):
            self.say(line)

    def _on_call(self, name: str, answer: Trigger.Response) -> Trigger.Response:
        self.calls.append(name)
        answer.success, answer.message = not self.refusal, self.refusal or 'Done as asked.'
        return answer


class Graph:
    """A context with its executor in a thread; nodes join when a test adds them."""

    def __init__(self, domain_id: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self._thread = threading.Thread(target=self.executor.spin, daemon=True)
        self._thread.start()

    def robot(self, namespace: str = '') -> Robot:
        robot = Robot(self.context, namespace)
        self.executor.add_node(robot.node)
        return robot

    def end(self) -> None:
        self.executor.shutdown()
        self._thread.join(5.0)
        rclpy.shutdown(context=self.context)


@pytest.fixture
def graph(domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    running = Graph(domain_id)
    yield running
    running.end()


def test_a_command_is_confirmed(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    robot = graph.robot()
    assert main(['say', 'walk', 'forward']) == 0
    assert capsys.readouterr().out == 'RUNNING: walk forward\n'
    assert robot.heard == ['walk forward']


@pytest.mark.timeout(60)
def test_a_command_waits_for_the_controller_beside_a_recorder(
        graph: Graph, domain_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Regression: `ros2 topic pub --once` was content with any listener, and gone before the
    controller was found.
    """
    recorded: list[str] = []
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    recorder = rclpy.create_node('recorder', context=context)
    recorder.create_subscription(String, '/vla_command', lambda m: recorded.append(m.data),
                                 qos.EVENT)
    late = threading.Timer(2.0, graph.robot)  # long after the recorder was found
    late.start()
    assert main(['say', 'walk forward', '--timeout', '40']) == 0
    late.join()
    assert capsys.readouterr().out == 'RUNNING: walk forward\n'
    recorder.destroy_node()
    rclpy.shutdown(context=context)


def test_with_nobody_there_one_sentence_says_what_to_do(
        graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    listener = rclpy.create_node('recorder', context=graph.context)
    listener.create_subscription(String, '/vla_command', lambda m: None, qos.EVENT)
    for verb in (['say', 'wave'], ['stop'], ['reset']):
        assert main([*verb, '--timeout', '2']) == 2
        message = capsys.readouterr().err.strip()
        assert len(message.splitlines()) == 1
        assert 'ROS_DOMAIN_ID' in message
        assert verb[0] != 'say' or 'Only recorder listens' in message


@pytest.mark.parametrize(('lines', 'code'), [
    (['RUNNING: wave', 'HELD: wave (low)', 'DONE: wave'], 0),
    (['RUNNING: wave', 'FAILED: wave (retries exhausted)'], 1),
    (['FAILED: wave (refused in ESTOP: button)'], 1),
    (['RUNNING: wave', 'IDLE'], 1)])
def test_a_task_is_followed_to_its_end(lines: list[str], code: int, graph: Graph,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    robot = graph.robot()

    def tell(words: str) -> list[str]:
        for number, line in enumerate(lines):
            threading.Timer(0.3 * number, robot.say, [line]).start()
        return []
    robot.answers = tell
    assert main(['say', 'wave', '--wait']) == code
    assert lines[-1] in capsys.readouterr().out.splitlines()[-1]


def test_what_is_under_way_or_refused_again_is_no_news(
        graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    """The controller tells of a change, and a command given twice changes nothing."""
    robot = graph.robot()
    robot.answers = lambda words: []
    for line, words, code in (('HELD: walk forward (low)', 'Walk forward', 0),
                              ('FAILED: wave (refused in ESTOP: button)', 'wave', 1),
                              ('DONE: stop', 'stop', 0)):
        robot.say(line)
        assert main(['say', words]) == code
        assert capsys.readouterr().out.strip() == line


@pytest.mark.parametrize('namespace', ['', '/robot1'])
def test_a_controller_that_does_not_take_it_up_is_quoted(
        namespace: str, graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    robot = graph.robot(namespace)

    def refuse(_words: str) -> list[str]:
        robot.tell_health('command refused: too long')
        return []
    robot.answers = refuse
    assert main(['say', 'wave', '--timeout', '5', '--namespace', namespace]) == 1
    assert 'command refused: too long' in capsys.readouterr().out


@pytest.mark.parametrize('words', ['', '   ', '\x07', 'x' * 501])
def test_what_is_no_command_is_not_sent(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['say', words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(('verb', 'service'), [('stop', 'emergency_stop'), ('reset', 'reset')])
def test_stop_and_reset_are_answered(verb: str, service: str, graph: Graph,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    robot = graph.robot()
    assert main([verb]) == 0
    assert capsys.readouterr().out == 'Done as asked.\n'
    robot.refusal = 'Refused: the emergency stop is still pressed.'
    assert main([verb]) == 1
    assert capsys.readouterr().out.strip() == robot.refusal
    assert set(robot.calls) == {service}


def test_a_namespace_reaches_its_robot_alone(graph: Graph) -> None:
    first, second = graph.robot('/robot1'), graph.robot('/robot2')
    assert main(['say', 'wave', '--namespace', 'robot1']) == 0
    assert main(['stop', '--namespace', '/robot2/']) == 0
    assert (first.heard, second.heard) == (['wave'], [])
    assert (first.calls, second.calls) == ([], ['emergency_stop'])


def test_names_in_a_namespace() -> None:
    assert full_name('/vla_command', read_namespace('')) == '/vla_command'
    assert full_name('/vla_command', read_namespace('fleet/r1/')) == '/fleet/r1/vla_command'
    for wrong in ('1robot', 'robot-1', 'a//b', 'ä'):
        with pytest.raises(UserError, match='letters, digits'):
            read_namespace(wrong)
