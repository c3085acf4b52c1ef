"""The lifecycle that all nodes share: what fails leaves nothing half done behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import ManagedNode
from vla_humanoid_control.support.errors import UserError

pytestmark = pytest.mark.ros

FAILURE, ERROR, SUCCESS = (TransitionCallbackReturn.FAILURE, TransitionCallbackReturn.ERROR,
                           TransitionCallbackReturn.SUCCESS)


class Example(ManagedNode):
    """Fails where it is told to, once."""

    def __init__(self, context: Any, **errors: Exception) -> None:
        super().__init__('example', context=context, start_parameter_services=False)
        self.errors = errors
        self.done: list[str] = []

    def configure(self) -> None:
        self.advertise(String, '/example', qos.STATE)
        self.advertise(String, '/said', qos.STREAM)
        self.subscribe(String, '/heard', lambda _: None, qos.STREAM)
        self._do('configure')

    def activate(self) -> None:
        self.every(1.0, lambda: None)
        self._do('activate')

    def deactivate(self) -> None:
        self._do('deactivate')

    def release(self) -> None:
        self._do('release')

    @property
    def is_wired(self) -> bool:
        return any(p.topic_name == '/example' for p in self.publishers)

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.errors:
            raise self.errors.pop(what)


def test_refused_configuration_takes_down_what_was_wired(context: Any) -> None:
    node = Example(context, configure=UserError('no such file'))
    assert node.trigger_configure() == FAILURE
    assert not node.is_wired
    assert node.trigger_configure() == SUCCESS
    assert node.is_wired


def test_refused_activation_can_be_tried_again(context: Any) -> None:
    """It used to take down everything and to count as active all the same."""
    node = Example(context, activate=UserError('no library to draw with'))
    node.trigger_configure()
    assert node.trigger_activate() == FAILURE
    assert not node.is_active
    assert node.is_wired
    assert node.trigger_activate() == SUCCESS
    assert node.is_active


def test_timers_live_from_activation_to_deactivation(context: Any) -> None:
    """They used to live until cleanup: each activation added some."""
    node = Example(context)
    node.trigger_configure()
    before = len(list(node.timers))
    for _ in range(3):
        node.trigger_activate()
        assert len(list(node.timers)) == before + 1
        node.trigger_deactivate()
        assert len(list(node.timers)) == before
    node.errors['activate'] = UserError('no library to draw with')
    node.trigger_activate()
    assert len(list(node.timers)) == before


@pytest.mark.parametrize('where', ['configure', 'activate', 'deactivate'])
def test_a_defect_ends_the_node_with_nothing_left(context: Any, where: str) -> None:
    """It used to stay wired, and active, in a state that said unconfigured."""
    node = Example(context, **{where: RuntimeError('a defect')})
    answers = [node.trigger_configure()]
    if where != 'configure':
        answers.append(node.trigger_activate())
    if where == 'deactivate':
        answers.append(node.trigger_deactivate())
    assert answers == [SUCCESS] * (len(answers) - 1) + [ERROR]
    assert not node.is_active
    assert not node.is_wired
    assert node.done[-1] == 'release'


def spin_until(nodes: Sequence[Any], condition: Callable[[], bool]) -> None:
    executor = SingleThreadedExecutor(context=nodes[0].context)
    for node in nodes:
        executor.add_node(node)
    until = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()


@pytest.mark.parametrize('kind', ['publisher', 'subscriber'])
def test_a_qos_mismatch_is_over_when_all_who_do_not_match_are_gone(context: Any,
                                                                   kind: str) -> None:
    """It used to stay an error for ever."""
    node = Example(context)
    other = rclpy.create_node('other', context=context)
    node.trigger_configure()
    bad = [other.create_publisher(String, '/heard', qos.BUTTON_AT_BEST) for _ in range(2)] \
        if kind == 'publisher' else \
        [other.create_subscription(String, '/said', lambda _: None, qos.STATE) for _ in range(2)]
    topic = '/heard' if kind == 'publisher' else '/said'
    spin_until([node, other], lambda: topic in node.qos_problems)
    destroy = other.destroy_publisher if kind == 'publisher' else other.destroy_subscription
    destroy(bad.pop())
    asked = node.qos_problems[topic].ask_s
    spin_until([node, other], lambda: node.qos_problems[topic].ask_s > asked)
    assert topic in node.qos_problems
    destroy(bad.pop())
    spin_until([node, other], lambda: not node.qos_problems)
    again = other.create_publisher(String, '/heard', qos.BUTTON_AT_BEST)
    spin_until([node, other], lambda: '/heard' in node.qos_problems)
    other.destroy_publisher(again)
    node.trigger_cleanup()
    assert not node.qos_problems
    other.destroy_node()
    node.destroy_node()


def test_every_node_says_that_there_is_no_clock_until_there_is(context: Any) -> None:
    """Regression: stamps were told to be decades ahead, as simulated time stayed at zero."""
    node = Example(context)
    node.set_parameters([Parameter('use_sim_time', value=True)])
    other = rclpy.create_node('other', context=context)
    said: list[str] = []
    other.create_subscription(DiagnosticArray, '/diagnostics', lambda msg: said.extend(
        s.message for s in msg.status if s.name == 'example'), 10)
    spin_until([node, other], lambda: any('nobody publishes /clock' in s for s in said))
    publisher, number = other.create_publisher(Clock, '/clock', 1), iter(range(1, 10**6))

    def ticks() -> bool:
        publisher.publish(Clock(clock=Time(sec=5, nanosec=next(number) * 1000)))
        return not said[-1]

    spin_until([node, other], ticks)
    assert not node.clock_problem
    spin_until([node, other], lambda: '/clock stands still' in said[-1])
    other.destroy_publisher(publisher)
    spin_until([node, other], lambda: 'nobody publishes /clock' in said[-1])
    other.destroy_node()
    node.destroy_node()


def test_a_node_runs_where_rclpy_keeps_its_event_callbacks_as_humble_does(
        domain_id: int) -> None:
    """Humble has no `rclpy.event_handler`: no node could be imported there."""
    script = ('import sys, types, warnings\n'
              'import rclpy, rclpy.node\n'
              'from rclpy import event_handler\n'
              'old = types.ModuleType("rclpy.qos_event")\n'
              'old.PublisherEventCallbacks = event_handler.PublisherEventCallbacks\n'
              'old.SubscriptionEventCallbacks = event_handler.SubscriptionEventCallbacks\n'
              'sys.modules["rclpy.qos_event"] = old\n'
              'sys.modules["rclpy.event_handler"] = None\n'
              'sys.modules["rclpy.experimental"] = None\n'
              'from vla_humanoid_control.ros import managed\n'
              'assert managed.SubscriptionEventCallbacks is old.SubscriptionEventCallbacks\n'
              f'rclpy.init(domain_id={domain_id})\n'
              'print(type(managed._executor()).__name__)\n'
              'rclpy.shutdown()\n')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == 'SingleThreadedExecutor'


def test_a_node_that_is_run_alone_refuses_an_unknown_discovery_range(domain_id: int) -> None:
    """Regression: it opened its sockets to the network."""
    done = subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.nodes.safety_monitor'], timeout=60,
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain_id),
             'ROS_AUTOMATIC_DISCOVERY_RANGE': 'subnet'}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is 'subnet'" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('home', ['', '/proc'])
def test_a_node_works_without_a_place_for_the_log_files_of_ros(
        home: str, domain_id: int, tmp_path: Path) -> None:
    """Regression: without a home directory it ended with a traceback of rcl."""
    variables = {**os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'HOME': home,
                 'PYTHONUNBUFFERED': '1'}
    for name in ('ROS_HOME', 'ROS_LOG_DIR'):
        variables.pop(name, None)
    node = subprocess.Popen(
        [sys.executable, '-m', 'vla_humanoid_control.nodes.safety_monitor', '--ros-args', '-p',
         'remember_latch:=false', '-p', 'safety.start_latched:=true'], env=variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert node.stdout is not None
        said = node.stdout.readline()
        assert 'ESTOP' in said, said
        node.send_signal(signal.SIGINT)
        assert node.wait(30) == 0, node.stdout.read()
    finally:
        node.kill()
