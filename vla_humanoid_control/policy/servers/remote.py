"""What all clients of policy servers have in common: checks, patience, and errors that pass."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import (
    ActionChunk,
    Observation,
    PolicyError,
    PolicySpec,
    Prompt,
)
from vla_humanoid_control.support.errors import UserError

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
"""After a failure a server is asked again this long later, each time twice as long [s]."""
LEAVING_S = 2.0
"""A server that is full is waited for so long: who has just left it may not be gone yet [s]."""
LONGEST_REASON = 200
"""Longer reasons are cut [characters]."""


class ServerError(Exception):
    """What is wrong with a server, as the end of a sentence that begins with it."""


class ServerFullError(ServerError):
    """It has as many connections as it can."""


@dataclass(frozen=True)
class Answer:
    """What a server says, unchecked.

    Attributes:
        actions: [H, D].
        progress: None where it does not say.
        evidence: Name to number.
    """

    actions: Any
    progress: Any = None
    evidence: Any = field(default_factory=dict)


class RemotePolicy(ABC):
    """A policy behind a server; whatever goes wrong on the way is a `PolicyError` that passes.

    Args:
        address: As the person gave it.
        spec: What the policy sees and gives: roles, states and groups are the names in messages.

    Attributes:
        spec: The same.
        timeout_s: An answer that takes longer is given up [s].
        text: The instruction.
    """

    def __init__(self, address: str, spec: PolicySpec) -> None:
        self.spec = spec
        self.timeout_s = max(0.5, 3.0 * spec.latency_s)
        self.text = ''
        self._address = address
        self._wait_s = FIRST_WAIT_S

    @property
    def fingerprint(self) -> str:
        """What tells the policy from others, where its server says so; else empty."""
        return ''

    def greet(self) -> None:
        """See that the server is there, and is one.

        Raises:
            UserError: It is not.
        """
        ends_s = time.monotonic() + LEAVING_S
        while (error := self._failed_to_connect()) is not None:
            is_full = isinstance(error, ServerFullError)
            if not is_full or time.monotonic() > ends_s:
                remedy = 'Wait until another robot has left it.' if is_full else \
                    'Start it first, or correct its address.'
                raise UserError(f'Policy server {self._address} {error}. {remedy}') from error
            time.sleep(0.05)

    def _failed_to_connect(self) -> ServerError | None:
        try:
            self.connect()
        except ServerError as error:
            self.close()
            return error
        return None

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction; the server hears of it with the next observation."""
        self.text = prompt.text

    def infer(self, observation: Observation) -> ActionChunk:
        """Ask the server. Raises PolicyError where it does not answer, or answers nonsense."""
        try:
            answer = self.ask(observation)
            chunk = ActionChunk(self._checked(answer.actions), _progress(answer.progress),
                                self._evidence(answer.evidence))
        except ServerError as error:
            self.close()  # what comes now would be taken for the answer to the next question
            wait_s, self._wait_s = self._wait_s, min(LONGEST_WAIT_S, 2 * self._wait_s)
            raise PolicyError(f'policy server {self._address} {error}'[:LONGEST_REASON],
                              retry_after_s=wait_s) from error
        self._wait_s = FIRST_WAIT_S
        return chunk

    @abstractmethod
    def connect(self) -> None:
        """Connect where there is no connection, and hear what the server says of itself.

        Raises:
            ServerError: It is not there, or is no server of this kind.
        """

    @abstractmethod
    def ask(self, observation: Observation) -> Answer:
        """What the server answers, unchecked; connects where there is no connection.

        Raises:
            ServerError: It does not answer, or not in its own language.
        """

    @abstractmethod
    def close(self) -> None:
        """End the connection, if there is one."""

    def _checked(self, actions: Any) -> NDArray[np.float32]:
        shape = (self.spec.actions.horizon, len(self.spec.actions.channels))
        if not isinstance(actions, np.ndarray) or actions.dtype.kind not in 'fiu':
            raise ServerError('gave an answer without actions')
        if actions.shape != shape:
            raise ServerError(f'gave actions {list(actions.shape)}, the mapping file says '
                              f'{list(shape)}')
        if not np.isfinite(actions).all():
            raise ServerError('gave an action that is not finite')
        return actions.astype(np.float32)

    def _evidence(self, given: Any) -> dict[str, NDArray[np.float64]]:
        if not isinstance(given, dict) or any(
                not isinstance(v, (np.ndarray, float, int)) for v in given.values()):
            raise ServerError('gave evidence that is none')
        return {name: np.asarray(given[name], np.float64) for name in self.spec.gives
                if name in given}


def target_of(address: str, scheme: str) -> str:
    """HOST:PORT of an address; empty where it has no host, no port, or another scheme."""
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = None
    host = parts.hostname or ''
    told = f'[{host}]' if ':' in host else host
    return f'{told}:{port}' if parts.scheme == scheme and host and port is not None else ''


def _progress(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
        raise ServerError(f'gave a progress of {given!r:.40}, must lie in [0, 1]')
    return float(given)


def late(timeout_s: float) -> ServerError:
    """The server takes too long."""
    return ServerError(f'did not answer within {timeout_s:g} s')


def unreadable(error: Exception) -> ServerError:
    """The server's answer is none."""
    return ServerError(f'gave no answer that can be read ({error})')


def unreachable(error: Exception) -> ServerError:
    """There is no connection to the server."""
    return ServerError(f'cannot be reached ({error or type(error).__name__})')
