"""Words that found no place, in the controller: a planner is asked, and the robot stands."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from controller_bench import ControllerBench

from vla_humanoid_control.control.planning import PlanAnswer, PlanRequest, PlanWorker
from vla_humanoid_control.language.planned import PlanQuestion, planned
from vla_humanoid_control.language.reader import why_unplaced
from vla_humanoid_control.types import Proposal, SafetyState, TaskState

HOWDY = 'give us a howdy'
HELD = "I do not know what to do about 'howdy': I do all of what is said or nothing"


class Bench(ControllerBench):
    """A controller of a policy that knows no tasks but ours, and a gate that is open."""

    def __init__(self, planner_s: float | None = 5.0,
                 unreadable: Callable[[str], str] = why_unplaced) -> None:
        super().__init__(unreadable=unreadable, planner_s=planner_s)
        self.inferred = 0
        self.wait(0.2)

    @property
    def line(self) -> str:
        return self.controller.task.describe()

    def say(self, text: str) -> PlanRequest | None:
        self.controller.on_command(text, self.now_s)
        self.wait(0.02)
        return self.controller.take_plan_request()

    def answer(self, request: PlanRequest, *plain: str) -> None:
        text = '{"steps": [' + ', '.join(f'"{p}"' for p in plain) + ']}'
        self.controller.on_plan(PlanAnswer(request.number, planned(request.question, text)),
                                self.now_s)
        self.wait(0.02)

    def wait(self, seconds: float) -> None:
        """Let time pass; the policy walks on whenever it is asked."""
        for _ in range(round(seconds / 0.02)):
            self.step()
            if (request := self.controller.take_request()) is not None:
                self.inferred += 1
                self.forward(request, 0.3)

    def stands(self) -> bool:
        """Whether nothing but holds was proposed since the last call."""
        proposals = self.controller.take_proposals()
        assert proposals
        return all(isinstance(p, Proposal) and not p.action.twist.any() and not p.action.joints
                   for p in proposals)


def test_it_stands_until_the_plan_comes_and_follows_it() -> None:
    bench = Bench()
    request = bench.say(f'{HOWDY} and sashay to the red box')
    assert request is not None
    bench.wait(1.0)
    assert bench.line == (f'HELD: {HOWDY} and sashay to the red box '
                          '(asking the planner what it means)')
    assert bench.stands() and bench.inferred == 0
    bench.answer(request, 'wave', 'go to the red box')
    assert bench.line == (f'RUNNING: {HOWDY} and sashay to the red box (step 1 of 2: wave)')
    bench.wait(0.5)
    assert bench.inferred > 0 and not bench.stands()


def test_a_plan_of_one_step_is_shown() -> None:
    bench = Bench()
    request = bench.say(HOWDY)
    assert request is not None
    bench.answer(request, 'wave')
    assert bench.line == f'RUNNING: {HOWDY} (step 1 of 1: wave)'


def test_what_comes_after_refers_to_the_plan() -> None:
    bench = Bench()
    request = bench.say('salute with your left hand')
    assert request is not None
    bench.answer(request, 'raise your left hand')
    assert bench.say('the other hand') is None
    assert bench.controller.task.wording == 'raise your right hand'


@pytest.mark.parametrize('plain', ['sing', 'do not wave', 'stop'])
def test_a_plan_that_cannot_be_done_is_held(plain: str) -> None:
    bench = Bench()
    request = bench.say(HOWDY)
    assert request is not None
    bench.answer(request, plain)
    assert bench.line == (f'FAILED: {HOWDY} ({HELD}; the planner says {plain!r}, '
                          'which cannot be done)')
    bench.wait(0.5)
    assert bench.stands() and bench.inferred == 0


@pytest.mark.parametrize('text', ['do not give us a howdy', 'give us a howdy if you are bored',
                                  'why give us a howdy', 'wave', 'stop', 'raise your hand'])
def test_nobody_is_asked_about_other_sentences(text: str) -> None:
    assert Bench().say(text) is None


def test_without_a_planner_such_words_are_held_at_once() -> None:
    bench = Bench(planner_s=None)
    assert bench.say(HOWDY) is None
    assert bench.line == f'FAILED: {HOWDY} ({HELD})'


def test_nobody_is_asked_where_the_policy_reads_the_words_itself() -> None:
    bench = Bench(unreadable=lambda text: '')
    assert bench.say(HOWDY) is None
    assert bench.line == f'RUNNING: {HOWDY}'


def test_a_late_plan_is_not_followed() -> None:
    bench = Bench(planner_s=2.0)
    request = bench.say(HOWDY)
    assert request is not None
    bench.wait(1.9)
    assert bench.line.startswith('HELD')
    bench.wait(0.3)
    failed = f'FAILED: {HOWDY} ({HELD}; the planner did not answer within 2 s)'
    assert bench.line == failed
    bench.answer(request, 'wave')
    assert bench.line == failed and bench.stands()


@pytest.mark.parametrize('text', ['walk forward', 'stop', 'sashay to the red box'])
def test_a_new_command_takes_over_at_once(text: str) -> None:
    bench = Bench()
    old = bench.say(HOWDY)
    assert old is not None
    bench.say(text)
    line = bench.line
    assert text in line
    bench.answer(old, 'wave')
    assert bench.line == line
    bench.wait(6.0)
    assert HOWDY not in bench.line


def test_it_ends_what_it_does_when_it_asks() -> None:
    bench = Bench()
    bench.say('walk forward')
    bench.wait(1.0)
    assert not bench.stands()
    assert bench.say(HOWDY) is not None
    bench.wait(0.1)
    bench.controller.take_proposals()
    bench.wait(1.0)
    assert bench.stands()


def test_an_emergency_stop_ends_the_waiting() -> None:
    bench = Bench()
    request = bench.say(HOWDY)
    assert request is not None
    bench.controller.on_safety(SafetyState.ESTOP, 'button', bench.now_s)
    assert bench.controller.task.state is TaskState.FAILED
    bench.answer(request, 'wave')
    assert bench.controller.task.state is TaskState.FAILED and bench.stands()


def test_nobody_is_asked_while_an_emergency_stop_is_latched() -> None:
    bench = Bench()
    bench.controller.on_safety(SafetyState.ESTOP, 'button', bench.now_s)
    assert bench.say(HOWDY) is None
    bench.wait(1.0)
    assert bench.controller.take_plan_request() is None
    assert bench.controller.task.state is TaskState.FAILED


# --- the thread beside it -------------------------------------------------------------------

def test_a_worker_asks_one_at_a_time_and_survives_what_a_planner_raises() -> None:
    heard, said = threading.Event(), threading.Event()
    asked: list[str] = []

    def planner(question: PlanQuestion) -> str:
        asked.append(question.instruction.text)
        heard.set()
        assert said.wait(10.0)
        if len(asked) == 1:
            raise RuntimeError('no memory')
        return 'no'

    bench, came = Bench(), threading.Semaphore(0)
    worker = PlanWorker(planner, came.release)
    requests = [bench.say(text) for text in (HOWDY, 'sing to me', 'sashay forward')]
    worker.submit(requests[0])  # type: ignore[arg-type]
    assert heard.wait(10.0) and worker.take() is None
    worker.submit(requests[1])  # type: ignore[arg-type]
    worker.submit(requests[2])  # type: ignore[arg-type]
    said.set()
    assert came.acquire(timeout=10.0) and came.acquire(timeout=10.0)
    assert asked == [HOWDY, 'sashay forward']
    answer = worker.take()
    assert answer is not None and answer.number == 3 and answer.result == 'no'
    worker.close()
