"""Node: sees, hears, and proposes what to do. Never talks to the robot itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from vla_humanoid_control.channels import (
    ChannelError,
    decode_gated,
    encode_fault,
    encode_proposal,
)
from vla_humanoid_control.confidence.score import SIGNALS, read_signals
from vla_humanoid_control.control.dead_reckoning import DeadReckoning
from vla_humanoid_control.control.inference import InferenceWorker, Outcome, Request
from vla_humanoid_control.control.playback import ChunkPlayback
from vla_humanoid_control.control.task import TaskConfig, TaskManager
from vla_humanoid_control.language.intake import Instruction, Rejection, parse_command
from vla_humanoid_control.perception.frames import FrameLimits, FrameStore
from vla_humanoid_control.perception.image_decoding import ImageError, decode_compressed_rgb
from vla_humanoid_control.policy.registry import DEFAULT_POLICY, load_policy
from vla_humanoid_control.robot.spec import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import ERROR, OK, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.messages import (
    MessageError,
    channels_from_msg,
    channels_to_msg,
    joints_from_msg,
    rgb_from_msg,
    to_ns,
    twist_from_msg,
)
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.support.bounds import bounded, check_bounds, fixed, loosened
from vla_humanoid_control.types import (
    BASE_CHANNELS,
    Action,
    JointReading,
    Observation,
    Proposal,
    SafetyState,
)

NEWS_S = 0.3
"""For how long what safety said before a command may still be under way [s]."""


@dataclass(frozen=True)
class ControllerParameters:
    """Parameters of `vla_controller`.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        policy: Name of a policy, or the folder of a checkpoint; empty for the default one.
        confidence_signals: What the confidence is made of; see `confidence/score.py`.
        rate_hz: Proposals per second [Hz].
        compressed: Whether the cameras are read from their .../compressed topics.
        stamped_twist: Whether /cmd_vel is a TwistStamped.
        ensembling: Weight decay m of temporal ensembling; see `ChunkPlayback`.
        joints_max_age_s: Older joint states are not acted on [s].
        hang_timeout_s: An inference that takes longer counts as hung [s].
    """

    robot: str = fixed('humanoid')
    policy: str = fixed('')
    confidence_signals: tuple[str, ...] = fixed(SIGNALS)
    rate_hz: float = bounded(10.0, 1.0, 100.0, at_start=True)
    compressed: bool = fixed(False)
    stamped_twist: bool = fixed(False)
    ensembling: float = bounded(0.01, -2.0, 2.0, at_start=True)
    joints_max_age_s: float = bounded(0.3, 0.02, 5.0)
    hang_timeout_s: float = bounded(1.0, 0.1, 60.0)

    def __post_init__(self) -> None:
        read_signals(self.confidence_signals)
        check_bounds(self)


class VlaController(ManagedNode):
    """Turns camera frames and an English instruction into proposals.

    Inference runs in its own thread, on the newest frame; chunk playback fills in between.

    Subscribers:
        camera topics of the robot file (sensor_msgs/Image, or CompressedImage)
        /joint_states (sensor_msgs/JointState)
        /vla_command (std_msgs/String): plain English
        /vla/action_gated (sensor_msgs/JointState): whether the confidence gate lets actions pass
        /cmd_vel (geometry_msgs/Twist): what the base was really told
        /safety/state (std_msgs/String): an emergency stop ends the task, and no other begins

    Publishers:
        /vla/action_proposal (sensor_msgs/JointState): see `channels`
        /vla/task_state (std_msgs/String): state, instruction, reason; latched

    Parameters: `ControllerParameters`, `FrameLimits` below `frames.`, `TaskConfig` below `task.`.
    """

    def __init__(self) -> None:
        super().__init__('vla_controller')
        self._settings = Parameters(self, ControllerParameters, judge=self._judge_settings)
        self._limits = Parameters(self, FrameLimits, prefix='frames.', judge=self._judge_limits,
                                  veto=self._set_limits)
        self._task_config = Parameters(self, TaskConfig, prefix='task.', veto=self._set_task)

    def _judge_settings(self, settings: ControllerParameters, _names: frozenset[str]) -> str:
        return self._loosened_in_motion(settings, self._settings.value)

    def _judge_limits(self, limits: FrameLimits, _names: frozenset[str]) -> str:
        return self._loosened_in_motion(limits, self._limits.value)

    def _set_limits(self, limits: FrameLimits, _names: frozenset[str]) -> str:
        if hasattr(self, '_frames'):
            self._frames.limits = limits
        return ''

    def _loosened_in_motion(self, new: object, old: object) -> str:
        """Why watchdogs must not become laxer now; '' where they may, or do not."""
        names = loosened(new, old)
        if names and hasattr(self, '_odometer') and self._odometer.is_moving(time.monotonic()):
            return f'{", ".join(names)} cannot be loosened while the robot moves.'
        return ''

    def _set_task(self, config: TaskConfig, _names: frozenset[str]) -> str:
        if hasattr(self, '_task'):
            self._task.config = config
        return ''

    def configure(self) -> None:
        p = self._settings.value
        robot = load_robot(p.robot)
        policy = load_policy(p.policy or DEFAULT_POLICY, robot, p.confidence_signals)
        self._spec = policy.spec
        self._joint_names = frozenset(j.name for j in robot.controlled)
        self._top_twist = np.array([robot.base[c].velocity for c in BASE_CHANNELS]) * (1 + 1e-6)
        self._frames = FrameStore(self._spec.cameras, self._limits.value)
        self._task = TaskManager(self._task_config.value)
        self._playback = ChunkPlayback(self._spec, p.ensembling)
        self._odometer = DeadReckoning()
        self._joints: tuple[JointReading, float] | None = None
        self._seen = (0, 0)  # generation and instruction that playback and odometer belong to
        self._acted_ns = 0  # frame that the newest chunk was computed from
        self._fault = ''
        self._hangs_s = 0.0
        self._announced = ''
        self._counts = dict.fromkeys(('commands', 'commands_rejected', 'joint_states_rejected',
                                      'inferences', 'results_discarded', 'hangs', 'ticks',
                                      'deadlines_missed'), 0)
        self._last_command_problem = ''
        self._latched = ''  # what safety says while an emergency stop is latched
        self._asked_latched: tuple[Instruction, float] | None = None  # command meanwhile, and when
        self._inference_s = 0.0
        self._next_tick_s = 0.0
        self._due = False  # the next frame is to be inferred from
        self._proposals = self.advertise(JointState, '/vla/action_proposal', qos.STREAM)
        self._task_states = self.advertise(String, '/vla/task_state', qos.STATE)
        for camera in self._spec.cameras:
            topic = robot.cameras[camera].topic
            if p.compressed:
                self.subscribe(CompressedImage, f'{topic}/compressed',
                               partial(self._on_compressed, camera), qos.SENSOR_INPUT)
            else:
                self.subscribe(Image, topic, partial(self._on_image, camera), qos.SENSOR_INPUT)
        self.subscribe(JointState, robot.sensors['joint_states'].topic, self._on_joints,
                       qos.SENSOR_INPUT)
        self.subscribe(String, '/vla_command', self._on_command, qos.EVENT)
        self.subscribe(JointState, '/vla/action_gated', self._on_gated, qos.STREAM)
        self.subscribe(TwistStamped if p.stamped_twist else Twist, '/cmd_vel', self._on_cmd_vel,
                       qos.STREAM)
        self.subscribe(String, '/safety/state', self._on_safety_state, qos.STATE)
        self._worker = InferenceWorker(policy, self._wake)

    def activate(self) -> None:
        period_s = 1.0 / self._settings.value.rate_hz
        self._next_tick_s = time.monotonic() + period_s
        self.every(period_s, self._tick)

    def deactivate(self) -> None:
        self._asked_latched = None
        now = time.monotonic()
        self._task.stop(now)
        self._after_change(now)

    def release(self) -> None:
        if hasattr(self, '_worker'):
            self._worker.close()

    # --- inputs: convert, store, return -----------------------------------------------------

    def _on_image(self, camera: str, msg: Image) -> None:
        try:
            pixels = rgb_from_msg(msg)
        except ImageError as error:
            self.warn(camera, self._frames.reject(camera, str(error)))
            return
        self._add_frame(camera, pixels, to_ns(msg.header.stamp))

    def _on_compressed(self, camera: str, msg: CompressedImage) -> None:
        try:
            pixels = decode_compressed_rgb(msg.data)
        except ImageError as error:
            self.warn(camera, self._frames.reject(camera, str(error)))
            return
        self._add_frame(camera, pixels, to_ns(msg.header.stamp))

    def _add_frame(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        now = time.monotonic()
        problem = self._frames.add(camera, pixels, stamp_ns, self.now_ns(), now,
                                   self._odometer.is_moving(now))
        if problem:
            self.warn(camera, problem)
        elif self._due:
            self._start_inference(now)

    def _on_joints(self, msg: JointState) -> None:
        try:
            self._joints = joints_from_msg(msg), time.monotonic()
        except MessageError as error:
            self._counts['joint_states_rejected'] += 1
            self.warn('joints', f'joint states: {error}')

    def _on_cmd_vel(self, msg: Twist | TwistStamped) -> None:
        twist = twist_from_msg(msg.twist if isinstance(msg, TwistStamped) else msg)
        # What is beyond the limits, or NaN, did not come from safety, and no base follows it.
        if (np.abs(twist) <= self._top_twist).all():
            self._odometer.on_command(twist, time.monotonic())

    def _on_command(self, msg: String) -> None:
        self._counts['commands'] += 1
        parsed = parse_command(msg.data)
        if isinstance(parsed, Rejection):
            self._counts['commands_rejected'] += 1
            self._last_command_problem = parsed.reason
            self.warn('command', f'command refused: {parsed.reason}', every_s=1.0)
            return
        self._last_command_problem = ''
        if not self.is_active:
            return
        now = time.monotonic()
        if self._latched and not parsed.is_stop:
            # Topics have no order among each other: who heard of a reset and speaks at once may be
            # heard here before safety is.
            self._asked_latched = parsed, now
            return
        self._begin(parsed, now)

    def _begin(self, instruction: Instruction, now: float) -> None:
        self._asked_latched = None
        if not self._task.is_active:
            # A hold, once more: after a reset, safety lets nothing move before it saw one, and
            # the first action may be quicker than the next tick.
            self._propose(now)
        self._task.command(instruction, now)
        self._after_change(now)

    def _refuse_latched(self, now: float) -> None:
        """Refuse what was asked while latched, once safety had the time to say otherwise."""
        if self._asked_latched is None or now - self._asked_latched[1] < NEWS_S:
            return
        instruction, self._asked_latched = self._asked_latched[0], None
        self._counts['commands_rejected'] += 1
        self._last_command_problem = self._latched
        self._task.refuse(instruction, f'refused in {self._latched}', now)

    def _on_gated(self, msg: JointState) -> None:
        try:
            gated = decode_gated(channels_from_msg(msg), self._joint_names)
            is_open, reason = gated.is_open, gated.reason
        except ChannelError as error:
            is_open, reason = False, str(error)
        now = time.monotonic()
        self._task.on_gate(is_open, reason, now)
        self._after_change(now)

    def _on_safety_state(self, msg: String) -> None:
        was_latched = bool(self._latched)
        self._latched = msg.data if msg.data.startswith(SafetyState.ESTOP.value) else ''
        now = time.monotonic()
        if self._latched and not was_latched:
            self._task.abort(self._latched, now)
            self._after_change(now)
        elif not self._latched and self._asked_latched is not None:
            self._begin(self._asked_latched[0], now)

    # --- the loop ---------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        self._measure(now)
        self._refuse_latched(now)
        self._task.tick(now)
        self._watch_for_hang(now)
        self._after_change(now)
        # The loop says when; the next frame starts it, so that no action is computed from a frame
        # that has waited for the loop. Where none came since the last tick, none is: a proposal
        # from an old frame would only put off the moment at which safety stops for want of one.
        late = self._due
        self._due = self._task.wording is not None
        # An inference that runs or is about to is proposed as soon as its result comes.
        if late or self._fault or not self._due or self._worker.busy_s(now) > 0.05:
            self._propose(now)

    def _wake(self) -> None:
        """Have the executor's thread fetch the outcome; called from the worker's."""
        executor = self.executor
        if executor is not None:  # a guard condition would do, but the events executor has none
            executor.create_task(self._on_outcome)

    def _on_outcome(self) -> None:
        outcome = self._worker.take()
        if outcome is None:
            return
        now = time.monotonic()
        if self._hangs_s > 0.0:  # no longer
            self._hangs_s, self._fault = 0.0, ''
        self._inference_s = outcome.duration_s
        if outcome.request.generation != self._task.generation or not self.is_active:
            self._counts['results_discarded'] += 1
            return
        self._use(outcome, now)
        self._after_change(now)
        self._propose(now)

    def _use(self, outcome: Outcome, now: float) -> None:
        self._counts['inferences'] += 1
        if outcome.chunk is None:
            self.warn('inference', f'inference failed: {outcome.error}', every_s=1.0)
            self._task.on_policy_error(outcome.error, outcome.is_fatal, now)
            return
        stamp_ns = outcome.request.observation.stamp_ns
        try:
            self._playback.add(outcome.chunk, stamp_ns)
        except ValueError as error:
            self.warn('chunk', f'the policy gave nonsense: {error}', every_s=1.0)
            self._playback.clear()
            self._task.on_policy_error(str(error), False, now)
            self._seen = (self._task.generation, self._task.instruction_id)
            self._fault = f'policy: {error}'
            return
        self._fault = ''
        self._chunk = outcome.chunk
        self._acted_ns = stamp_ns
        self._task.on_inference(outcome.chunk.progress, outcome.chunk.actions[0], now)

    def _start_inference(self, now: float) -> None:
        wording = self._task.wording
        if wording is None or self._worker.is_busy:
            return
        observation = self._observe(now)
        if observation is not None:
            self._due = False
            self._worker.submit(Request(self._task.generation, wording, observation))

    def _observe(self, now: float) -> Observation | None:
        frames, self._blind = self._frames.matching(now)
        if self._blind:
            return None
        if self._joints is None or now - self._joints[1] > self._settings.value.joints_max_age_s:
            self._blind = 'no joint states'
            return None
        positions = self._joints[0].positions
        missing = [n for n in self._spec.joint_names if n not in positions]
        if missing:
            self._blind = f'joint states lack {missing[0]}'
            return None
        vector = np.array([positions[n] for n in self._spec.joint_names])
        if not np.all(np.isfinite(vector)):
            self._blind = 'joint states are not finite'
            return None
        return Observation(
            stamp_ns=min(f.stamp_ns for f in frames.values()),
            images={name: f.pixels for name, f in frames.items()},
            joint_positions=vector,
            elapsed_s=self._task.elapsed_s(now),
            travelled=self._odometer.travelled(now),
        )

    def _watch_for_hang(self, now: float) -> None:
        """Report a hung inference once in each timeout: each report uses up a retry."""
        busy_s = self._worker.busy_s(now)
        if busy_s - self._hangs_s <= self._settings.value.hang_timeout_s:
            return
        self._hangs_s = busy_s
        self._counts['hangs'] += 1
        reason = f'inference hangs for {busy_s:.1f} s'
        self.get_logger().error(reason)
        self._task.on_policy_error(reason, False, now)
        self._after_change(now)
        self._fault = reason

    def _after_change(self, now: float) -> None:
        """Follow the task: what belongs to an older attempt is forgotten, and people are told."""
        generation, instruction = self._seen
        if self._task.generation != generation:
            self._playback.clear()
            self._fault = ''
            if self._task.instruction_id != instruction:
                self._odometer.reset()
            self._seen = (self._task.generation, self._task.instruction_id)
            self._due = self._task.is_active  # neither does a new instruction
            if not self._task.is_active:
                self._propose(now)  # a stop waits for no tick
        line = self._task.describe()
        if line != self._announced:
            self._announced = line
            self._task_states.publish(String(data=line))
            self.tell('task', line)

    def _propose(self, now: float) -> None:
        stamp_ns = self._acted_ns
        action = None
        if self._fault and self._task.is_active:  # a task that has failed holds
            self._proposals.publish(channels_to_msg(encode_fault(stamp_ns, self._fault)))
            return
        frames, _ = self._frames.matching(now)
        if frames:
            newest = max(frames.values(), key=lambda f: f.stamp_ns)
            if self._task.is_active:
                # On the steady clock, so that a paused or jumping robot clock plays nothing twice.
                moment_ns = newest.stamp_ns + int((now - newest.arrival_s) * 1e9)
                action = self._playback.action_at(moment_ns)
            else:
                stamp_ns = newest.stamp_ns
        if action is None:
            proposal = Proposal(stamp_ns, Action.hold(), 0.0, 0.0)
        else:
            proposal = Proposal(stamp_ns, action, self._chunk.confidence, self._chunk.progress)
        try:
            wire = encode_proposal(proposal)
        except ChannelError as error:
            wire = encode_fault(stamp_ns, f'policy: {error}')
        self._proposals.publish(channels_to_msg(wire))

    # --- diagnostics ------------------------------------------------------------------------

    def _measure(self, now: float) -> None:
        period_s = 1.0 / self._settings.value.rate_hz
        self._counts['ticks'] += 1
        if now - self._next_tick_s > period_s / 2:
            self._counts['deadlines_missed'] += 1
            self._next_tick_s = now
        self._next_tick_s += period_s

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        values = {**self._counts, **self._frames.counts, 'task': self._task.describe(),
                  'inference_s': self._inference_s}
        if self._fault:
            return Health(ERROR, self._fault, values)
        _, blind = self._frames.matching(time.monotonic())
        problem = blind or self._frames.problem
        if problem:
            return Health(ERROR, problem, values)
        if self._last_command_problem:
            return Health(WARN, f'command refused: {self._last_command_problem}', values)
        return Health(OK, '', values)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(VlaController, args)


if __name__ == '__main__':
    main()
