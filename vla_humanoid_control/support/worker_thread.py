"""One thing at a time in a thread of its own, beside a loop that must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Request = TypeVar('Request')
Answer = TypeVar('Answer')


class WorkerThread(Generic[Request, Answer]):
    """Answers requests; `take` gives the newest answer.

    Args:
        answer: Called by the thread alone. It may take its time, and must not raise.
        on_answer: Called from the thread when `take` has something to give.
        name: Of the thread.
        finish: Called by the thread before it ends.
    """

    def __init__(self, answer: Callable[[Request], Answer], on_answer: Callable[[], None],
                 name: str, finish: Callable[[], None] = lambda: None) -> None:
        self._work_on, self._on_answer, self._finish = answer, on_answer, finish
        self._condition = threading.Condition()
        self._request: Request | None = None
        self._answer: Answer | None = None
        self._is_busy = False
        self._closing = False
        # A daemon: a request that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Answer it, after what is worked on now; another one that still waits is dropped."""
        with self._condition:
            self._request, self._is_busy = request, True
            self._condition.notify()

    def take(self) -> Answer | None:
        """The answer that has come since the last call; None where none has."""
        with self._condition:
            answer, self._answer = self._answer, None
            return answer

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread; one that hangs for longer is left behind."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._request is not None or self._closing)
                if self._closing:
                    break
                request, self._request = self._request, None
            assert request is not None
            answer = self._work_on(request)
            with self._condition:
                self._answer, self._is_busy = answer, self._request is not None
            self._on_answer()
        self._finish()
