"""A policy behind an openpi server (github.com/Physical-Intelligence/openpi), such as pi0.

A websocket carries msgpack. The server says who it is when a connection opens; each observation is
one message, and so is each answer, a map with `actions` [H, D]. Text instead of bytes is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from vla_humanoid_control.interfaces import ActionSpace, Observation, PolicySpec, Prompt
from vla_humanoid_control.policy.servers.arrays import LARGEST, pack, unpack
from vla_humanoid_control.policy.servers.remote import (
    Answer,
    RemotePolicy,
    ServerError,
    ServerFullError,
    late,
    unreachable,
    unreadable,
)
from vla_humanoid_control.policy.servers.spec_message import FINGERPRINT, KEY, spec_from_message
from vla_humanoid_control.support.errors import UserError

SCHEMES = {'openpi': 'ws', 'openpis': 'wss'}
"""Scheme of the address to that of the websocket."""
KEY_VARIABLE = 'OPENPI_API_KEY'
"""Environment variable with the key that the server asks for, if it does."""
CONNECT_S = 1.0
"""Longest wait for a connection [s]."""
PROMPT = 'prompt'
"""Under which name the instruction travels."""
BEGINS, STAMP = 'begins', 'stamp_ns'
"""What our own server is told besides: whether the instruction begins anew, and the time of the
observation [ns]."""


class OpenpiPolicy(RemotePolicy):
    """Asks a server for actions.

    Args:
        address: `openpi://HOST:PORT`, or `openpis://` where the server has TLS.
        spec: What its policy sees and gives: roles and states are the names in its messages.

    Attributes:
        metadata: What the server said of itself; empty before the first connection.
    """

    def __init__(self, address: str, spec: PolicySpec) -> None:
        super().__init__(address, spec)
        parts = urlsplit(address)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise UserError(f'{address} is no address of an openpi server. Give '
                            'openpi://HOST:PORT.')
        self.metadata: dict[Any, Any] = {}
        self._url = parts._replace(scheme=SCHEMES[parts.scheme]).geturl()
        self._begins = True
        self._connection: ClientConnection | None = None
        self._open = ExitStack()

    def ask(self, observation: Observation) -> Answer:
        """See `RemotePolicy`."""
        message: dict[str, Any] = {PROMPT: self.text}
        for images in self.spec.images:
            message[images.role] = _newest(observation.images[images.role], images.times_s)
        for state in self.spec.states:
            message[state.name] = _newest(observation.state[state.name].astype(np.float32),
                                          state.times_s)
        self.connect()
        assert self._connection is not None
        if KEY in self.metadata:  # one of ours
            message |= {BEGINS: self._begins, STAMP: observation.stamp_ns}
        with self._as_server_error():
            self._connection.send(pack(message))
            said = self._connection.recv(self.timeout_s)
            if isinstance(said, str):
                raise ServerError('reports an error: ' + (said.strip().splitlines() or [''])[-1])
            answer = unpack(said)
        if not isinstance(answer, dict):
            raise ServerError('gave an answer without actions')
        self._begins = False
        if KEY not in self.metadata:
            return Answer(answer.get('actions'))
        return Answer(answer.get('actions'), answer.get('progress'), answer.get('evidence', {}))

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction; the server hears of it with the next observation."""
        super().reset(prompt)
        self._begins = True

    @property
    def fingerprint(self) -> str:
        """Of the policy behind one of our own servers; empty where it does not say."""
        told = self.metadata.get(FINGERPRINT)
        return told if isinstance(told, str) else ''

    @staticmethod
    def discover(address: str) -> PolicySpec | None:
        """What the policy behind a server sees and gives; None where the server does not say.

        Raises:
            UserError: It is not there, or of another version.
        """
        client = OpenpiPolicy(address, PolicySpec((), (), ActionSpace((), 1, 1.0)))
        try:
            client.greet()
            told = client.metadata.get(KEY)
            return None if told is None else spec_from_message(told)
        except ValueError as error:
            raise UserError(f'Policy server {address} says nothing that can be read of what its '
                            f'policy sees and gives ({error}). Give a mapping file: --embodiment '
                            'FILE.') from error
        finally:
            client.close()

    def close(self) -> None:
        """End the connection."""
        self._connection = None
        self._open.close()

    def connect(self) -> None:
        """See `RemotePolicy`."""
        if self._connection is not None:
            return
        key = os.environ.get(KEY_VARIABLE)
        with self._as_server_error():
            connection = self._open.enter_context(connect(
                self._url, open_timeout=CONNECT_S, close_timeout=0.2, compression=None,
                max_size=LARGEST, proxy=None,
                additional_headers={'Authorization': f'Api-Key {key}'} if key else None))
            greeting = unpack(connection.recv(self.timeout_s, decode=False))
        if not isinstance(greeting, dict):
            raise ServerError('does not say who it is: no openpi server?')
        self.metadata, self._connection = greeting, connection

    @contextmanager
    def _as_server_error(self) -> Iterator[None]:
        """Whatever goes wrong on the way, as `ServerError`."""
        try:
            yield
        except TimeoutError:
            raise late(self.timeout_s) from None
        except ValueError as error:
            raise unreadable(error) from error
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code == CloseCode.TRY_AGAIN_LATER:
                raise ServerFullError(f'is full: {error.rcvd.reason}') from error
            raise unreachable(error) from error
        except (OSError, WebSocketException) as error:
            raise unreachable(error) from error


def _newest(values: NDArray[Any], times_s: tuple[float, ...]) -> NDArray[Any]:
    """[T, ...] where a history is asked for, else [...]."""
    return values if len(times_s) > 1 else values[-1]
