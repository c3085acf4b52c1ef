"""What all nodes share: a lifecycle that starts by itself, diagnostics, QoS events, one `main`."""

from __future__ import annotations

import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from vla_humanoid_control.graph.bringup import environment, log_arguments
from vla_humanoid_control.graph.lifetime import end_with_launcher, on_end
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.clock_watch import ClockWatch
from vla_humanoid_control.ros.messages import status
from vla_humanoid_control.ros.parameters import refuse_unknown
from vla_humanoid_control.support.errors import EXIT_USER_ERROR, UserError
from vla_humanoid_control.support.outputs import never_wait_for_readers

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble has them elsewhere
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
LEVELS = {'ok': OK, 'warn': WARN, 'error': ERROR}
_GRAPH_PERIOD_S = 1.0  # how often the graph is asked, and how long it may be late with news


@dataclass(frozen=True)
class Health:
    """A node's own entry in `/diagnostics`. A change of level or message is published at once."""

    level: bytes
    message: str
    values: Mapping[str, Any]


@dataclass
class QosProblem:
    """A mismatch, which DDS tells of when it begins and never when it ends.

    Attributes:
        text: What it is, for people.
        lasts: Asks the graph whether somebody who does not match is still there.
        ask_s: When to ask next, on the steady clock [s].
    """

    text: str
    lasts: Callable[[], bool]
    ask_s: float


class ManagedNode(LifecycleNode):
    """A lifecycle node that reports its health, its QoS mismatches and what ails its clock.

    A subclass creates what needs resources in `configure`, with `subscribe`, `advertise` and
    `serve`, and timers in `activate`, with `every`. Each transition back takes them down again:
    one teardown path.

    Publishers:
        diagnostics (diagnostic_msgs/DiagnosticArray): at 1 Hz and on change.

    Parameters:
        autostart (bool): Configure and activate at start; else wait for a lifecycle manager.

    Attributes:
        is_active: Whether it works.
        qos_problems: By topic.
        clock_problem: What is wrong with the robot's clock, such as no /clock; '' if nothing is.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.autostart = bool(self.declare_parameter('autostart', True).value)
        self.is_active = False
        self.qos_problems: dict[str, QosProblem] = {}
        self.clock_problem = ''
        self._clock_topic = self.resolve_topic_name('/clock')  # /clock, unless it is remapped
        self._clock_watch = ClockWatch(self._clock_topic)
        self._has_clock = True  # whether anybody publishes /clock; asked later
        self._ask_clock_s = time.monotonic() + _GRAPH_PERIOD_S
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._owned: list[Callable[[], Any]] = []
        self._own_timers: list[Timer] = []
        self._reported: tuple[bytes, str] | None = None
        self._reported_s = 0.0
        self._log_after_s: dict[str, float] = {}
        self._diagnostics = self.create_publisher(DiagnosticArray, 'diagnostics', qos.EVENT)
        self.create_timer(0.1, self._report, clock=self._steady)

    # --- for subclasses to fill in ----------------------------------------------------------

    def configure(self) -> None:
        """Load and wire everything. A UserError refuses the transition and is shown."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop to work, in a safe state. Timers are gone already."""

    def release(self) -> None:
        """Give up what `configure` took, beyond subscriptions, publishers, services and timers."""

    def health(self) -> Health:
        """The present health, for `/diagnostics`."""
        return Health(OK, '', {})

    # --- wiring -----------------------------------------------------------------------------

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None],
                  profile: QoSProfile, must_match: bool = True) -> Subscription:
        """Subscribe until the node is cleaned up; a QoS mismatch shows in the diagnostics.

        Unless publishers need not match, as another subscription hears those that do not.
        """
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda e: self._on_mismatch(
                topic, 'publisher', e, lambda: not all(
                    _match(other.qos_profile, profile) for other in
                    self.get_publishers_info_by_topic(subscription.topic_name)))) \
            if must_match else SubscriptionEventCallbacks(use_default_callbacks=False)
        subscription = self.create_subscription(kind, topic, callback, profile,
                                                event_callbacks=events)
        self._owned.append(lambda: self.destroy_subscription(subscription))
        return subscription

    def subscribe_with_info(self, kind: Any, topic: str,
                            callback: Callable[[Any, Mapping[str, int]], None],
                            profile: QoSProfile, must_match: bool = True) -> Subscription:
        """As `subscribe`, for a callback that gets rclpy's MessageInfo, too: empty on Humble."""
        if not hasattr(Subscription, 'CallbackType'):
            return self.subscribe(kind, topic, lambda msg: callback(msg, {}), profile, must_match)

        def take(*taken: Any) -> None:
            # From the events executor a message and its info come as one tuple.
            callback(*(taken[0] if len(taken) == 1 else taken))

        # By its signature rclpy knows what to hand over.
        take.__signature__ = inspect.signature(callback)  # type: ignore[attr-defined]
        return self.subscribe(kind, topic, take, profile, must_match)

    def advertise(self, kind: Any, topic: str, profile: QoSProfile) -> Publisher:
        """Publish until the node is cleaned up; a QoS mismatch shows in the diagnostics."""
        events = PublisherEventCallbacks(
            incompatible_qos=lambda e: self._on_mismatch(
                topic, 'subscriber', e, lambda: not all(
                    _match(profile, other.qos_profile) for other in
                    self.get_subscriptions_info_by_topic(publisher.topic_name))))
        # Not a lifecycle publisher: what may be published while inactive is decided by the node.
        publisher = self.create_publisher(kind, topic, profile, event_callbacks=events)
        self._owned.append(lambda: self.destroy_publisher(publisher))
        return publisher

    def serve(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Offer a service until the node is cleaned up."""
        service = self.create_service(kind, name, callback)
        self._owned.append(lambda: self.destroy_service(service))

    def every(self, period_s: float, callback: Callable[[], None],
              until_cleanup: bool = False) -> None:
        """Call back on the steady clock until the node is deactivated, or cleaned up."""
        timer = self.create_timer(period_s, callback, clock=self._steady)
        if until_cleanup:
            self._owned.append(lambda: self.destroy_timer(timer))
        else:
            self._own_timers.append(timer)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Have the executor's thread call back; for other threads."""
        if (executor := self.executor) is not None:
            # A guard condition would do, but the events executor has none.
            executor.create_task(callback)

    def now_ns(self) -> int:
        """The robot's clock, that stamps are in; simulated time under `use_sim_time` [ns]."""
        return int(self.get_clock().now().nanoseconds)

    def warn(self, topic: str, text: str, every_s: float = 5.0) -> None:
        """Log a warning, at most once in that time for a topic, so that a flood stays readable."""
        if self._may_log(topic, every_s):
            self.get_logger().warning(text)

    def tell(self, topic: str, text: str, every_s: float = 0.2) -> None:
        """Log for information, with the same restraint."""
        if self._may_log(topic, every_s):
            self.get_logger().info(text)

    def _may_log(self, topic: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._log_after_s.get(topic, 0.0):
            return False
        self._log_after_s[topic] = now + every_s
        return True

    # --- lifecycle --------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(super().on_configure, state, self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(super().on_activate, state, self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(super().on_deactivate, state, self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(super().on_cleanup, state, self._teardown)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(super().on_shutdown, state, self._shut_down)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        # A defect, and not something that a person could put right: this node does not come back.
        self.is_active = False
        self._teardown()
        return TransitionCallbackReturn.FAILURE

    def _transition(self, default: Callable[[LifecycleState], TransitionCallbackReturn],
                    state: LifecycleState, work: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy turns an exception in a transition into ERROR without a word.
        try:
            work()
        except UserError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return default(state)

    def _configure(self) -> None:
        try:
            self.configure()
        except UserError:
            self._teardown()
            raise

    def _activate(self) -> None:
        self.is_active = True
        try:
            self.activate()
        except UserError:  # still configured, so that it can be tried again
            self.is_active = False
            self._end_timers()
            raise

    def _deactivate(self) -> None:
        self._end_timers()
        self.deactivate()
        self.is_active = False

    def _end_timers(self) -> None:
        while self._own_timers:
            self.destroy_timer(self._own_timers.pop())

    def _shut_down(self) -> None:
        if self.is_active:
            self._deactivate()
        self._teardown()

    def destroy_node(self) -> None:
        """Give up all that it holds, threads as well, in whatever state it is."""
        self._teardown()
        super().destroy_node()

    def _teardown(self) -> None:
        self._end_timers()
        self.release()
        while self._owned:
            self._owned.pop()()
        self.qos_problems.clear()

    # --- diagnostics ------------------------------------------------------------------------

    def _report(self) -> None:
        self._look_at_clock()
        health = self.health()
        if self.clock_problem:
            health = Health(max(health.level, WARN), '; '.join(filter(
                None, (self.clock_problem, health.message))), health.values)
        self._forget_past_mismatches()
        if self.qos_problems:
            text = '; '.join(p.text for p in self.qos_problems.values())
            health = Health(ERROR, '; '.join(filter(None, (health.message, text))), health.values)
        now, summary = time.monotonic(), (health.level, health.message)
        if summary == self._reported and now - self._reported_s < 1.0:
            return
        self._reported, self._reported_s = summary, now
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status.append(status(health.level, self._full_name(), health.message,
                                     health.values))
        self._diagnostics.publish(message)

    def _full_name(self) -> str:
        """Tells robots apart where their diagnostics are gathered: 'robot1/safety_monitor'."""
        return f'{self.get_namespace()}/{self.get_name()}'.lstrip('/')

    def _look_at_clock(self) -> None:
        now, clock = time.monotonic(), self.get_clock()
        simulated = clock.ros_time_is_active
        if simulated and now >= self._ask_clock_s:
            self._ask_clock_s = now + _GRAPH_PERIOD_S
            self._has_clock = self.count_publishers(self._clock_topic) > 0
        self.clock_problem = self._clock_watch.problem(self.now_ns(), now, simulated,
                                                       self._has_clock)
        if self.clock_problem:
            self.warn('clock', self.clock_problem)

    def _forget_past_mismatches(self) -> None:
        now = time.monotonic()
        for topic, problem in tuple(self.qos_problems.items()):
            if now >= problem.ask_s:
                problem.ask_s = now + _GRAPH_PERIOD_S
                if not problem.lasts():
                    del self.qos_problems[topic]

    def _on_mismatch(self, topic: str, other: str, event: Any, lasts: Callable[[], bool]) -> None:
        policy = getattr(event.last_policy_kind, 'name', event.last_policy_kind)
        name = self.resolve_topic_name(topic)
        text = f'QoS mismatch on {name}: a {other} offers or asks for another {policy}'
        # Whoever it is may not be in the graph yet.
        self.qos_problems[topic] = QosProblem(text, lasts, time.monotonic() + _GRAPH_PERIOD_S)
        self.get_logger().error(text)


def _match(publisher: QoSProfile, subscription: QoSProfile) -> bool:
    return bool(qos_check_compatible(publisher, subscription)[0] != QoSCompatibility.ERROR)


def run(create: Callable[[], ManagedNode], args: Sequence[str] | None = None) -> None:
    """The whole of a node's process: start, spin until a signal, stop safely.

    Signals are handled here and not by rclpy, which would close the publishers before the node
    could stop the robot. Exits with 2 where the node refuses to start.
    """
    never_wait_for_readers()
    stopping: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    on_end(on_signal)
    end_with_launcher()
    node: ManagedNode | None = None
    try:
        # A node that is run alone, too, keeps to this machine unless it is told otherwise.
        os.environ.update(environment())
        rclpy.init(args=[*(sys.argv if args is None else args), *log_arguments()],
                   signal_handler_options=SignalHandlerOptions.NO)
        node = create()
        refuse_unknown(node)
        if node.autostart:
            _bring_up(node)
        executor = _executor()
        executor.add_node(node)
        while not stopping:
            executor.spin_once(timeout_sec=0.1)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr, flush=True)
        raise SystemExit(EXIT_USER_ERROR) from error
    finally:
        if node is not None:
            if node.is_active:
                node.trigger_shutdown()
            node.destroy_node()
        rclpy.try_shutdown()


def _bring_up(node: ManagedNode) -> None:
    for name, transition in (('configure', node.trigger_configure),
                             ('activate', node.trigger_activate)):
        if transition() != TransitionCallbackReturn.SUCCESS:
            raise UserError(f'{node.get_name()} could not {name}; see its log above.')


def _executor() -> Any:
    """The events executor where there is one (from Jazzy): a tenth of the cost per callback."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        from rclpy.executors import SingleThreadedExecutor
        return SingleThreadedExecutor()
    return EventsExecutor()
