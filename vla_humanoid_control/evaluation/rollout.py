"""One episode in closed loop, in process, as fast as world and pipeline can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.artifact import Monitoring
from vla_humanoid_control.confidence.combine import Confidence
from vla_humanoid_control.confidence.gate import ConfidenceGate
from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.control.timing import Timing
from vla_humanoid_control.evaluation.camera_faults import BrokenCamera
from vla_humanoid_control.evaluation.held import WATCH_S, HoldWatch
from vla_humanoid_control.evaluation.impaired_view import ImpairedView
from vla_humanoid_control.evaluation.pictures import read_picture
from vla_humanoid_control.evaluation.suite import HELD_FAMILIES, Episode
from vla_humanoid_control.evaluation.true_finder import TrueFinder
from vla_humanoid_control.evaluation.watching import InterventionCounter
from vla_humanoid_control.interfaces import reading_problem
from vla_humanoid_control.language.intake import Reader, Rejection, parse_command
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.perception.seen import ObjectFinder
from vla_humanoid_control.pipeline import Pipeline
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.simulation.camera_noise import CameraNoise
from vla_humanoid_control.simulation.judge import MOVING_MPS, StepsMonitor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import OUT_OF_SCOPE
from vla_humanoid_control.types import (
    CONTROL_PERIOD_S,
    Command,
    OdometryReading,
    Proposal,
    SafetyState,
    TaskState,
)

SETTLE_S = 0.8
"""Before the first instruction: long enough for safety to have heard every sensor [s]."""
SCAN_EVERY = 5
"""Control steps between two laser scans: 10 Hz."""
REPLY_S = 1.0
"""How long a person takes to answer a question [s]."""
TRUE: Literal['true'] = 'true'
"""In the place of a finder: one that makes no error."""
_FALLS_S = 2.0  # what leans too far lies after so long, or it does not fall [s]
_STANDS = 0.03  # a base that stands comes no further than this [m; rad]
LINGER_S = 1.0
"""So long a task must stay achieved where nobody declares it done [s]."""


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode went.

    Attributes:
        id: The episode's.
        task: The family that it is counted in (`Episode.family`).
        key: The task with its arguments, such as 'go_to:red:box'.
        instruction: What the robot was told.
        success: Declared done in time, and done by the family's definition; in `HELD_FAMILIES`
            that the robot was held.
        declared_done: Whether the policy (or a stop word) declared it done in time.
        seconds: From the instruction to its end, in simulated time [s].
        mean_confidence: Mean of what `/vla_confidence` would have shown from the instruction to
            its end; 0 where no inference took place, as with a stop word.
        safety_interventions: How often safety went over to SLOW, STOP or ESTOP; see
            `InterventionCounter`.
        reason: Why it is no success; empty where it is one.
        confidences: Seconds since the instruction and confidence, for every inference.
        signals: The same for each signal that the confidence is made of, on its own; None where
            they are not measured, as through the node graph, which publishes no single signal.
        retries: How often the instruction was reworded.
        camera: How the camera broke; None where it stayed whole.
        view: How the view was impaired; None where it was clear.
        picture: What was shown instead of the world; None where the world was.
        acted: In `HELD_FAMILIES`, whether the gate was open at any time from when the camera broke
            or the instruction came: whether there was something to hold.
        held_s: In `HELD_FAMILIES`, from then on until the gate was closed for good [s]; None where
            it was open at the end.
        kind: `Episode.kind`.
        refused: In `HELD_FAMILIES`, why the instruction was refused as it was read, before
            anything began; empty where it was not, so that it was the gate that held the robot.
        asked: Whether the robot asked something.
        fell: Whether it fell: 'no', 'noticed' where safety had stopped it when it lay, or
            'unnoticed'; None where it cannot fall, or nobody knows.
    """

    id: str
    task: str
    key: str
    instruction: str
    success: bool
    declared_done: bool
    seconds: float
    mean_confidence: float
    safety_interventions: int
    reason: str
    confidences: tuple[tuple[float, float], ...] = ()
    signals: Mapping[str, tuple[tuple[float, float], ...]] | None = field(default_factory=dict)
    retries: int = 0
    camera: str | None = None
    view: str | None = None
    picture: str | None = None
    acted: bool | None = None
    held_s: float | None = None
    kind: str | None = None
    refused: str = ''
    asked: bool = False
    fell: str | None = None


@dataclass
class Rollout:
    """Runs episodes in one world, one after the other.

    Args:
        robot: The robot.
        policy: What controls it.
        monitoring, task, safety: Configuration of the parts around the policy.
        latency_s: How long after a request the policy's answer is heard [s].
        camera_size: Width and height of the camera image [px]; None takes twice the policy's own,
            so that its resizing averages as it does with a real camera's image.
        until_reached: End an episode once the task has been achieved for `LINGER_S`, whether or
            not it was declared done: for policies that declare nothing.
        read: What becomes of a person's words before the policy is told anything.
        finder: Finds objects in view, for words that mean one by where it is; `TRUE` for one
            without error, None where nobody looks.

    Attributes:
        impair: Applied to every image of an episode; None leaves them alone.
    """

    robot: RobotSpec
    policy: RobotPolicy
    monitoring: Monitoring = field(default_factory=Monitoring)
    task: TaskConfig = field(default_factory=TaskConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    latency_s: float = 0.0
    camera_size: tuple[int, int] | None = None
    until_reached: bool = False
    read: Reader = parse_command
    finder: ObjectFinder | Literal['true'] | None = None

    def __post_init__(self) -> None:
        self.world = World(self.robot)
        width, height = self.policy.spec.image_size
        self._size = self.camera_size or (2 * width, 2 * height)
        self._steps = 0
        self.impair: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
        self._breaking: Mapping[str, BrokenCamera] = {}
        self._picture: NDArray[np.uint8] | None = None
        self._said_s = 0.0
        self._noise = CameraNoise(0)
        self._state = SafetyState.STOP
        self._true_finder = TrueFinder(self.world) if self.finder == TRUE else None

    def run(self, episode: Episode, posture: Mapping[str, float] | None = None) -> EpisodeResult:
        """One episode from a new scene.

        Args:
            episode: What is said, and where.
            posture: Joint name to starting position [rad]; home for those absent.

        Raises:
            UserError: The scene lacks what the task needs, or the instruction is refused.
        """
        task, world = episode.task, self.world
        world.reset(episode.seed, task, posture, episode.setting)
        self._steps = 0
        self._state = SafetyState.STOP
        self._noise = CameraNoise(episode.seed)
        self.impair = None if episode.view is None else ImpairedView(episode.view, episode.seed)
        self._picture = None if episode.picture is None else resize_image(
            read_picture(episode.picture), self._size, 'stretch')
        pipeline = self.new_pipeline()
        self._idle(pipeline, SETTLE_S)
        if task.preamble is not None:
            words, seconds = task.preamble
            self._say(pipeline, words)
            self._idle(pipeline, seconds)
            speed = float(np.linalg.norm(world.base_twist()[:2]))
            if speed < MOVING_MPS:
                return self._result(episode, self._trace(), False, False,
                                    f'it did not move on {words!r}, so there was nothing to stop')
        return self._watched(episode, pipeline) if episode.family in HELD_FAMILIES \
            else self._judged(episode, pipeline)

    def new_pipeline(self) -> Pipeline:
        """A pipeline that begins now, with everything closed and nothing heard."""
        timing = Timing.of(self.policy.spec)
        controller = Controller(
            self.policy.spec, self.robot,
            ControllerConfig(rate_hz=timing.rate_hz, hang_timeout_s=timing.hang_timeout_s),
            FrameLimits(frozen_at_rest=True), self.task, reading_problem(self.policy),
            self.read, self._true_finder if self.finder == TRUE else self.finder)
        asked = self.monitoring
        gate = replace(asked.gate, stale_after_s=max(asked.gate.stale_after_s,
                                                     timing.stale_after_s))
        safety = replace(
            self.safety,
            proposal_timeout_s=max(self.safety.proposal_timeout_s, timing.proposal_timeout_s),
            max_stamp_age_s=max(self.safety.max_stamp_age_s, timing.max_stamp_age_s))
        return Pipeline(controller, self.policy, ConfidenceGate(gate, asked.standing),
                        SafetySupervisor(self.robot, safety, self.world.time_s), self.latency_s,
                        asked.judge())

    def close(self) -> None:
        """Free the drawing contexts."""
        if self._true_finder is not None:
            self._true_finder.close()
        self.world.close()

    def _judged(self, episode: Episode, pipeline: Pipeline) -> EpisodeResult:
        task, world, trace = episode.task, self.world, self._trace()
        monitor = StepsMonitor(task, world)
        self._say(pipeline, episode.instruction)
        followed = pipeline.controller.task
        since_s, arrived, asked, moved = world.time_s, False, False, False
        while (followed.is_active or (followed.question is not None and not asked)) \
                and not arrived and world.time_s - trace.began_s < task.time_limit_s:
            if followed.question is not None:
                asked = True
                moved = self._answer(pipeline, episode)
            trace.take(pipeline, self._step(pipeline), world.time_s)
            monitor.update(world, followed.step_index if monitor.several and followed.is_active
                           else None)
            if not self.until_reached or not monitor.success(world):
                since_s = world.time_s
            arrived = world.time_s - since_s >= LINGER_S
        declared = arrived or followed.state is TaskState.DONE
        trace.ended_s, trace.retries = world.time_s, followed.attempt
        settled_s = world.time_s + monitor.settle_s
        while declared and not arrived and world.time_s < settled_s:
            trace.take(pipeline, self._step(pipeline), None)
            monitor.update(world)
        problem = '' if arrived else monitor.problem(world)
        if asked is (episode.answer is None):
            problem = 'it asked' if asked else 'it did not ask'
        problem = problem or ('it moved before it was answered' if moved else '')
        reason = problem
        if not declared:
            reason = followed.describe() if not followed.is_active else \
                f'not declared done after {task.time_limit_s:g} s'
            reason += f', at {monitor.order.place}' if monitor.several else ''
            reason += '' if problem else ', though it was reached'
        fell = self._fall(pipeline)
        if fell in ('noticed', 'unnoticed'):
            problem, reason = 'fell', f'it fell; {reason}' if reason else 'it fell'
        result = self._result(episode, trace, declared and not problem, declared, reason)
        return replace(result, asked=asked, fell=fell)

    def _fall(self, pipeline: Pipeline) -> str | None:
        """See a fall to its end; `EpisodeResult.fell`."""
        world, until_s = self.world, self.world.time_s + _FALLS_S
        if not self.robot.walks:
            return None
        while world.tilt_rad > self.robot.max_tilt_rad and not world.fallen \
                and world.time_s < until_s:
            self._step(pipeline)
        if not world.fallen:
            return 'no'
        stopped = self._state in (SafetyState.STOP, SafetyState.ESTOP)
        return 'noticed' if stopped else 'unnoticed'

    def _answer(self, pipeline: Pipeline, episode: Episode) -> bool:
        """Let a person think, and give the answer, if there is one; whether it moved meanwhile."""
        before = self.world.base_pose()
        self._idle(pipeline, REPLY_S)
        if episode.answer is not None:
            self._say(pipeline, episode.answer)
        return bool(np.abs(self.world.base_pose() - before).max() > _STANDS)

    def _watched(self, episode: Episode, pipeline: Pipeline) -> EpisodeResult:
        """An episode in which success means that the robot is held."""
        trace, watch, from_s = self._trace(), HoldWatch(), 0.0
        if episode.camera is not None:
            self._breaking = {name: BrokenCamera(episode.camera, episode.seed)
                              for name in self.policy.spec.cameras}
            from_s = next(iter(self._breaking.values())).begins_s
        followed = pipeline.controller.task
        try:
            self._say(pipeline, episode.instruction)
            watch.refused = followed.reason if followed.state is TaskState.FAILED else ''
            while (since_s := self.world.time_s - trace.began_s) < from_s + WATCH_S:
                command = self._step(pipeline)
                trace.take(pipeline, command, self.world.time_s)
                if since_s >= from_s:
                    watch.take(since_s - from_s, pipeline.gate.is_open, command)
        finally:
            for camera in self._breaking.values():
                camera.close()
            self._breaking = {}
        trace.ended_s, trace.retries = self.world.time_s, followed.attempt
        declared = followed.state is TaskState.DONE
        if declared and episode.task.family == OUT_OF_SCOPE:
            watch.declare_done()
        result = self._result(episode, trace, not watch.problem, declared, watch.problem)
        return replace(result, acted=watch.acted, held_s=watch.held_s, refused=watch.refused)

    def _trace(self) -> _Trace:
        now_s = self.world.time_s
        return _Trace(InterventionCounter(self._state), now_s, now_s,
                      self.monitoring.judge(),
                      {name: self.monitoring.judge(name) for name in self.monitoring.alone})

    def _result(self, episode: Episode, trace: _Trace, success: bool, declared: bool,
                reason: str) -> EpisodeResult:
        values = [c for _, c in trace.confidences]
        return EpisodeResult(
            episode.id, episode.family, episode.task.key, episode.instruction, success, declared,
            round(trace.ended_s - trace.began_s, 3),
            float(np.mean(values)) if values else 0.0, trace.interventions.count, reason,
            tuple(trace.confidences),
            {name: tuple(values) for name, values in trace.signals.items()}, trace.retries,
            episode.camera, episode.view, episode.picture, kind=episode.kind)

    def _say(self, pipeline: Pipeline, words: str) -> None:
        self._said_s = self.world.time_s
        answer = pipeline.say(words, self._said_s)
        if isinstance(answer, Rejection):
            raise UserError(f'The instruction {words!r} is refused: {answer.reason}.')

    def _idle(self, pipeline: Pipeline, seconds: float) -> None:
        until_s = self.world.time_s + seconds
        while self.world.time_s < until_s:
            self._step(pipeline)

    def _step(self, pipeline: Pipeline) -> Command:
        world, now_s = self.world, self.world.time_s
        scan = world.scan_reading() if 'scan' in self.robot.sensors \
            and self._steps % SCAN_EVERY == 0 else None
        imu = world.imu_reading() if 'imu' in self.robot.sensors else None
        odometry = OdometryReading(world.stamp_ns, *world.odometry()) \
            if 'odom' in self.robot.sensors else None
        command = pipeline.step(now_s, self._see, world.joint_reading(), scan, imu, odometry)
        self._state = command.state
        world.apply(command.twist, command.joints)
        world.advance(CONTROL_PERIOD_S)
        self._steps += 1
        return command

    def _see(self) -> Mapping[str, NDArray[np.uint8]]:
        """What the cameras give."""
        since_s = self.world.time_s - self._said_s
        return {name: self._breaking[name].view(image, since_s)
                if name in self._breaking else image for name, image in self._look().items()}

    def _look(self) -> Mapping[str, NDArray[np.uint8]]:
        images = {name: self._noise.on(self.world.render(name, *self._size)
                                       if self._picture is None else self._picture)
                  for name in self.policy.spec.cameras}
        return images if self.impair is None else {n: self.impair(i) for n, i in images.items()}


@dataclass
class _Trace:
    """What is noted down while an episode runs."""

    interventions: InterventionCounter
    began_s: float
    ended_s: float
    judge: Confidence
    alone: Mapping[str, Confidence]
    retries: int = 0
    confidences: list[tuple[float, float]] = field(default_factory=list)
    signals: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _answered: Proposal | None = None

    def take(self, pipeline: Pipeline, command: Command, now_s: float | None) -> None:
        """Note a control step; `now_s` is None once the task has ended."""
        self.interventions.take(command.state)
        answered = pipeline.controller.answered
        if now_s is not None and answered is not None and answered is not self._answered:
            since_s = round(now_s - self.began_s, 3)
            self.confidences.append((since_s, _confidence(self.judge, answered)))
            for name, judge in self.alone.items():
                self.signals.setdefault(name, []).append((since_s, _confidence(judge, answered)))
        self._answered = answered


def _confidence(judge: Confidence, answered: Proposal) -> float:
    """What the monitor makes of an answer, in [0, 1]; not a number counts as none."""
    return float(np.clip(np.nan_to_num(judge.judge(answered).confidence), 0, 1))
