"""Where the present instruction stands: one state machine, pure, with time as an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.execution import Execution
from vla_humanoid_control.control.quantity import Way
from vla_humanoid_control.control.rest import Stillness
from vla_humanoid_control.control.step_monitor import Phase, StepMonitor, Transition
from vla_humanoid_control.control.steps import StepSequence, gesture_problem, steps_problem
from vla_humanoid_control.language.asking import SightQuestion
from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.questions import Option, Question
from vla_humanoid_control.language.relations import Reference
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.state_text import task_line
from vla_humanoid_control.types import TaskState


class TaskManager:
    """Follows one instruction from the command to DONE or FAILED, one step after the other.

        IDLE --command--> RUNNING --gate closes--> HELD --hold_timeout_s--> RETRYING --> FAILED
                           ^  ^                     |                          |
                           |  +----- gate opens ----+                          |
                           +------------------------ gate opens ---------------+
        RUNNING --progress, rest--> DONE, or RUNNING with the next step
        any --stop--> DONE or IDLE    any --command--> RUNNING    any --refused command--> FAILED
        RUNNING, HELD, RETRYING --abort--> FAILED
        any --command that leaves something open--> ASKING --answer--> RUNNING
        ASKING --answer_timeout_s--> FAILED
        any --command that a planner is asked about--> HELD --plan--> RUNNING, else FAILED

    DONE and FAILED stay until the next command. A command that must not be acted on, because it
    negates or conditions or the policy cannot read it to its end, is refused: the task before it
    has ended, as the person may have meant it.

    Every step is a start of its own, with its own retries and its own time. A `StepMonitor`
    measures it (`on_way`, `on_posture`), and says which transition follows.

    Args:
        config: Limits of a task.
        stillness: What counts as rest, channel by channel of the policy; without it base channels
            come first, and joints turn.
        unreadable: Why the policy cannot read a text to its end, empty where it can; see
            `interfaces.reading_problem`.
        robot: Whose joints show a gesture; without it none is done several times.

    Attributes:
        state: The present state.
        reason: Why it is HELD, RETRYING or FAILED, or what it is ASKING; empty otherwise.
        instruction: What the person said; empty before the first command.
        generation: Grows with every start, retry, stop for a quantity and end: a result of an
            older one is to be discarded.
        step_id: Grows with every step: what a quantity is measured from begins anew with it.
        instruction_id: Grows with every step and every time its words begin anew, not with a
            retry: the policy's travelled distance and elapsed time begin anew with it.
        attempt: Retries of the present step so far, 0 to `max_retries`.
        is_between: Whether the robot is to stand because one thing is done and the next has no
            result yet; nothing speaks against the policy.
        sees: Set from outside: whether it can be looked which object a step is about.
        is_looking: Whether the step waits until its object is found; see `settle`.
        is_planning: Whether it is waited for a planner; see `await_plan`.
        execution: Whether the policy's actions reach the robot.
    """

    def __init__(self, config: TaskConfig, stillness: Stillness | None = None,
                 unreadable: Callable[[str], str] = lambda text: '',
                 robot: RobotSpec | None = None) -> None:
        self.config = config
        self._robot, self._stillness = robot, stillness
        self._unreadable = unreadable
        self.state, self.reason = TaskState.IDLE, ''
        self.generation = self.step_id = self.instruction_id = self.attempt = 0
        self.is_between = self.sees = self.is_looking = self.is_planning = False
        self.execution = Execution()
        self._question: Question | None = None
        self._load(Instruction('', False))
        self._wording = ''
        self._began_s = 0.0  # when the command came, or the step began

    @property
    def is_active(self) -> bool:
        """Whether the policy is to work on an instruction."""
        return self.state.is_active

    @property
    def wording(self) -> str | None:
        """The words to give the policy now; None where there is nothing to do.

        '' where it is not to be asked yet, but only looked for what the step is about.
        """
        if not self.is_active or self._is_left_alone:
            return None
        return '' if self.is_looking else self._wording

    @property
    def step_in_work(self) -> Step | None:
        """What is worked on; None where there is nothing to do."""
        return self._steps.step if self.is_active else None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of the instruction, with the objects that were found."""
        return self._steps.steps

    @property
    def is_measured(self) -> bool:
        """Whether `on_way` is to be told how far the base comes."""
        return self.is_active and self._steps.quantity is not None

    @property
    def step_index(self) -> int:
        """Which step is worked on, or was last, from 0 on."""
        return self._steps.index

    @property
    def step(self) -> str:
        """What is worked on, such as '2 of 3: walk forward, went 1.2 m of 2 m'; '' if nothing."""
        return str(self._steps) if self.is_active else ''

    def elapsed_s(self, now_s: float) -> float:
        """Time for which the gate was open since the words last began [s]."""
        return self.execution.elapsed_s(now_s)

    def command(self, instruction: Instruction, now_s: float) -> None:
        """Begin an instruction; the same words again while it is worked on change nothing."""
        if instruction.is_stop:
            self.stop(now_s)
            self.instruction, self.state = instruction.text, TaskState.DONE
            return
        if problem := self.problem(instruction):
            self.refuse(instruction, problem, now_s)
            if instruction.question is not None:
                self._await_answer(instruction.question, now_s)
            return
        if self.is_active and not self.is_planning \
                and self.instruction.casefold() == instruction.text.casefold():
            return
        self._load(instruction)
        self._begin_step(now_s)

    def problem(self, instruction: Instruction) -> str:
        """Why an instruction must not be acted on; '' where it may."""
        return instruction.unclear or steps_problem(instruction, self._unreadable) \
            or gesture_problem(instruction, self._robot)

    def await_plan(self, instruction: Instruction, now_s: float) -> None:
        """A planner is asked what an instruction means: `command` or `refuse` tell; all stands."""
        self._load(instruction)
        self._begin_step(now_s)
        self.is_planning, self.is_looking = True, False
        self.state, self.reason = TaskState.HELD, 'asking the planner what it means'

    @property
    def question(self) -> Question | None:
        """What waits for an answer; nothing moves meanwhile."""
        return self._question if self.state is TaskState.ASKING else None

    def settle(self, step: Step, further: Reference, now_s: float) -> None:
        """What the step is about was found.

        Args:
            step: What the policy is to do, in words that it knows.
            further: What later steps with the same object are about.
            now_s: Steady clock [s].
        """
        changes = step.text != self._steps.step.text
        self._steps.settle(step, further)
        if changes and (problem := self._unreadable(step.text)):
            self._end(TaskState.FAILED, problem, now_s)
        elif self.is_looking:
            self.is_looking = False
            self._wording = step.text
            self._start(TaskState.RUNNING, '', now_s)
            self.is_between = True

    def ask(self, question: Question, now_s: float) -> None:
        """The step cannot begin before a person has said which object is meant."""
        self._end(TaskState.ASKING, question.text, now_s)
        self._await_answer(question, now_s)

    def precede(self, step: Step, now_s: float) -> None:
        """Something else is to be done before the step, which begins anew after it."""
        self._steps.precede(step)
        self._begin_step(now_s)

    def fail(self, reason: str, now_s: float) -> None:
        """The step cannot be done, nor what comes after it."""
        self._end(TaskState.FAILED, reason, now_s)

    def answered(self, said: Instruction, option: Option) -> Instruction:
        """What an answer to the question asks for: of several steps, those that are left, too."""
        by_sight = option.steps and isinstance(self._question, SightQuestion)
        return self._steps.answered(said, option.steps) if by_sight \
            else replace(said, steps=option.steps)

    def refuse(self, instruction: Instruction, reason: str, now_s: float) -> None:
        """An instruction that must not even begin; whatever ran before has ended, too."""
        self._end(TaskState.FAILED, reason, now_s)
        self._load(replace(instruction, steps=()))

    def stop(self, now_s: float) -> None:
        """End whatever runs, at once, and what would have come after it."""
        self._end(TaskState.IDLE, '', now_s)

    def abort(self, reason: str, now_s: float) -> None:
        """Fail whatever runs, at once, for a reason that lies outside of it."""
        if self.is_active:
            self._end(TaskState.FAILED, reason, now_s)

    def on_inference(self, progress: float, action: NDArray[np.float32], now_s: float) -> None:
        """A result of the present generation came.

        Args:
            progress: In [0, 1].
            action: float32 [D], what the policy asks for now; see `RobotChunk`.
            now_s: Steady clock [s].
        """
        if not self.is_active:
            return
        self.is_between = False
        self.execution.on_inference(now_s)
        self._follow_gate(now_s)
        self._follow(self._monitor.on_inference(progress, action, self.execution.is_on,
                                                self.config, now_s), now_s)

    def on_way(self, way: Way, now_s: float) -> None:
        """The base has come so far since the step began, as `step_id` says."""
        if self.is_active:
            self._follow(self._monitor.on_way(way, now_s), now_s)

    @property
    def returns_to(self) -> Mapping[str, float]:
        """Name of each joint that is to be brought back to where it goes [rad]; empty for none."""
        return self._monitor.returns_to

    def on_posture(self, positions: Mapping[str, float], now_s: float) -> None:
        """Joints are there now, by name [rad]."""
        if self.is_active:
            self._follow(self._monitor.on_posture(positions), now_s)

    def on_gate(self, is_open: bool, reason: str, now_s: float) -> None:
        """The confidence gate reports itself; call it with every report."""
        self.execution.on_gate(is_open, reason)
        if self.is_active:
            self._follow_gate(now_s)

    def on_safety(self, blocked: str, now_s: float) -> None:
        """Safety reports why it lets no action through, or '' where it follows what passes.

        Meanwhile nothing is done: no time counts as acted on, and the policy's word for 'done' is
        not heeded. Other words would not help, so that nothing is retried either.
        """
        self.execution.on_safety(blocked, now_s)
        if self.is_active:
            self._follow_gate(now_s)

    def on_policy_error(self, reason: str, fatal: bool, now_s: float) -> None:
        """Inference failed: hold and retry, or fail at once where a retry cannot help."""
        if not self.is_active or self._is_left_alone:
            return
        if fatal:
            self._end(TaskState.FAILED, reason, now_s)
        else:
            self._retry(reason, now_s)

    def on_policy_away(self, reason: str, now_s: float) -> None:
        """The policy does not answer, but may again: hold, and retry nothing until it does."""
        if not self.is_active or self._is_left_alone:
            return
        self._pause(now_s)
        self.execution.away = reason
        self.state, self.reason = TaskState.HELD, self._held_reason()

    def tick(self, now_s: float) -> None:
        """Let time pass: time limit, hold timeout, and a start that does not get going."""
        if self.state is TaskState.ASKING \
                and now_s - self._began_s > self.config.answer_timeout_s:
            self._end(TaskState.FAILED,
                      f'no answer within {self.config.answer_timeout_s:g} s: {self.reason}', now_s)
        if not self.is_active:
            return
        waited_s = self.execution.waited_s(now_s, self.config.hold_timeout_s)
        if now_s - self._began_s > (limit_s := self.config.limit_s(self._steps.step.quantity)):
            held = '' if self.execution.is_on else self._held_reason()
            self._end(TaskState.FAILED, self._monitor.late_reason(limit_s, held), now_s)
        elif self._is_left_alone:
            return
        elif waited_s > self.config.hold_timeout_s:
            self._retry(self._held_reason(), now_s)
        elif waited_s > self.config.settle_s and self.state is TaskState.RUNNING:
            self.state, self.reason = TaskState.HELD, self._held_reason()

    def describe(self) -> str:
        """One line for people and `/vla/task_state`, such as 'RUNNING: go to the red box'."""
        told = '' if self.state is TaskState.IDLE else self.instruction
        return task_line(self.state, told, self._steps.reason(self.state, self.reason))

    def _await_answer(self, question: Question, now_s: float) -> None:
        self.state, self.reason = TaskState.ASKING, question.text
        self._question, self._began_s = question, now_s

    def _load(self, instruction: Instruction) -> None:
        self.instruction = instruction.text
        self._steps = StepSequence(instruction, self._robot is not None and self._robot.walks)
        self._monitor = StepMonitor(self._steps, self._robot, self._stillness)

    def _begin_step(self, now_s: float) -> None:
        self.step_id += 1
        self.attempt, self._wording = 0, self._steps.step.text
        self._began_s = now_s
        self._monitor.begin()
        self.is_looking = self.sees and self._steps.step.reference is not None
        self._begin_words(now_s)
        self.is_between = self.is_looking

    def _begin_words(self, now_s: float) -> None:
        self.instruction_id += 1
        self.execution.begin_words()
        self._start(TaskState.RUNNING, '', now_s)

    def _follow(self, transition: Transition, now_s: float) -> None:
        if transition is Transition.FAIL:
            self._end(TaskState.FAILED, self._monitor.problem, now_s)
        elif transition is Transition.SUCCEED:
            self._end(TaskState.DONE, '', now_s)
        elif transition is Transition.RESTART:
            self._begin_words(now_s)
        elif transition is Transition.NEXT_STEP:
            self._begin_step(now_s)
        elif transition is Transition.BRAKE:
            self._pause(now_s)
            self._start(TaskState.RUNNING, '', now_s, Phase.BRAKING)
        elif transition is Transition.RETURN:
            self._pause(now_s)
            self._start(TaskState.RUNNING, '', now_s, Phase.RETURNING)
            self._began_s = now_s
        if transition is not Transition.NONE:
            self.is_between = self.is_active

    @property
    def _is_left_alone(self) -> bool:
        """Whether the policy is not asked, and what gate and policy say is not heeded."""
        return self._monitor.phase is not Phase.POLICY or self.is_planning

    def _follow_gate(self, now_s: float) -> None:
        if self._is_left_alone:
            return
        if self.execution.is_possible:
            self.execution.start(now_s)
            self.state, self.reason = TaskState.RUNNING, ''
        elif self.execution.is_on:
            self._pause(now_s)
            self.state, self.reason = TaskState.HELD, self._held_reason()
        elif self.state is TaskState.HELD:
            self.reason = self._held_reason()

    def _held_reason(self) -> str:
        execution = self.execution
        if self.is_looking and not (execution.blind or execution.blocked or execution.away):
            return f'looking for {self._steps.step.reference}'
        return execution.reason

    def _pause(self, now_s: float) -> None:
        if self.execution.is_on:
            self.execution.pause(now_s)
            self._monitor.pause()

    def _start(self, state: TaskState, reason: str, now_s: float,
               phase: Phase = Phase.POLICY) -> None:
        self.generation += 1
        self.state, self.reason = state, reason
        self.execution.begin(now_s)
        self._monitor.begin_attempt(phase)
        self.is_between = self.is_planning = False

    def _retry(self, reason: str, now_s: float) -> None:
        if self.attempt >= self.config.max_retries:
            self._end(TaskState.FAILED, reason, now_s)
            return
        self._pause(now_s)
        self.attempt += 1
        self._wording = self._steps.reworded(self.attempt, self._unreadable)
        self._start(TaskState.RETRYING,
                    f'retry {self.attempt} of {self.config.max_retries}: {reason}', now_s)

    def _end(self, state: TaskState, reason: str, now_s: float) -> None:
        self._pause(now_s)
        self.generation += 1
        self.state, self.reason = state, reason
        self._monitor.end()
        self.is_between = self.is_looking = self.is_planning = False
