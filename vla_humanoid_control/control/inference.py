"""Runs a policy in a thread of its own, beside the control loop. Knows nothing of ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vla_humanoid_control.control.attention import Look
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.interfaces import AnswerError, PolicyError
from vla_humanoid_control.perception.seen import SeenObject
from vla_humanoid_control.support.worker_thread import WorkerThread
from vla_humanoid_control.types import RobotChunk, RobotObservation


@dataclass(frozen=True)
class Request:
    """One observation to act on.

    Attributes:
        generation: The task's; the policy is reset when it changes, and the result is worth
            nothing once the task has moved on.
        wording: The instruction for the policy; '' where it is not asked, but only looked.
        observation: What it may see.
        look: What is to be found in it first; None for nothing.
    """

    generation: int
    wording: str
    observation: RobotObservation
    look: Look | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a request: a chunk, or an error.

    Attributes:
        request: The request.
        chunk: None where it failed.
        error: Why it failed.
        is_fatal: Whether trying again is pointless; see `_is_hopeless`.
        duration_s: Time it took [s].
        retry_after_s: How long the policy is away; 0 where it is there, and failed [s].
        is_nonsense: Whether there was an answer, which makes no sense.
        seen: The objects that were found in view; None where none were looked for.
    """

    request: Request
    chunk: RobotChunk | None
    error: str
    is_fatal: bool
    duration_s: float
    retry_after_s: float = 0.0
    is_nonsense: bool = False
    seen: tuple[SeenObject, ...] | None = None


class Inference:
    """A policy that is asked by request: reset where the attempt is a new one, errors as outcomes.

    Args:
        policy: Used by nothing else from now on.
    """

    def __init__(self, policy: RobotPolicy) -> None:
        self._policy = policy
        self._generation: int | None = None

    def run(self, request: Request) -> Outcome:
        """Infer. Whatever the policy raises, even `exit()`, becomes an outcome."""
        began_s = time.monotonic()
        chunk, error, is_fatal, retry_after_s, is_nonsense = None, '', False, 0.0, False
        seen, observation = None, request.observation
        try:
            if request.look is not None:
                seen = request.look.find(observation)
                observation = request.look.shown(observation, seen)
            if request.wording:
                chunk = self._infer(request, observation)
                error = 'the policy gave no chunk' if chunk is None else ''
        except (Exception, SystemExit) as caught:
            self._generation = None
            error = str(caught) if isinstance(caught, PolicyError) else \
                f'{type(caught).__name__}: {caught}'[:200]
            is_fatal = _is_hopeless(caught)
            retry_after_s = caught.retry_after_s if isinstance(caught, PolicyError) else 0.0
            is_nonsense = isinstance(caught, AnswerError)
        return Outcome(request, chunk, error, is_fatal, time.monotonic() - began_s, retry_after_s,
                       is_nonsense, seen)

    def _infer(self, request: Request, observation: RobotObservation) -> RobotChunk | None:
        if request.generation != self._generation:
            self._policy.reset(request.wording)
            self._generation = request.generation
        return self._policy.infer(observation)

    def close(self) -> None:
        """Let go of the policy."""
        self._policy.close()


class InferenceWorker(WorkerThread[Request, Outcome]):
    """One request at a time; `take` gives its outcome.

    Args:
        policy: Used by the worker's thread alone from now on.
        on_outcome: Called from that thread when `take` has something to give.
    """

    def __init__(self, policy: RobotPolicy, on_outcome: Callable[[], None]) -> None:
        inference = Inference(policy)
        super().__init__(inference.run, on_outcome, 'inference', inference.close)

    def submit(self, request: Request) -> None:
        """Start on a request. Only when not busy.

        Raises:
            RuntimeError: It is busy.
        """
        with self._condition:
            if self._is_busy:
                raise RuntimeError('inference is still busy')
            super().submit(request)


def _is_hopeless(error: BaseException) -> bool:
    """Whether trying again is pointless: no memory, or the policy says so."""
    # torch.cuda.OutOfMemoryError derives from RuntimeError; torch need not be here.
    return isinstance(error, MemoryError) or 'OutOfMemory' in type(error).__name__ \
        or (isinstance(error, PolicyError) and error.fatal)
