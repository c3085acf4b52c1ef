"""A person's client of a running graph: gives one command, or stops, and waits to be understood.

`ros2 topic pub --once` waits for any listener, such as a recorder, and is gone before discovery
has told the right one of it. Here the controller itself must listen before anything is said, and
must answer; stopping is a service call, which safety_monitor answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_humanoid_control.evaluation.watching import TaskWatch
from vla_humanoid_control.graph.bringup import environment
from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.ros import qos
from vla_humanoid_control.state_text import read_task
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import full_name, read_namespace
from vla_humanoid_control.types import TaskState

ENCLAVE = '/vla_humanoid_control/operator'
"""Whose rights in config/sros2/policy.xml it has, where ROS enforces them."""
CONTROLLER = 'vla_controller'
AGAIN_S = 2.0
"""What was not answered for so long is said again: a listener that is new here may have missed it.
Both a command that is under way and a stop may be repeated [s]."""
GONE_S = 3.0
"""A controller that is not in the graph for so long has ended [s]."""


@dataclass(frozen=True)
class Answer:
    """What became of a command or a call.

    Attributes:
        accepted: Whether it was taken up, or the service did as it was asked.
        line: The answer in words, such as 'RUNNING: walk forward'.
    """

    accepted: bool
    line: str


class Operator:
    """Use as a context manager.

    Args:
        namespace: The robot's, in which the names of topics and services are; '' for none.

    Raises:
        UserError: The namespace is none.
    """

    def __init__(self, namespace: str = '') -> None:
        self._namespace = read_namespace(namespace)
        os.environ.update(environment())  # it must find the graph as the graph finds itself
        rclpy.init(args=['--ros-args', '--enclave', full_name(ENCLAVE, self._namespace)],
                   signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('operator', namespace=self._namespace or None,
                                       start_parameter_services=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._task_state = ''
        self._health = ''

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()

    def say(self, instruction: Instruction, timeout_s: float,
            follow: Callable[[str], None] | None = None) -> Answer:
        """Give a command and wait until the controller takes it up or refuses it.

        Args:
            instruction: The command.
            timeout_s: For how long to look for the controller, and then for its answer [s].
            follow: Told every state of the task until it is over; None to return once it began.

        Raises:
            UserError: No controller listens, it says nothing, or it ends meanwhile.
        """
        topic = self._name('/vla_command')
        commands = self._node.create_publisher(String, topic, qos.EVENT)
        self._node.create_subscription(String, self._name('/vla/task_state'),
                                       self._on_task_state, qos.STATE)
        self._node.create_subscription(DiagnosticArray, self._name('/diagnostics'),
                                       self._on_diagnostics, qos.EVENT)
        if not self._spin_until(lambda: self._task_state and self._is_matched(commands),
                                timeout_s):
            raise UserError(self._nobody(topic, timeout_s))
        watch = TaskWatch(instruction.text, self._task_state)
        if not self._deliver(commands, instruction, watch, timeout_s):
            return self._unanswered(instruction)
        if follow is None or watch.is_over:
            return Answer(watch.state is not TaskState.FAILED, watch.line)
        return self._follow(watch, topic, follow)

    def call(self, service: str, timeout_s: float) -> Answer:
        """Call a service of safety_monitor and wait for its answer.

        Args:
            service: Such as '/safety/emergency_stop'.
            timeout_s: For how long to try [s].

        Raises:
            UserError: Nobody answers.
        """
        name = self._name(service)
        client = self._node.create_client(Trigger, name)
        deadline_s = time.monotonic() + timeout_s
        offered = self._spin_until(client.service_is_ready, timeout_s)
        while offered and (left_s := deadline_s - time.monotonic()) > 0:
            future = client.call_async(Trigger.Request())
            if self._spin_until(future.done, min(AGAIN_S, left_s)):
                answer = future.result()
                return Answer(bool(answer.success), answer.message)
            client.remove_pending_request(future)
        what = 'was called and did not answer' if offered else 'was not offered'
        raise UserError(f'{name} {what} within {timeout_s:g} s. Is safety_monitor running? '
                        f'{self._where()} If the robot moves, use its own emergency stop.')

    # --- the inside -------------------------------------------------------------------------

    def _deliver(self, commands: Publisher, instruction: Instruction, watch: TaskWatch,
                 timeout_s: float) -> bool:
        """Repeat the command until the controller reports on it or its last report covers it."""
        before = self._task_state
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            commands.publish(String(data=instruction.text))
            if self._spin_until(lambda: self._take(watch), min(AGAIN_S, left_s)):
                return True
            standing = _standing(instruction, before)
            is_late = time.monotonic() + AGAIN_S > deadline_s  # a recorder may never acknowledge
            if standing is not None and self._task_state == before \
                    and (is_late or commands.wait_for_all_acked(Duration(seconds=0.2))):
                watch.line, watch.state = before, standing
                return True
        return False

    def _follow(self, watch: TaskWatch, topic: str, follow: Callable[[str], None]) -> Answer:
        shown, seen_s = '', time.monotonic()
        while not watch.is_over:
            if watch.line != shown:
                shown = watch.line
                follow(shown)
            self._executor.spin_once(timeout_sec=0.1)
            watch.take(self._task_state)
            if self._task_state != watch.line:  # about another command, or about none
                return Answer(False, f'{watch.line}; then came {self._task_state}')
            now = time.monotonic()
            seen_s = now if self._listens(topic) else seen_s
            if now - seen_s > GONE_S:
                raise UserError(f'{CONTROLLER} has ended; the last that it said was {shown!r}. '
                                'Its log says more.')
        return Answer(watch.state is TaskState.DONE, watch.line)

    def _take(self, watch: TaskWatch) -> bool:
        watch.take(self._task_state)
        return bool(watch.line)

    def _unanswered(self, instruction: Instruction) -> Answer:
        return Answer(False, f'{CONTROLLER} listens and did not take up {instruction.text!r}: '
                             + (self._health or f'it says {self._task_state!r}'))

    def _is_matched(self, commands: Publisher) -> bool:
        """Whether the controller listens, and discovery is over with all that could listen."""
        infos = self._node.get_subscriptions_info_by_topic(commands.topic_name)
        # Who asks for what was said before is never matched with a command.
        able = [info for info in infos
                if info.qos_profile.durability != DurabilityPolicy.TRANSIENT_LOCAL]
        return (any(info.node_name == CONTROLLER for info in able)
                and commands.get_subscription_count() >= len(able))

    def _listens(self, topic: str) -> bool:
        return any(info.node_name == CONTROLLER
                   for info in self._node.get_subscriptions_info_by_topic(topic))

    def _nobody(self, topic: str, timeout_s: float) -> str:
        others = sorted({info.node_name for info in
                         self._node.get_subscriptions_info_by_topic(topic)} - {CONTROLLER})
        if self._listens(topic):
            what = f'{CONTROLLER} listens on {topic}, and has said nothing of itself'
        elif others:
            what = f'Only {", ".join(others)} listens on {topic}, and no {CONTROLLER}'
        else:
            what = f'No {CONTROLLER} listens on {topic}'
        return (f'{what} within {timeout_s:g} s, so nothing was said. Start the graph (vla run, '
                f'vla demo --interactive, or the launch files). {self._where()}')

    def _where(self) -> str:
        domain = os.environ.get('ROS_DOMAIN_ID') or '0'
        return (f'This looked in ROS domain {domain}; ROS_DOMAIN_ID chooses another, and '
                '--namespace the robot.')

    def _name(self, name: str) -> str:
        return full_name(name, self._namespace)

    def _spin_until(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(0.05, left_s))
        return True

    def _on_task_state(self, msg: String) -> None:
        self._task_state = msg.data

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for entry in msg.status:
            if entry.name == full_name(CONTROLLER, self._namespace).removeprefix('/'):
                self._health = entry.message


def _standing(instruction: Instruction, line: str) -> TaskState | None:
    """What a line that stays as it was says of a command that was heard; None for nothing.

    A command that is under way goes on; a refusal or a stop that is repeated changes no line.
    """
    said = read_task(line, instruction.text, ignore_case=True)
    if said is not None and (said[0].is_active or said[0] in (TaskState.FAILED, TaskState.ASKING)
                             or instruction.is_stop):
        return said[0]
    return None
