"""The emergency stop's topic: what was said before the start, now, and by late publishers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from std_msgs.msg import Bool

from vla_humanoid_control.ros.button import Button
from vla_humanoid_control.ros.managed import ManagedNode

pytestmark = pytest.mark.ros

RELIABLE, AT_BEST = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TELLS_WHEN = hasattr(Subscription, 'CallbackType')  # from Jazzy


class Subscriber(ManagedNode):
    """Has a button, and remembers what it said."""

    def __init__(self, context: Any) -> None:
        super().__init__('listener', context=context, start_parameter_services=False)
        self.said: list[bool] = []
        self.looked_back = 0

    def configure(self) -> None:
        self.button = Button(self, self.said.append)
        self.every(0.05, self._count, until_cleanup=True)
        self.looked_back = 0

    def _count(self) -> None:
        heard = self.button._hears_latched and not self.button._from_before
        self.looked_back = self.looked_back + 1 if heard else 0


class Desk:
    """A machine with buttons."""

    def __init__(self, context: Any) -> None:
        self.node = rclpy.create_node('desk', context=context)
        self.listener = Subscriber(context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.listener)

    def button(self, words: Sequence[bool] = (), depth: int = 1, latched: bool = True,
               reliability: ReliabilityPolicy = RELIABLE) -> Any:
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        publisher = self.node.create_publisher(Bool, '/emergency_stop', QoSProfile(
            depth=depth, reliability=reliability, durability=durability))
        for word in words:
            publisher.publish(Bool(data=word))
        return publisher

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < end, self.listener.said
            self._executor.spin_once(timeout_sec=0.05)

    def hears_what_was_said_before(self, publishers: Sequence[Any] = (), words: int = 0
                                   ) -> list[bool]:
        """What the listener makes of it, once all are matched and nothing more comes."""
        self.until(lambda: self.listener.looked_back > 20 and len(self.listener.said) >= words
                   and all(p.get_subscription_count() == 3 for p in publishers))
        return self.listener.said

    def close(self) -> None:
        self._executor.shutdown()
        self.listener.destroy_node()
        self.node.destroy_node()


@pytest.fixture
def desk(context: Any) -> Iterator[Desk]:
    desk = Desk(context)
    yield desk
    desk.close()


@pytest.mark.parametrize(('words', 'depth', 'pressed'), [
    ([True], 1, True), ([False], 1, False), ([True, False], 1, False), ([False, True], 1, True),
    ([True, False], 10, False), ([True, False, True], 10, True), ([True, True], 10, True)])
def test_of_what_a_latched_button_said_before_the_last_word_counts(
        desk: Desk, words: list[bool], depth: int, pressed: bool) -> None:
    """Regression: it was not heard at all, and the robot walked with its button pressed."""
    button = desk.button(words, depth)
    desk.listener.trigger_configure()
    assert desk.hears_what_was_said_before([button], pressed) == [True] * pressed


def test_of_several_latched_buttons_one_that_is_pressed_counts(desk: Desk) -> None:
    """Whose word is the later one says nothing of the other button."""
    buttons = [desk.button([True]), desk.button([False])]
    desk.listener.trigger_configure()
    assert desk.hears_what_was_said_before(buttons, 1) == [True]


def test_a_button_that_is_still_pressed_is_a_press_after_every_start(desk: Desk) -> None:
    """And one that was released meanwhile is none."""
    button = desk.button([True], depth=10)
    for released in (False, True):
        if released:
            button.publish(Bool(data=False))
        desk.listener.said.clear()
        desk.listener.trigger_configure()
        said = desk.hears_what_was_said_before([button], not released)
        assert said == ([] if released else [True])
        desk.listener.trigger_cleanup()


@pytest.mark.skipif(not TELLS_WHEN, reason='needs ROS 2 Jazzy')
@pytest.mark.parametrize('latched', [True, False], ids=['latched', 'volatile'])
@pytest.mark.parametrize('reliability', [RELIABLE, AT_BEST], ids=['reliable', 'best effort'])
def test_a_late_button_of_any_kind_is_heard_and_each_press_counts_once(
        desk: Desk, latched: bool, reliability: ReliabilityPolicy) -> None:
    desk.listener.trigger_configure()
    desk.until(lambda: desk.listener.count_publishers('/emergency_stop') == 0)
    button = desk.button((), 10, latched, reliability)
    least = (2 if reliability is RELIABLE else 1) + (latched and reliability is RELIABLE)
    desk.until(lambda: button.get_subscription_count() >= least)
    words = [True, False, True, True, False]
    for number, word in enumerate(words, start=1):
        button.publish(Bool(data=word))
        desk.until(lambda n=number: len(desk.listener.said) >= n)  # type: ignore[misc]
    if latched:
        desk.hears_what_was_said_before()
    assert desk.listener.said == words


def test_a_press_of_a_late_latched_button_counts_though_nobody_listened_yet(desk: Desk) -> None:
    """As of a program that comes, says it once, and stays."""
    desk.listener.trigger_configure()
    desk.button([True])
    desk.until(lambda: desk.listener.said == [True])


@pytest.mark.skipif(not TELLS_WHEN, reason='needs ROS 2 Jazzy')
def test_a_button_that_was_released_since_the_start_can_be_reset(desk: Desk) -> None:
    """It was pressed when the node came up, so it counts, and it is out by now."""
    desk.listener.trigger_configure()
    button, now_ns = desk.listener.button, time.time_ns()
    button._hear_latched(Bool(data=True), {'source_timestamp': now_ns - 10**12})
    button._hear(Bool(data=False), {'source_timestamp': now_ns + 10**9})
    desk.until(lambda: desk.listener.said == [False, True, False])


def test_nobody_is_told_that_a_volatile_button_does_not_fit(desk: Desk) -> None:
    """A subscription that asks for more than it offers would be reported on both sides."""
    desk.listener.trigger_configure()
    button = desk.button(latched=False)
    desk.until(lambda: button.get_subscription_count() == 2)
    looks: list[str] = []
    ask = desk.listener.get_publishers_info_by_topic

    def counted(topic: str) -> Any:
        looks.append(topic)
        return ask(topic)

    desk.listener.get_publishers_info_by_topic = counted  # type: ignore[method-assign]
    desk.until(lambda: len(looks) > 3)
    assert not desk.listener.button._hears_latched
    assert not desk.listener.qos_problems
