"""A policy behind an openpi server (github.com/Physical-Intelligence/openpi), such as pi0.

A websocket carries msgpack. The server says who it is when a connection opens; each observation is
one message, and so is each answer, a map with `actions` [H, D]. Text instead of bytes is an error.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from vla_humanoid_control.interfaces import (
    ActionChunk,
    Observation,
    PolicyError,
    PolicySpec,
    Prompt,
)
from vla_humanoid_control.policy.servers.arrays import LARGEST, pack, unpack
from vla_humanoid_control.policy.servers.back_off import BackOff
from vla_humanoid_control.support.errors import UserError

SCHEMES = {'openpi': 'ws', 'openpis': 'wss'}
"""Scheme of the address to that of the websocket."""
KEY_VARIABLE = 'OPENPI_API_KEY'
"""Environment variable with the key that the server asks for, if it does."""
CONNECT_S = 1.0
"""Longest wait for a connection [s]."""
PROMPT = 'prompt'
"""Under which name the instruction travels."""


class OpenpiPolicy:
    """Asks a server for actions; what goes wrong on the way is a `PolicyError` that passes.

    Args:
        address: `openpi://HOST:PORT`, or `openpis://` where the server has TLS.
        spec: What its policy sees and gives: roles and states are the names in its messages.

    Attributes:
        spec: The same.
        metadata: What the server said of itself; empty before the first connection.
    """

    def __init__(self, address: str, spec: PolicySpec) -> None:
        parts = urlsplit(address)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise UserError(f'{address} is no address of an openpi server. Give '
                            'openpi://HOST:PORT.')
        self.spec = spec
        self.metadata: dict[Any, Any] = {}
        self._address = address
        self._url = parts._replace(scheme=SCHEMES[parts.scheme]).geturl()
        self._timeout_s = max(0.5, 3.0 * spec.latency_s)
        self._back_off = BackOff()
        self._connection: ClientConnection | None = None
        self._open = ExitStack()
        self._text = ''

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction; the server hears of it with the next observation."""
        self._text = prompt.text

    def infer(self, observation: Observation) -> ActionChunk:
        """Ask the server. Raises PolicyError where it does not answer, or answers nonsense."""
        message: dict[str, Any] = {PROMPT: self._text}
        for images in self.spec.images:
            message[images.role] = _newest(observation.images[images.role], images.times_s)
        for state in self.spec.states:
            message[state.name] = _newest(observation.state[state.name].astype(np.float32),
                                          state.times_s)
        actions = self._actions(self._ask(pack(message)))
        self._back_off.succeeded()
        return ActionChunk(actions)

    def close(self) -> None:
        """End the connection."""
        self._connection = None
        self._open.close()

    def _ask(self, message: bytes) -> Any:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.send(message)
            answer = self._connection.recv(self._timeout_s)
            if isinstance(answer, str):
                raise self._fails('reports an error: ' + (answer.strip().splitlines() or [''])[-1])
            return unpack(answer)
        except TimeoutError:
            # Its answer would be taken for that to the next question.
            raise self._fails(f'did not answer within {self._timeout_s:g} s') from None
        except ValueError as error:
            raise self._fails(f'gave no answer that can be read ({error})') from error
        except (OSError, WebSocketException) as error:
            raise self._fails(f'cannot be reached ({error or type(error).__name__})') from error

    def _connect(self) -> ClientConnection:
        key = os.environ.get(KEY_VARIABLE)
        connection = self._open.enter_context(connect(
            self._url, open_timeout=CONNECT_S, close_timeout=0.2, compression=None,
            max_size=LARGEST, proxy=None,
            additional_headers={'Authorization': f'Api-Key {key}'} if key else None))
        greeting = unpack(connection.recv(self._timeout_s, decode=False))
        if not isinstance(greeting, dict):
            raise ValueError('it does not say who it is: no openpi server?')
        self.metadata = greeting
        return connection

    def _actions(self, answer: Any) -> NDArray[np.float32]:
        shape = (self.spec.actions.horizon, len(self.spec.actions.channels))
        actions = answer.get('actions') if isinstance(answer, dict) else None
        if not isinstance(actions, np.ndarray) or actions.dtype.kind not in 'fiu':
            raise self._fails('gave an answer without actions')
        if actions.shape != shape:
            raise self._fails(f'gave actions {list(actions.shape)}, the mapping file says '
                              f'{list(shape)}')
        if not np.isfinite(actions).all():
            raise self._fails('gave an action that is not finite')
        return actions.astype(np.float32)

    def _fails(self, what: str) -> PolicyError:
        self.close()
        return PolicyError(f'policy server {self._address} {what}'[:200],
                           retry_after_s=self._back_off.failed())


def _newest(values: NDArray[Any], times_s: tuple[float, ...]) -> NDArray[Any]:
    """[T, ...] where a history is asked for, else [...]."""
    return values if len(times_s) > 1 else values[-1]

