"""Gives commands to a running graph, one after the other, and watches what becomes of them.

Used by `vla demo` and `vla eval --ros`. Not a node of the graph: it stands where a person stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Float32, String

from vla_humanoid_control.clients.stage import SimulatorStage, Stage
from vla_humanoid_control.evaluation.held import WATCH_S, HoldWatch
from vla_humanoid_control.evaluation.watching import InterventionCounter, TaskWatch
from vla_humanoid_control.graph.bringup import log_arguments
from vla_humanoid_control.language.intake import Rejection, check_command
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import rgb_from_msg, twist_from_msg
from vla_humanoid_control.ros.topics import OUTSIDE_TOPIC
from vla_humanoid_control.state_text import read_safety, task_line
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import full_name
from vla_humanoid_control.tasks.order import StepOrder
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import OUT_OF_SCOPE
from vla_humanoid_control.types import Command, SafetyState, TaskState

ENCLAVE = '/vla_humanoid_control/director'
"""Whose rights in config/sros2/policy.xml it has, where ROS enforces them."""
REACTION_S = 5.0
"""Within which the controller says what becomes of a command [s]."""
REPLY_S = 2.0
"""How long a person takes to answer a question [s]."""
SLOWEST = 20.0
"""So many seconds here may pass for one of the stage, before it counts as standing still."""
MOVING_MPS = 0.15
"""Faster than this the robot has got going, so that it can be told to stop [m/s]."""


def camera_topic(robot: RobotSpec) -> str:
    """Where the camera is that people are shown: the first one of the robot file."""
    return next(iter(robot.cameras.values())).topic


@dataclass(frozen=True)
class Snapshot:
    """What the topics say at one moment.

    Attributes:
        time_s: Steady clock [s].
        confidence: `/vla_confidence`.
        twist: float64 [3], `/cmd_vel`.
        task_state, safety_state: As published.
        camera, outside: Newest images, RGB uint8 [H, W, 3]; None before the first.
    """

    time_s: float
    confidence: float
    twist: NDArray[np.float64]
    task_state: str
    safety_state: str
    camera: NDArray[np.uint8] | None
    outside: NDArray[np.uint8] | None


@dataclass(frozen=True)
class EpisodeOutcome:
    """What became of one command.

    Attributes:
        success: The simulator's own verdict when the policy declared itself done; False if it
            never did. Where the command was out of scope, whether it was heard and the robot held.
        declared_done: Whether `/vla/task_state` came to DONE with this command, in time.
        seconds: From the command to the end [s].
        task_state: The last one, with its reason; or why there is none of this command.
        confidences: (time since the command [s], confidence) while the policy was at work.
        interventions: How often safety went over to SLOW, STOP or ESTOP; see
            `InterventionCounter`.
        retries: How often the command was reworded.
        held: Where the command was out of scope: whether the robot was held, and since when.
        problem: Why it is no success though it was declared done; empty otherwise.
    """

    success: bool
    declared_done: bool
    seconds: float
    task_state: str
    confidences: tuple[tuple[float, float], ...]
    interventions: int
    retries: int = 0
    held: HoldWatch | None = None
    problem: str = ''


class Director:
    """A client of the graph. Use as a context manager.

    Args:
        watch_images: Subscribe to the camera and the outside view.
        check: Called while waiting; raises where a process of the graph has died.
        on_moment: Called with a snapshot ten times a second during episodes.
        camera: Topic of the camera, see `camera_topic`; unused where no images are watched.
        namespace: The robot's, as `read_namespace` gives it.
        stage: What sets up scenes and judges; `humanoid_sim` by default.

    Attributes:
        node: Its node, to subscribe to more.
    """

    def __init__(self, watch_images: bool, check: Callable[[], None],
                 on_moment: Callable[[Snapshot], None] | None = None,
                 camera: str = '', namespace: str = '', stage: Stage | None = None) -> None:
        # Ctrl-C is the command line's to answer: rclpy's handler would shut down beneath it.
        rclpy.init(args=['--ros-args', '--enclave', full_name(ENCLAVE, namespace),
                         *log_arguments()],
                   signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('vla_director', namespace=namespace or None)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._check, self._on_moment = check, on_moment
        self._confidence = 0.0
        self._twist: NDArray[np.float64] = np.zeros(3)
        self._task_state, self._safety_state = '', ''
        self._camera: Image | None = None
        self._outside: Image | None = None
        self._task: TaskWatch | None = None  # what is being watched, while it is
        self._interventions: InterventionCounter | None = None
        self._next_moment_s = float('inf')  # until the graph is ready
        self._episode_s = float('-inf')
        self._confidences: list[tuple[float, float]] = []
        self._commands = self.node.create_publisher(String, 'vla_command', qos.EVENT)
        subscribe = self.node.create_subscription
        subscribe(Float32, 'vla_confidence', self._on_confidence, qos.STREAM)
        subscribe(Twist, 'cmd_vel', self._on_twist, qos.STREAM)
        subscribe(String, 'vla/task_state', self._on_task_state, qos.STATE)
        subscribe(String, 'safety/state', self._on_safety_state, qos.STATE)
        if watch_images:
            subscribe(Image, camera, self._on_camera, qos.SENSOR_INPUT)
            subscribe(Image, OUTSIDE_TOPIC, self._on_outside, qos.SENSOR_INPUT)
        self._watch_images = watch_images
        self._stage = stage or SimulatorStage()
        self._stage.enter(self.node, self._spin_until)

    def __enter__(self) -> Director:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()

    # --- the outside of it ------------------------------------------------------------------

    def wait_until_ready(self, timeout_s: float = 90.0) -> None:
        """Until every node of the graph is heard and safety would let the robot move.

        Raises:
            UserError: It takes too long; says what is missing.
        """
        def missing() -> str:
            if lack := self._stage.missing():
                return lack
            if self._commands.get_subscription_count() == 0 or not self._task_state:
                return 'vla_controller is not there'
            said = read_safety(self._safety_state)
            if said is None or said[0] in (SafetyState.STOP, SafetyState.ESTOP):
                return f'safety_monitor says {self._safety_state!r}'
            if self._watch_images and (self._camera is None or self._outside is None):
                return 'no camera image'
            return ''
        if not self._spin_until(lambda: not missing(), timeout_s):
            raise UserError(f'The graph did not come up within {timeout_s:g} s: {missing()}. '
                            'Its log says more.')
        self._next_moment_s = time.monotonic()

    def say(self, text: str) -> None:
        """Publish a command."""
        self._commands.publish(String(data=text))

    def run_episode(self, instruction: str, task: Task, seed: int, answer: str | None = None,
                    scene: Mapping[str, int | str] | None = None) -> EpisodeOutcome:
        """Set up a scene, give the instruction, and watch until the task is over.

        Args:
            instruction: What is said.
            task: What counts as success.
            seed: Decides the scene.
            answer: What is said where the robot asks.
            scene: What makes it harder, by the field of `Setting`; as it was where left out.

        Raises:
            UserError: The simulator refuses the scene, the instruction makes none, or one of the
                nodes does not answer.
        """
        parsed = check_command(instruction)
        if isinstance(parsed, Rejection):
            raise UserError(f'The instruction {instruction!r} is refused: {parsed.reason}.')
        # In words of its own, so that what becomes of the instruction can be told from it.
        self._bring_to_rest('halt' if parsed.text == 'stop' else 'stop')
        self._stage.arrange(task, seed, scene or {})
        if task.preamble is not None:
            words, seconds = task.preamble
            self.say(words)
            if not self._pass_there(lambda: np.linalg.norm(self._twist) > MOVING_MPS, 5.0):
                self.say('stop')
                return EpisodeOutcome(False, False, 0.0, f'it did not move on {words!r}, so there '
                                      'was nothing to stop', (), 0)
            self._pass_there(lambda: False, seconds)
        order = StepOrder(task.parts)
        self._stage.judge(order.present)
        watch = self._task = TaskWatch(parsed.text, self._task_state)
        counter = self._interventions = InterventionCounter(self._safety)
        self._confidences = []
        began_s = self._episode_s = self._stage.now_s()
        self.say(instruction)
        held = HoldWatch() if task.family == OUT_OF_SCOPE else None
        problem = ''
        if held is not None:
            self._watch_hold(held)
        else:
            if answer is not None and self._spin_until(lambda: watch.is_asking, REACTION_S):
                self.linger(REPLY_S)
                watch = self._task = TaskWatch(answer, self._task_state)
                self.say(answer)
            elif answer is not None:
                problem = 'it did not ask'
            self._follow(watch, order, began_s + task.time_limit_s)
        ended_s, declared, confidences = self._stage.now_s(), watch.is_declared, self._confidences
        state = watch.line or f'vla_controller did not react; it says {self._task_state!r}'
        self._task = None
        if held is not None:
            held.refused = watch.refused
            if declared:
                held.declare_done()
            success = bool(watch.line) and not held.problem
        else:  # The verdict is that of the moment; a stop needs to be seen for a while.
            if declared:
                truth = self._fresh_truth(0.0)
                if settle_s := float(truth.get('settle_s', task.settle_s)):
                    truth = self._fresh_truth(settle_s)
                verdict = truth.get('success')
                problem = problem or order.end(bool(verdict))
            success = declared and not problem
        if not declared:
            self.say('stop')
        return EpisodeOutcome(success, declared, ended_s - began_s, state, tuple(confidences),
                              counter.count, watch.retries, held, problem)

    def linger(self, seconds: float) -> None:
        """Let time pass between commands, moments included."""
        self._spin_until(lambda: False, seconds)

    def snapshot(self) -> Snapshot:
        """What the topics say now."""
        images = [None if m is None else rgb_from_msg(m) for m in (self._camera, self._outside)]
        return Snapshot(time.monotonic(), self._confidence, self._twist, self._task_state,
                        self._safety_state, *images)

    # --- the inside -------------------------------------------------------------------------

    @property
    def _safety(self) -> SafetyState:
        if (said := read_safety(self._safety_state)) is None:
            raise UserError(f'/safety/state says {self._safety_state!r}, which is no state. End '
                            'the node that publishes it beside safety_monitor.')
        return said[0]

    def _bring_to_rest(self, words: str) -> None:
        """Stop the running task, and wait until the controller reports that it has ended."""
        stopped = task_line(TaskState.DONE, words, '')
        for _ in range(10):  # said again: discovery may have told of the listener too early
            self.say(words)
            if self._spin_until(lambda: self._task_state == stopped, 1.0):
                return
        raise UserError(f'vla_controller does not react to {words!r}; it says '
                        f'{self._task_state!r}. The log of the graph says more.')

    def _follow(self, watch: TaskWatch, order: StepOrder, until_s: float) -> None:
        """Wait for the end of an instruction; the simulator judges the step that it is at."""
        def news() -> bool:
            return watch.is_over or (watch.step != order.step and not order.problem)
        while self._pass_there(news, until_s - self._stage.now_s()) and not watch.is_over:
            if order.go_on(watch.step, bool(self._stage.truth.get('success'))):
                self._stage.judge(order.present)

    def _watch_hold(self, watch: HoldWatch) -> None:
        """From outside, an open gate shows as safety following what is proposed.

        In every other state safety holds the joints.
        """
        began_s = time.monotonic()

        def look() -> bool:
            state = self._safety
            watch.take(time.monotonic() - began_s, state in (SafetyState.RUN, SafetyState.SLOW),
                       Command(self._twist, {}, state, ''))
            return False
        self._spin_until(look, WATCH_S)

    def _fresh_truth(self, after_s: float) -> dict[str, Any]:
        """The simulator's verdict from now on, or from `after_s` later [s]."""
        self._pass_there(lambda: False, after_s)
        self._stage.truth = {}
        self._spin_until(lambda: bool(self._stage.truth), 2.0)
        return self._stage.truth

    def _pass_there(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        """As `_spin_until`, by the time of the stage."""
        until_s = self._stage.now_s() + timeout_s
        self._spin_until(lambda: condition() or self._stage.now_s() >= until_s,
                         SLOWEST * max(timeout_s, 1.0))
        return bool(condition())

    def _spin_until(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            now = time.monotonic()
            if now >= deadline_s:
                return False
            self._executor.spin_once(timeout_sec=min(0.02, deadline_s - now))
            self._check()
            if self._on_moment is not None and now >= self._next_moment_s:
                self._next_moment_s = max(self._next_moment_s + 0.1, now)
                self._on_moment(self.snapshot())
        return True

    def _on_confidence(self, msg: Float32) -> None:
        self._confidence = float(msg.data)
        # Exactly 0 belongs to a hold, before the first inference or after the last one.
        if self._confidence > 0.0 and self._task is not None and self._task.is_at_work:
            self._confidences.append((self._stage.now_s() - self._episode_s, self._confidence))

    def _on_twist(self, msg: Twist) -> None:
        self._twist = twist_from_msg(msg)

    def _on_task_state(self, msg: String) -> None:
        self._task_state = msg.data
        if self._task is not None:
            self._task.take(msg.data)

    def _on_safety_state(self, msg: String) -> None:
        self._safety_state = msg.data
        if self._interventions is not None:
            self._interventions.take(self._safety)

    def _on_camera(self, msg: Image) -> None:
        self._camera = msg

    def _on_outside(self, msg: Image) -> None:
        self._outside = msg
