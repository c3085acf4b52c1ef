"""Sees, hears, and proposes what to do: all of `vla_controller` but its topics and threads.

    on_frame, on_joints, on_odometry, on_twist ─┐                  ┌─► take_request ─► a policy
    on_command, on_gated, on_safety ────────────┼─► Controller ────┤                     │
    on_outcome, tick ───────────────────────────┘   ▲              └─► take_proposals    │
                                                    └───────────── on_outcome ◄──────────┘

The node drives it from topics, with an inference thread beside it; `pipeline.py` drives it in
process. Time is always an argument: `now_s` on a steady clock, stamps in the robot's clock. After
each call, `take_request` and `take_proposals` give what is to be inferred and published.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.attention import Attention
from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.detour import Detour
from vla_humanoid_control.control.dialogue import Dialogue
from vla_humanoid_control.control.inference import Outcome, Request
from vla_humanoid_control.control.planning import PlanAnswer, PlanRequest
from vla_humanoid_control.control.proposing import Motion, Proposer, Steer
from vla_humanoid_control.control.rest import Stillness
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.control.schedule import InferenceSchedule
from vla_humanoid_control.control.senses import Senses
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction, Reader, Rejection, parse_command
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.perception.seen import ObjectFinder, SeenObject
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.state_text import safety_line
from vla_humanoid_control.types import (
    Fault,
    JointReading,
    OdometryReading,
    Proposal,
    SafetyState,
    ScanReading,
)

EYES = 'head'
"""The camera through which objects are looked for."""
LATE_S = 0.05
"""An inference that has taken longer is not waited for: the tick proposes without it [s]."""


class Controller:
    """Turns camera frames and an English instruction into proposals.

    Args:
        spec: Of the policy that answers the requests.
        robot: What is controlled.
        config: How often, and what is not acted on.
        frames: Which camera frames are trusted.
        task: Limits of a task.
        unreadable: Why the policy cannot read a text to its end; see `interfaces.reading_problem`.
        read: What becomes of a person's words before the policy is told anything.
        finder: Finds objects in images of the head camera, for words that mean one by where it is;
            None where nobody looks.
        planner_s: How long it is waited for a planner, which is asked about words that found no
            place; None where nobody plans [s].

    Attributes:
        task: Where the present instruction stands.
        senses: What the policy is shown.
        dialogue: What the person said, and why it was refused.
        fault: Why there is no usable action though a task runs; '' where there is none.
        counts: What happened how often, for diagnostics.
        inference_s: Duration of the newest inference [s].
        is_due: Whether the next frame is inferred from.
    """

    def __init__(self, spec: ControlSpec, robot: RobotSpec, config: ControllerConfig,
                 frames: FrameLimits, task: TaskConfig,
                 unreadable: Callable[[str], str] = lambda text: '',
                 read: Reader = parse_command, finder: ObjectFinder | None = None,
                 planner_s: float | None = None) -> None:
        self.spec = spec
        self.task = TaskManager(task, Stillness.of(spec.channels, robot), unreadable, robot)
        self.senses = Senses(spec, robot, frames)
        self._attention = Attention(finder if EYES in spec.cameras else None, EYES,
                                    spec.joint_names, robot.knows('look_down'))
        self.task.sees = self._attention.finder is not None
        self.dialogue = Dialogue(self.task, read, planner_s)
        self.fault = ''
        self.counts = dict.fromkeys(('joint_states_rejected', 'inferences', 'results_discarded',
                                     'hangs'), 0)
        self.inference_s = 0.0
        self.is_due = False
        self._proposer = Proposer(spec, config.ensembling)
        self._detour = Detour(robot)
        # Generation, step and instruction that playback and way belong to
        self._seen = (0, 0, 0)
        self._schedule = InferenceSchedule(spec.rate_hz)
        self.configure(config=config)

    @property
    def answered(self) -> Proposal | None:
        """The newest answer that is acted on, as a proposal of no action; None before one."""
        return self._proposer.answered

    @property
    def period_s(self) -> float:
        """Time between two ticks [s]."""
        return 1.0 / self.config.rate_hz

    def configure(self, *, config: ControllerConfig | None = None,
                  frames: FrameLimits | None = None, task: TaskConfig | None = None) -> None:
        """Replace settings while running; None leaves them."""
        if config is not None:
            self.config = config
            self.senses.joints_max_age_s = config.joints_max_age_s
            self.senses.odometry_max_age_s = config.odometry_max_age_s
            self.senses.stop_delay_s = config.stop_delay_s
        self.senses.frames.limits = frames or self.senses.frames.limits
        self.task.config = task or self.task.config

    # --- what is to be done ------------------------------------------------------------------

    def take_request(self) -> Request | None:
        """What the policy is to infer now; None where nothing new. `on_outcome` answers it."""
        return self._schedule.take()

    def take_plan_request(self) -> PlanRequest | None:
        """What a planner is to be asked now; None where nothing new. `on_plan` answers it."""
        return self.dialogue.take_plan_request()

    def take_proposals(self) -> list[Proposal | Fault]:
        """What is to be published, oldest first."""
        return self._proposer.take()

    def is_moving(self, now_s: float) -> bool:
        """Whether the base is being told to move."""
        return self.senses.is_moving(now_s)

    def health(self, now_s: float) -> tuple[str, str, dict[str, Any]]:
        """For diagnostics: 'ok', 'warn' or 'error', why, and further values."""
        values = {**self.dialogue.counts, **self.counts, **self.senses.frames.counts,
                  'task': self.task.describe(), 'step': self.task.step,
                  'inference_s': self.inference_s, 'detour': self._detour.is_on(now_s)}
        if problem := self.fault or self.senses.problem(now_s) or self.senses.frames.problem:
            return 'error', problem, values
        if self.senses.base_problem:
            return 'warn', self.senses.base_problem, values
        if self.dialogue.problem:
            return 'warn', f'command refused: {self.dialogue.problem}', values
        return 'ok', '', values

    # --- the senses --------------------------------------------------------------------------

    def on_frame(self, camera: str, pixels: NDArray[np.uint8], stamp_ns: int, robot_now_ns: int,
                 now_s: float) -> str:
        """Take a frame, RGB uint8 [H, W, 3]. Says why it was refused; '' if it was accepted."""
        problem = self.senses.on_frame(camera, pixels, stamp_ns, robot_now_ns, now_s)
        if not problem and self.is_due:
            self._ask(now_s)
        return problem

    def on_joints(self, reading: JointReading, now_s: float) -> str:
        """Take a reading of some or all joints. Says why it was refused; '' if it was accepted."""
        if problem := self.senses.on_joints(reading, now_s):
            return self.refuse_joints(problem)
        self.task.on_posture(reading.positions, now_s)
        self._follow_task(now_s)
        return ''

    def refuse_joints(self, problem: str) -> str:
        """Count a reading that cannot be used; gives the problem back."""
        self.counts['joint_states_rejected'] += 1
        return f'joint_states: {problem}'

    def on_odometry(self, reading: OdometryReading, now_s: float) -> None:
        """Take where the base is by its own account."""
        self.senses.on_odometry(reading, now_s)
        self._follow_way(now_s)

    def on_scan(self, reading: ScanReading, now_s: float) -> None:
        """Take what the laser scanner sees, which may stand in the way to an object."""
        self._detour.on_scan(reading, self.senses.place(now_s), now_s)

    def on_twist(self, twist: NDArray[np.float64], now_s: float) -> None:
        """Hear what the base was told, float64 [3]: forward, left [m/s], turning left [rad/s]."""
        self.senses.on_twist(twist, now_s)
        self._follow_way(now_s)

    # --- words, and what gate and safety say -------------------------------------------------

    def on_command(self, text: str, now_s: float) -> Instruction | Rejection:
        """A person gives a command in plain English."""
        heard, is_to_begin = self.dialogue.hear(text, now_s)
        if isinstance(heard, Instruction) and is_to_begin:
            self._begin(heard, now_s)
        return heard

    def on_plan(self, answer: PlanAnswer, now_s: float) -> Instruction | str | None:
        """A planner has answered; gives back a plan, why there is none, or None of an old one."""
        result = self.dialogue.on_plan(answer, now_s)
        self._follow_task(now_s)
        return result

    def on_gated(self, is_open: bool, reason: str, now_s: float) -> None:
        """The confidence gate reports whether it lets proposals pass, or why not."""
        self.task.on_gate(is_open, reason, now_s)
        self._follow_task(now_s)

    def on_safety(self, state: SafetyState, reason: str, now_s: float) -> None:
        """Safety reports its state: an emergency stop ends the task, and no other begins."""
        was_latched = bool(self.dialogue.latched)
        line = safety_line(state, reason)
        self.dialogue.latched = line if state is SafetyState.ESTOP else ''
        self.task.on_safety(line if state is SafetyState.STOP else '', now_s)
        if self.dialogue.latched and not was_latched:
            self.task.abort(self.dialogue.latched, now_s)
            self._follow_task(now_s)
        elif (instruction := self.dialogue.put_off) is not None:
            self._begin(instruction, now_s)

    def stop(self, now_s: float) -> None:
        """End whatever runs, and forget what waits."""
        self.dialogue.forget()
        self.task.stop(now_s)
        self._follow_task(now_s)

    def _begin(self, instruction: Instruction, now_s: float) -> None:
        if not self.task.is_active:
            # A hold, once more: after a reset, safety lets nothing move before it saw one, and
            # the first action may be quicker than the next tick.
            self._propose(now_s)
        self.dialogue.begin(instruction, now_s)
        self._follow_task(now_s)

    # --- the loop ----------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Let time pass. Call at `config.rate_hz`."""
        self.dialogue.tick(now_s)
        self.task.execution.on_senses(self.senses.problem(now_s))
        self._follow_way(now_s)  # also where nothing more is heard: the base may have come to rest
        self.task.tick(now_s)
        self._watch_for_hang(now_s)
        self._follow_task(now_s)
        # The tick says when; the next frame starts it, so that no action is computed from a frame
        # that has waited for the tick. Where none came since the last tick, none is: a proposal
        # from an old frame would only put off the moment at which safety stops for want of one.
        late = self.is_due
        if late and (problem := self.senses.frames.problem or self.senses.problem(now_s)):
            self.fault = problem  # known to be blind, and not only late
        self.is_due = self.task.wording is not None and \
            (late or self._schedule.is_time(self.period_s, now_s))
        # An inference that runs or is about to is proposed as soon as its result comes.
        if late or self.fault or not self.is_due or self._schedule.busy_s(now_s) > LATE_S:
            self._propose(now_s)

    def on_outcome(self, outcome: Outcome, now_s: float) -> None:
        """Take what became of the request that was taken last."""
        if self._schedule.end():
            self.fault = ''
        self.inference_s = outcome.duration_s
        if outcome.request.generation != self.task.generation:
            self.counts['results_discarded'] += 1
            return
        self._use(outcome, now_s)
        self._follow_task(now_s)
        self._propose(now_s)

    def _use(self, outcome: Outcome, now_s: float) -> None:
        if outcome.seen is not None and not self._see(outcome, outcome.seen, now_s):
            return
        self.counts['inferences'] += 1
        if outcome.chunk is None and outcome.retry_after_s > 0.0 and not outcome.is_fatal:
            self.fault = outcome.error
            self._schedule.wait(outcome.retry_after_s, now_s)
            self.task.on_policy_away(outcome.error, now_s)
            return
        if outcome.is_nonsense:
            self._refuse_answer(outcome.error, now_s)
            return
        if outcome.chunk is None:
            self.task.on_policy_error(outcome.error, outcome.is_fatal, now_s)
            return
        request = outcome.request
        try:
            self._proposer.add(outcome.chunk, request.observation.stamp_ns, request.generation)
        except ValueError as error:
            self._refuse_answer(str(error), now_s)
            return
        self.fault = ''
        self.task.on_inference(outcome.chunk.progress, outcome.chunk.actions[0], now_s)

    def _see(self, outcome: Outcome, seen: tuple[SeenObject, ...], now_s: float) -> bool:
        """Take what was found in view; whether the policy's answer is to be used."""
        look = outcome.request.look
        assert look is not None
        if (verdict := self._attention.take(look, seen)) is not None:
            verdict.tell(self.task, now_s)
            if verdict.step is not None:
                self._steps_before = self.task.steps
        if not outcome.request.wording and not outcome.error:
            self.fault = ''
            return False
        return self._attention.may_act and outcome.request.generation == self.task.generation

    def _refuse_answer(self, why: str, now_s: float) -> None:
        """An answer that makes no sense: safety stops for that reason, and words are changed."""
        self._proposer.clear()
        self.task.on_policy_error(why, False, now_s)
        self._seen = (self.task.generation, *self._seen[1:])
        self.fault = f'policy: {why}'

    def _ask(self, now_s: float) -> None:
        wording = self.task.wording
        if wording is None or not self._schedule.is_free(now_s):
            return
        observation = self.senses.observe(self.task.elapsed_s(now_s), now_s)
        if observation is not None:
            self.is_due = False
            look = self._attention.look(self.senses.place(now_s))
            self._schedule.put(Request(self.task.generation, wording, observation, look), now_s)

    def _watch_for_hang(self, now_s: float) -> None:
        busy_s = self._schedule.hangs_s(self.config.hang_timeout_s, now_s)
        if not busy_s:
            return
        self.counts['hangs'] += 1
        reason = f'inference hangs for {busy_s:.1f} s'
        self.task.on_policy_error(reason, False, now_s)
        self._follow_task(now_s)
        self.fault = reason

    def _follow_task(self, now_s: float) -> None:
        """What belongs to an older attempt is forgotten."""
        task = self.task
        generation, step, instruction = self._seen
        if task.generation == generation:
            return
        self._proposer.clear()
        self.fault = ''
        if not task.is_active:
            self._attention.begin(None)
        if task.step_id != step:
            self._attention.begin(task.step_in_work)
            self.senses.begin(now_s)
            self._detour.begin_anew()
        elif task.instruction_id != instruction:
            self.senses.begin_words(now_s)
        self._seen = (task.generation, task.step_id, task.instruction_id)
        self.is_due = task.wording is not None  # a new instruction waits for no tick
        self._schedule.begin(now_s)
        if task.is_between or not task.is_active:
            self._propose(now_s)  # a stop waits for no tick, either

    def _follow_way(self, now_s: float) -> None:
        """What has a quantity is measured."""
        if self.task.is_measured and (way := self.senses.way(now_s)) is not None:
            self.task.on_way(way, now_s)
            self._follow_task(now_s)

    def _propose(self, now_s: float) -> None:
        if self.fault and self.task.is_active:  # a task that has failed holds
            self._proposer.refuse(self.fault)
            return
        motion = Motion.RETURN if self.task.returns_to else \
            Motion.PAUSE if self.task.is_between else \
            Motion.PLAY if self.task.is_active else Motion.NONE
        self._proposer.propose(motion, self.senses.frames.matching(now_s)[0], now_s,
                               self.task.returns_to, self._steer(now_s))

    def _steer(self, now_s: float) -> Steer | None:
        """A step to an object leaves open how to get there: it goes around what is in the way."""
        step = self.task.step_in_work
        if step is None or not step.key.startswith('go_to') or not self.config.detour_s:
            return None
        return partial(self._detour.around, place=self.senses.place(now_s),
                       soon_s=self.config.detour_s, now_s=now_s)
