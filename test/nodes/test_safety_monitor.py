"""The safety node by itself: what it remembers and listens to, in every state of its lifecycle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('mujoco', reason='needs mujoco: pip install .[sim]')

import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_humanoid_control.nodes.safety_monitor import SafetyMonitor
from vla_humanoid_control.ros import managed, qos
from vla_humanoid_control.ros.latch_file import LatchFile
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import Command, SafetyState

pytestmark = pytest.mark.ros


@pytest.fixture
def node(domain_id: int, tmp_path: Path,
         monkeypatch: pytest.MonkeyPatch) -> Iterator[SafetyMonitor]:
    """A node that is configured, and not active."""
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    rclpy.init(domain_id=domain_id)
    node = SafetyMonitor()
    node.trigger_configure()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def begin_anew(node: SafetyMonitor) -> str:
    """Lose the supervisor, as a restart does; gives what is latched then."""
    node.trigger_cleanup()
    node.trigger_configure()
    return str(node.supervisor.diagnostics(0.0)['latched'])


@pytest.mark.parametrize('by', ['topic', 'service'])
def test_an_emergency_stop_is_remembered_though_the_node_is_not_active(node: SafetyMonitor,
                                                                       by: str) -> None:
    assert not begin_anew(node)
    if by == 'topic':
        node._on_button(True)
    else:
        node._on_stop_service(Trigger.Request(), Trigger.Response())
    assert begin_anew(node)
    assert node._on_reset(Trigger.Request(), Trigger.Response()).success
    assert not begin_anew(node)


def test_cameras_are_listened_to_once_where_a_node_without_configuration_is_asked(
        node: SafetyMonitor) -> None:
    """Regression: it listened at once, and a second time when it was configured."""
    node.trigger_cleanup()
    assert node.set_parameters_atomically([Parameter('safety.watch_cameras', value=True)]
                                          ).successful
    topics = [s.topic_name for s in node.subscriptions]
    assert '/camera/rgb/image_raw' not in topics
    node.trigger_configure()
    topics = [s.topic_name for s in node.subscriptions]
    assert topics.count('/camera/rgb/image_raw') == 1


@pytest.mark.parametrize('profile', [qos.EVENT, qos.SENSOR_INPUT], ids=['reliable', 'best effort'])
def test_an_emergency_stop_is_heard_from_every_kind_of_publisher(node: SafetyMonitor,
                                                                 profile: QoSProfile) -> None:
    """Regression: that of a best-effort publisher went unheard."""
    button = rclpy.create_node('button')
    publisher = button.create_publisher(Bool, '/emergency_stop', profile)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    until = time.monotonic() + 20.0

    def latched() -> str:
        return str(node.supervisor.diagnostics(time.monotonic())['latched'])

    try:
        while not latched() and time.monotonic() < until:
            publisher.publish(Bool(data=True))  # the first may come before discovery
            executor.spin_once(timeout_sec=0.05)
    finally:
        executor.shutdown()
        button.destroy_node()
    assert latched() == 'emergency stop (topic)'
    assert bool(node.qos_problems) is (profile is not qos.EVENT)


def test_a_short_press_is_not_pushed_out_by_what_the_button_says_after_it(
        node: SafetyMonitor) -> None:
    """Regression: a node that was busy for a second knew only the last ten words of a button."""
    button = rclpy.create_node('button')
    publisher = button.create_publisher(Bool, '/emergency_stop', QoSProfile(depth=100))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    until = time.monotonic() + 20.0
    try:
        while publisher.get_subscription_count() < 2 and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.05)
        for number in range(50):
            publisher.publish(Bool(data=number == 0))
        assert publisher.wait_for_all_acked(Duration(seconds=10))
        for _ in range(200):
            executor.spin_once(timeout_sec=0.0)
    finally:
        executor.shutdown()
        button.destroy_node()
    assert node.supervisor.diagnostics(time.monotonic())['latched'] == 'emergency stop (topic)'


def test_a_reset_is_announced_at_once(node: SafetyMonitor, monkeypatch: pytest.MonkeyPatch
                                      ) -> None:
    """Whoever hears of it may give a command, which is refused while a stop is latched."""
    node.trigger_activate()
    node._on_stop_service(Trigger.Request(), Trigger.Response())
    node._tick()
    said: list[str] = []
    monkeypatch.setattr(node._states, 'publish', lambda msg: said.append(msg.data))
    assert node._on_reset(Trigger.Request(), Trigger.Response()).success
    assert said and not said[-1].startswith('ESTOP')


@pytest.mark.parametrize('damage', ['empty', 'no text', 'a folder'])
def test_a_latch_file_that_cannot_be_read_counts_as_a_latch(node: SafetyMonitor,
                                                            damage: str) -> None:
    path = LatchFile.of('humanoid', node.context).path
    if damage == 'a folder':
        path.mkdir()
    else:
        path.write_bytes(b'' if damage == 'empty' else b'\xff\xfe')
    assert begin_anew(node)


def test_cameras_are_listened_to_once_a_person_asks_for_it(node: SafetyMonitor) -> None:
    def topics() -> list[str]:
        return [s.topic_name for s in node.subscriptions]

    assert '/camera/rgb/image_raw' not in topics()
    for _ in range(2):
        answer = node.set_parameters_atomically([Parameter('safety.watch_cameras', value=True)])
        assert answer.successful, answer.reason
    assert topics().count('/camera/rgb/image_raw') == 1


def test_depth_heights_in_the_wrong_order_are_refused(domain_id: int) -> None:
    """Regression: no point lies between them, so that every obstacle vanished."""
    rclpy.init(args=['--ros-args', '-p', 'depth_heights:=[1.5, 0.05]'], domain_id=domain_id)
    try:
        with pytest.raises(UserError, match='depth_heights'):
            SafetyMonitor()
    finally:
        rclpy.shutdown()


def test_compressed_cameras_are_watched_where_they_speak(domain_id: int) -> None:
    """Regression: it listened for raw images, which never came, and stopped for ever."""
    rclpy.init(args=['--ros-args', '-p', 'compressed:=true', '-p', 'safety.watch_cameras:=true',
                     '-p', 'remember_latch:=false'], domain_id=domain_id)
    node = SafetyMonitor()
    try:
        node.trigger_configure()
        topics = [s.topic_name for s in node.subscriptions]
        assert '/camera/rgb/image_raw/compressed' in topics
        assert '/camera/rgb/image_raw' not in topics
        message = CompressedImage(data=b'a picture')
        message.header.stamp = node.get_clock().now().to_msg()
        node._on_camera('head', message)
        watched = node.supervisor.diagnostics(time.monotonic())
        assert 0.0 <= float(watched['age_s/camera/head']) < 5.0, watched
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_whoever_publishes_where_commands_are_remapped_to_is_foreign(
        domain_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever publishes on a topic that only has the old name is not."""
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    rclpy.init(args=['--ros-args', '-r', '/cmd_vel:=/base/cmd_vel'], domain_id=domain_id)
    node = SafetyMonitor()
    other = rclpy.create_node('other', use_global_arguments=False)
    try:
        node.trigger_configure()
        reported: list[list[str]] = []
        monkeypatch.setattr(node.supervisor, 'on_foreign_publisher',
                            lambda topics, _now_s: reported.append(topics))
        assert '/base/cmd_vel' in [p.topic_name for p in node.publishers]

        def looks_until(topic: str, number: int) -> list[str]:
            end = time.monotonic() + 10.0
            while len(other.get_publishers_info_by_topic(topic)) < number \
                    and time.monotonic() < end:
                time.sleep(0.01)
            node._look_for_foreign_publishers()
            return reported[-1]

        other.create_publisher(Twist, '/cmd_vel', 1)
        assert looks_until('/cmd_vel', 1) == []
        other.create_publisher(Twist, '/base/cmd_vel', 1)
        assert looks_until('/base/cmd_vel', 2) == ['/base/cmd_vel']
    finally:
        other.destroy_node()
        node.destroy_node()
        rclpy.shutdown()


@pytest.mark.skipif(not hasattr(Subscription, 'CallbackType'), reason='needs ROS 2 Jazzy')
def test_what_one_way_tells_late_counts_once_and_only_if_it_is_still_true(node: SafetyMonitor
                                                                          ) -> None:
    """Regression: a press that had been reset latched again when it came by the other way."""
    reliable, best_effort = (s.callback for s in node.subscriptions
                             if s.topic_name == '/emergency_stop')

    def say(way: Callable[[Bool, dict[str, int]], None], pressed: bool, sent_s: float) -> None:
        way(Bool(data=pressed), {'source_timestamp': int(sent_s * 1e9)})

    def latched() -> str:
        return str(node.supervisor.diagnostics(time.monotonic())['latched'])

    say(best_effort, True, 100.0)
    assert latched()
    say(reliable, False, 99.0)  # from before that press
    assert not node._on_reset(Trigger.Request(), Trigger.Response()).success
    say(best_effort, False, 101.0)
    assert node._on_reset(Trigger.Request(), Trigger.Response()).success
    say(reliable, True, 100.0)
    say(reliable, False, 101.0)
    assert not latched()
    say(reliable, True, 102.0)  # the other way lost this one
    assert latched()
    say(reliable, False, 50.0)  # of a machine whose clock is behind
    assert node._on_reset(Trigger.Request(), Trigger.Response()).success
    for _ in range(2):  # where the middleware does not tell when it was sent
        say(best_effort, True, 0.0)
        assert latched()
        say(best_effort, False, 0.0)
        assert node._on_reset(Trigger.Request(), Trigger.Response()).success


def test_an_emergency_stop_is_heard_where_rclpy_tells_nothing_of_a_message(
        node: SafetyMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Humble: its callbacks get the message alone."""
    monkeypatch.setattr(managed, 'Subscription', object)
    begin_anew(node)
    hear = next(s.callback for s in node.subscriptions if s.topic_name == '/emergency_stop')
    hear(Bool(data=True))
    assert node.supervisor.diagnostics(time.monotonic())['latched'] == 'emergency stop (topic)'


class Others:
    """Other nodes of the graph, and what safety makes of them.

    Each is a participant of its own: one that knows a topic with one type refuses it with another.
    """

    def __init__(self, node: SafetyMonitor, domain_id: int) -> None:
        self._node, self._domain_id = node, domain_id
        self._contexts: list[rclpy.Context] = []
        self._nodes: list[Node] = []
        self.said = ''

    def add(self, name: str) -> Node:
        """A node with its own context."""
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=self._domain_id)
        self._contexts.append(context)
        self._nodes.append(rclpy.create_node(name, context=context))
        return self._nodes[-1]

    def until(self, what: str) -> None:
        """Look until safety says so; '' for nothing."""
        end = time.monotonic() + 20.0
        while True:
            self._node._look_for_listeners()
            if what in self.said if what else not self.said:
                return
            assert time.monotonic() < end, self.said
            time.sleep(0.02)

    def close(self) -> None:
        """Take them all down."""
        for other, context in zip(self._nodes, self._contexts):
            other.destroy_node()
            rclpy.shutdown(context=context)


@pytest.fixture
def others(node: SafetyMonitor, domain_id: int, monkeypatch: pytest.MonkeyPatch
           ) -> Iterator[Others]:
    others = Others(node, domain_id)
    monkeypatch.setattr(node.supervisor, 'on_listeners',
                        lambda problem, _now_s: setattr(others, 'said', problem))
    yield others
    others.close()


def test_it_says_whether_a_base_hears_its_commands(node: SafetyMonitor, others: Others) -> None:
    """Regression: commands went to nobody, or in another type than the base wants, in silence."""
    others.until('/cmd_vel: nobody listens')
    # The controller listens, too, and is no base.
    controller = others.add('some_controller')
    controller.create_publisher(JointState, '/vla/action_proposal', 1)
    controller.create_subscription(Twist, '/cmd_vel', print, 1)
    end = time.monotonic() + 20.0
    while not (node.count_subscribers('/cmd_vel') and node.count_publishers('/vla/action_proposal')
               ) and time.monotonic() < end:
        time.sleep(0.02)
    others.until('/cmd_vel: nobody listens')
    others.add('base').create_subscription(TwistStamped, '/cmd_vel', print, 1)
    others.until('/base wants TwistStamped and gets Twist: set stamped_twist to true')
    others.add('recorder').create_subscription(Twist, '/cmd_vel', print, 1)
    others.until('')
    others.add('arms').create_subscription(Float64MultiArray, '/joint_commands', print, 1)
    others.until('/joint_commands: /arms wants Float64MultiArray')


@pytest.mark.parametrize(('given', 'kind'), [
    (['joint_command_type:=trajectory'], JointTrajectory), ([], JointState),
    (['joint_command_type:=array'], Float64MultiArray), (['array_commands:=true'],
                                                         Float64MultiArray)])
def test_joint_commands_have_the_form_that_is_asked_for(
        given: list[str], kind: type, domain_id: int, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    rclpy.init(domain_id=domain_id,
               args=['--ros-args', *(part for value in given for part in ('-p', value))])
    node = SafetyMonitor()
    try:
        node.trigger_configure()
        node.trigger_activate()
        sent: list[object] = []
        monkeypatch.setattr(node._joint_targets, 'publish', sent.append)
        targets = {j.name: 0.01 * i for i, j in enumerate(node._robot.controlled)}
        shuffled = dict(reversed(targets.items()))
        node._publish(Command(np.zeros(3), shuffled, SafetyState.RUN, ''))
        form = node._joint_form
        assert node._joint_targets.msg_type is kind and type(sent[0]) is kind
        assert dict(form.targets(sent[0], tuple(targets))) == pytest.approx(targets)
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_it_says_that_the_controller_cannot_hear_the_commands(others: Others) -> None:
    """Else its dead reckoning believes that the robot stands."""
    controller = others.add('some_controller')
    controller.create_publisher(JointState, '/vla/action_proposal', 1)
    controller.create_subscription(TwistStamped, '/cmd_vel', print, 1)
    others.add('base').create_subscription(Twist, '/cmd_vel', print, 1)
    others.until('/some_controller wants TwistStamped')


def test_who_listens_to_nothing_is_said_in_the_diagnostics(node: SafetyMonitor) -> None:
    node.trigger_activate()
    node._tick()
    health = node.health()
    assert '/cmd_vel: nobody listens' in health.message
    assert '/joint_commands: nobody listens' in health.message
