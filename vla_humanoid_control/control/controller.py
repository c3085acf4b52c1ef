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

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.attention import Attention
from vla_humanoid_control.control.inference import Outcome, Request
from vla_humanoid_control.control.planning import PlanAnswer, Planning, PlanRequest
from vla_humanoid_control.control.proposing import Motion, Proposer
from vla_humanoid_control.control.rest import Stillness
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.control.senses import Senses
from vla_humanoid_control.control.task import TaskConfig, TaskManager
from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.language.intake import (
    Instruction,
    Reader,
    Rejection,
    check_command,
    parse_command,
)
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.planned import PlanQuestion
from vla_humanoid_control.language.reader import warm_up
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.perception.seen import ObjectFinder, SeenObject
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.state_text import safety_line
from vla_humanoid_control.support.bounds import bounded, check_bounds
from vla_humanoid_control.types import (
    CONTROL_PERIOD_S,
    Fault,
    JointReading,
    OdometryReading,
    Proposal,
    SafetyState,
)

NEWS_S = 0.3
"""For how long what safety said before a command may still be under way [s]."""
EYES = 'head'
"""The camera through which objects are looked for."""
LATE_S = 0.05
"""An inference that has taken longer is not waited for: the tick proposes without it [s]."""
_FIGURES = re.compile(r'\d+(\.\d+)?')


@dataclass(frozen=True)
class ControllerConfig:
    """How often a controller proposes, and what it does not act on.

    Attributes:
        rate_hz: Proposals per second; a policy may want to be asked less often [Hz].
        ensembling: Weight decay m of temporal ensembling; see `ChunkPlayback`.
        joints_max_age_s: Older joint states are not acted on [s].
        odometry_max_age_s: Older odometry, where the robot file lists it, is not acted on [s].
        hang_timeout_s: An inference that takes longer counts as hung [s].
        stop_delay_s: From the proposal of a hold until the base begins to brake. A base that
            follows late comes too far where this is too short, on 'walk forward two metres' [s].
    """

    rate_hz: float = bounded(1.0 / CHUNK_DT_S, 1.0, 100.0, at_start=True)
    ensembling: float = bounded(0.01, -2.0, 2.0, at_start=True)
    joints_max_age_s: float = bounded(0.3, 0.02, 5.0)
    odometry_max_age_s: float = bounded(0.5, 0.02, 5.0)
    hang_timeout_s: float = bounded(1.0, 0.1, 60.0)
    stop_delay_s: float = bounded(2 * CONTROL_PERIOD_S, 0.0, 1.0)

    def __post_init__(self) -> None:
        check_bounds(self)


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
        fault: Why there is no usable action though a task runs; '' where there is none.
        command_problem: Why the newest command was refused; '' where it was not.
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
                                    spec.joint_names)
        self.task.sees = self._attention.finder is not None
        self.fault = self.command_problem = ''
        self.counts = dict.fromkeys(('commands', 'commands_rejected', 'joint_states_rejected',
                                     'inferences', 'results_discarded', 'hangs'), 0)
        self.inference_s = 0.0
        self.is_due = False
        self._read = read
        self._planning = Planning(planner_s)
        self._proposer = Proposer(spec, config.ensembling)
        # Generation, step and instruction that playback and way belong to
        self._seen = (0, 0, 0)
        self._pending: tuple[Request, float] | None = None  # what is inferred, and since when
        self._request: Request | None = None
        self._hangs_s = 0.0
        self._not_before_s = 0.0  # until then the policy is away
        self._ask_s = 0.0  # when a policy that is slower than the ticks is to be asked next
        self._latched = ''  # what safety says while an emergency stop is latched
        self._steps_before: tuple[Step, ...] = ()  # what 'again' and 'the blue one' refer to
        self._asked_latched: tuple[Instruction, float] | None = None  # command meanwhile, and when
        self._to_plan: PlanQuestion | None = None  # what a planner can be asked about it
        self.configure(config=config)
        warm_up()  # the first command is to be read as fast as others

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
        request, self._request = self._request, None
        return request

    def take_plan_request(self) -> PlanRequest | None:
        """What a planner is to be asked now; None where nothing new. `on_plan` answers it."""
        return self._planning.take_request()

    def take_proposals(self) -> list[Proposal | Fault]:
        """What is to be published, oldest first."""
        return self._proposer.take()

    def is_moving(self, now_s: float) -> bool:
        """Whether the base is being told to move."""
        return self.senses.is_moving(now_s)

    def health(self, now_s: float) -> tuple[str, str, dict[str, Any]]:
        """For diagnostics: 'ok', 'warn' or 'error', why, and further values."""
        values = {**self.counts, **self.senses.frames.counts, 'task': self.task.describe(),
                  'step': self.task.step, 'inference_s': self.inference_s}
        if problem := self.fault or self.senses.problem(now_s) or self.senses.frames.problem:
            return 'error', problem, values
        if self.senses.base_problem:
            return 'warn', self.senses.base_problem, values
        if self.command_problem:
            return 'warn', f'command refused: {self.command_problem}', values
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

    def on_twist(self, twist: NDArray[np.float64], now_s: float) -> None:
        """Hear what the base was told, float64 [3]: forward, left [m/s], turning left [rad/s]."""
        self.senses.on_twist(twist, now_s)
        self._follow_way(now_s)

    # --- words, and what gate and safety say -------------------------------------------------

    def on_command(self, text: str, now_s: float) -> Instruction | Rejection:
        """A person gives a command in plain English."""
        self.counts['commands'] += 1
        parsed = self._answer(text) or self._read(text, self._steps_before, self.task.sees)
        if isinstance(parsed, Rejection):
            self.counts['commands_rejected'] += 1
            self.command_problem = parsed.reason
            return parsed
        self.command_problem = ''
        self._to_plan = self._planning.question_about(parsed, self._steps_before, self.task.sees)
        self._steps_before = parsed.steps or self._steps_before
        if self._latched and not parsed.is_stop:
            # Topics have no order among each other: who heard of a reset and speaks at once may be
            # heard here before safety is.
            self._asked_latched = parsed, now_s
        else:
            self._begin(parsed, now_s)
        return parsed

    def _answer(self, text: str) -> Instruction | None:
        """What was asked for, where a text answers the question that waits."""
        question, said = self.task.question, check_command(text)
        if question is None or isinstance(said, Rejection) or said.is_stop:
            return None
        option = question.answer(said.text)
        return None if option is None else self.task.answered(said, option)

    def on_gated(self, is_open: bool, reason: str, now_s: float) -> None:
        """The confidence gate reports whether it lets proposals pass, or why not."""
        self.task.on_gate(is_open, reason, now_s)
        self._follow_task(now_s)

    def on_safety(self, state: SafetyState, reason: str, now_s: float) -> None:
        """Safety reports its state: an emergency stop ends the task, and no other begins."""
        was_latched = bool(self._latched)
        self._latched = safety_line(state, reason) if state is SafetyState.ESTOP else ''
        stopped = state is SafetyState.STOP
        self.task.on_safety(safety_line(state, reason) if stopped else '', now_s)
        if self._latched and not was_latched:
            self.task.abort(self._latched, now_s)
            self._follow_task(now_s)
        elif not self._latched and self._asked_latched is not None:
            self._begin(self._asked_latched[0], now_s)

    def stop(self, now_s: float) -> None:
        """End whatever runs, and forget what waits."""
        self._asked_latched = None
        self._planning.forget()
        self.task.stop(now_s)
        self._follow_task(now_s)

    def _begin(self, instruction: Instruction, now_s: float) -> None:
        self._asked_latched = None
        if not self.task.is_active:
            # A hold, once more: after a reset, safety lets nothing move before it saw one, and
            # the first action may be quicker than the next tick.
            self._propose(now_s)
        question, self._to_plan = self._to_plan, None
        if self._planning.ask(question, self.task.problem(instruction), now_s):
            self.task.await_plan(instruction, now_s)
        else:
            self.task.command(instruction, now_s)
        self._follow_task(now_s)

    def on_plan(self, answer: PlanAnswer, now_s: float) -> Instruction | str | None:
        """A planner has answered; gives back what comes of it, as `Planning.take`."""
        asked, result = self._planning.question, self._planning.take(answer)
        if asked is None or not self.task.is_planning:
            return None
        if isinstance(result, Instruction):
            self._steps_before = result.steps
            self.task.command(result, now_s)
        elif result is not None:
            self.task.refuse(asked.instruction, result, now_s)
        self._follow_task(now_s)
        return result

    def _give_up_planning(self, now_s: float) -> None:
        question = self._planning.question
        if question is not None and (problem := self._planning.late(now_s)):
            self._planning.forget()
            if self.task.is_planning:
                self.task.refuse(question.instruction, problem, now_s)

    def _refuse_latched(self, now_s: float) -> None:
        """Refuse what was asked while latched, once safety had the time to say otherwise."""
        if self._asked_latched is None or now_s - self._asked_latched[1] < NEWS_S:
            return
        instruction, self._asked_latched = self._asked_latched[0], None
        self.counts['commands_rejected'] += 1
        self.command_problem = self._latched
        self.task.refuse(instruction, f'refused in {self._latched}', now_s)

    # --- the loop ----------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Let time pass. Call at `config.rate_hz`."""
        self._refuse_latched(now_s)
        self._give_up_planning(now_s)
        self._tell_blindness(now_s)
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
        self.is_due = self.task.wording is not None and (late or self._is_time(now_s))
        # An inference that runs or is about to is proposed as soon as its result comes.
        if late or self.fault or not self.is_due or self._busy_s(now_s) > LATE_S:
            self._propose(now_s)

    def _is_time(self, now_s: float) -> bool:
        """Whether the policy wants to be asked again. One as quick as the ticks always does."""
        wants_s = 1.0 / self.spec.rate_hz
        if wants_s > self.period_s * (1 + 1e-6) and now_s < self._ask_s - 0.5 * self.period_s:
            return False
        self._ask_s = now_s + wants_s
        return True

    def on_outcome(self, outcome: Outcome, now_s: float) -> None:
        """Take what became of the request that was taken last."""
        self._pending = None
        if self._hangs_s > 0.0:
            self._hangs_s, self.fault = 0.0, ''
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
            self._not_before_s = now_s + outcome.retry_after_s
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
        verdict = self._attention.take(look, seen)
        if verdict is not None and verdict.question is not None:
            self.task.ask(verdict.question, now_s)
        elif verdict is not None and verdict.first is not None:
            self.task.precede(verdict.first, now_s)
        elif verdict is not None and verdict.step is None:
            self.task.fail(verdict.problem, now_s)
        elif verdict is not None and verdict.step is not None and verdict.further is not None:
            self.task.settle(verdict.step, verdict.further, now_s)
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
        if wording is None or self._pending is not None or now_s < self._not_before_s:
            return
        observation = self.senses.observe(self.task.elapsed_s(now_s), now_s)
        if observation is not None:
            self.is_due = False
            self._request = Request(self.task.generation, wording, observation,
                                    self._attention.look(self.senses.place(now_s)))
            self._pending = self._request, now_s

    def _busy_s(self, now_s: float) -> float:
        return 0.0 if self._pending is None else now_s - self._pending[1]

    def _watch_for_hang(self, now_s: float) -> None:
        """Report a hung inference once in each timeout: each report uses up a retry."""
        busy_s = self._busy_s(now_s)
        if busy_s - self._hangs_s <= self.config.hang_timeout_s:
            return
        self._hangs_s = busy_s
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
        elif task.instruction_id != instruction:
            self.senses.begin_words(now_s)
        self._seen = (task.generation, task.step_id, task.instruction_id)
        self.is_due = task.wording is not None  # a new instruction waits for no tick
        self._ask_s = now_s + 1.0 / self.spec.rate_hz
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
                               self.task.returns_to)

    def _tell_blindness(self, now_s: float) -> None:
        """The task's reason for being held is the true one; other figures in it are no news."""
        problem = self.senses.problem(now_s)
        if _FIGURES.sub('', problem) != _FIGURES.sub('', self.task.blind):
            self.task.blind = problem
