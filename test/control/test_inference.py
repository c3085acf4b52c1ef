"""The worker thread: one request at a time, errors as results, nothing of an old task."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from vla_humanoid_control.control.inference import InferenceWorker, Outcome, Request
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.interfaces import UnreadableError
from vla_humanoid_control.types import RobotChunk, RobotObservation


class Policy:
    """Waits for permission, then answers or raises."""

    spec = ControlSpec((), (1, 1), (), ('base/linear_x',), 1, 0.1)

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.closed = threading.Event()
        self.wordings: list[str] = []
        self.error: Exception | None = None

    def reset(self, instruction: str) -> None:
        self.wordings.append(instruction)

    def close(self) -> None:
        self.closed.set()

    def infer(self, observation: RobotObservation) -> RobotChunk:
        self.may_go.wait(10.0)
        if self.error:
            raise self.error
        return RobotChunk(self.spec.channels, np.zeros((1, 1), np.float32), 0.1, 1.0,
                           observation.elapsed_s)


def request(generation: int, wording: str = 'go') -> Request:
    return Request(generation, wording, RobotObservation(generation, {}, np.zeros(0)))


class Bench:
    """A worker and a way to wait for its next outcome."""

    def __init__(self) -> None:
        self.policy = Policy()
        self._done = threading.Semaphore(0)
        self.worker = InferenceWorker(self.policy, self._done.release)

    def run(self, item: Request) -> Outcome:
        self.worker.submit(item)
        return self.next()

    def next(self) -> Outcome:
        assert self._done.acquire(timeout=5.0)
        outcome = self.worker.take()
        assert outcome is not None and self.worker.take() is None
        return outcome


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.policy.may_go.set()
    bench.worker.close()


def test_policy_is_reset_once_for_each_attempt(bench: Bench) -> None:
    for generation, wording in ((1, 'a'), (1, 'a'), (2, 'b'), (2, 'b'), (3, 'c')):
        assert bench.run(request(generation, wording)).chunk is not None
    assert bench.policy.wordings == ['a', 'b', 'c']


def test_busy_until_the_outcome_is_there(bench: Bench) -> None:
    bench.policy.may_go.clear()
    bench.worker.submit(request(1))
    with pytest.raises(RuntimeError, match='busy'):
        bench.worker.submit(request(2))
    bench.policy.may_go.set()
    assert bench.next().request.generation == 1
    assert bench.run(request(3)).request.generation == 3


def test_error_is_an_outcome_and_the_next_attempt_begins_with_a_reset(bench: Bench) -> None:
    bench.policy.error = RuntimeError('broken')
    outcome = bench.run(request(1))
    assert outcome.chunk is None and not outcome.is_fatal
    assert outcome.error == 'RuntimeError: broken'
    bench.policy.error = None
    assert bench.run(request(1)).chunk is not None
    assert bench.policy.wordings == ['go', 'go']


def test_no_answer_and_an_exit_are_errors_too(bench: Bench, monkeypatch: pytest.MonkeyPatch
                                              ) -> None:
    """Regression: the first had no reason, and the second was a hang that never ended."""
    monkeypatch.setattr(bench.policy, 'infer', lambda observation: None)
    outcome = bench.run(request(1))
    assert outcome.chunk is None and outcome.error == 'the policy gave no chunk'
    monkeypatch.setattr(bench.policy, 'infer', lambda observation: sys.exit('enough'))
    assert bench.run(request(1)).error == 'SystemExit: enough'
    monkeypatch.undo()
    assert bench.run(request(1)).chunk is not None


@pytest.mark.parametrize('error', [MemoryError('full'),
                                   type('OutOfMemoryError', (RuntimeError,), {})('full')])
def test_out_of_memory_is_fatal(bench: Bench, error: Exception) -> None:
    bench.policy.error = error
    assert bench.run(request(1)).is_fatal


def test_closing_does_not_wait_for_a_hung_policy(bench: Bench) -> None:
    bench.policy.may_go.clear()
    bench.worker.submit(request(1))
    bench.worker.close(timeout_s=0.1)
    assert bench.worker.take() is None  # it still owes the answer


def test_words_that_the_policy_cannot_read_are_no_reason_to_try_again() -> None:
    bench = Bench()
    bench.policy.error = UnreadableError('the instruction is longer than the policy reads')
    outcome = bench.run(request(1))
    assert outcome.is_fatal and outcome.error == 'the instruction is longer than the policy reads'
    bench.worker.close()
