"""When the policy is to be asked, and whether it still works on what it was asked last."""

from __future__ import annotations

from vla_humanoid_control.control.inference import Request


class InferenceSchedule:
    """One request at a time, as often as the policy wants.

    Args:
        rate_hz: How often it wants to be asked [Hz].
    """

    def __init__(self, rate_hz: float) -> None:
        self._wants_s = 1.0 / rate_hz
        self._request: Request | None = None  # which nobody has taken yet
        self._asked_s: float | None = None  # since when one is inferred
        self._hangs_s = 0.0
        self._not_before_s = 0.0  # until then the policy is away
        self._next_s = 0.0  # when a policy that is slower than the ticks is to be asked next

    def begin(self, now_s: float) -> None:
        """Words begin, which are asked about at once."""
        self._next_s = now_s + self._wants_s

    def wait(self, retry_after_s: float, now_s: float) -> None:
        """The policy is away for so long [s]."""
        self._not_before_s = now_s + retry_after_s

    def is_time(self, period_s: float, now_s: float) -> bool:
        """Whether it wants to be asked again; one as quick as the ticks always does.

        Args:
            period_s: Between two ticks, at each of which this is asked [s].
            now_s: Steady clock [s].
        """
        if self._wants_s > period_s * (1 + 1e-6) and now_s < self._next_s - 0.5 * period_s:
            return False
        self._next_s = now_s + self._wants_s
        return True

    def is_free(self, now_s: float) -> bool:
        """Whether a request may be put."""
        return self._asked_s is None and now_s >= self._not_before_s

    def put(self, request: Request, now_s: float) -> None:
        """Ask."""
        self._request, self._asked_s = request, now_s

    def take(self) -> Request | None:
        """What is to be inferred now; None where nothing new."""
        request, self._request = self._request, None
        return request

    def end(self) -> bool:
        """The outcome is here; whether it was reported as hung before."""
        hung, self._asked_s, self._hangs_s = self._hangs_s > 0.0, None, 0.0
        return hung

    def busy_s(self, now_s: float) -> float:
        """For how long the policy has worked on the request; 0 where there is none [s]."""
        return 0.0 if self._asked_s is None else now_s - self._asked_s

    def hangs_s(self, timeout_s: float, now_s: float) -> float:
        """For how long an inference hangs that is to be reported now; 0 where none is [s].

        Once in each timeout, as each report uses up a retry.
        """
        busy_s = self.busy_s(now_s)
        if busy_s - self._hangs_s <= timeout_s:
            return 0.0
        self._hangs_s = busy_s
        return busy_s
