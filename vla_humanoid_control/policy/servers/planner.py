"""A planner behind a server that speaks the chat completions protocol of OpenAI's API.

Ollama, vLLM, llama.cpp and others serve it: one POST to `ADDRESS/chat/completions` with JSON, and
one answer, `{"choices": [{"message": {"content": "..."}}]}`. Nobody but that address is spoken to:
no redirect is followed, and no proxy is used.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.language.planned import GUIDE, PlanQuestion, planned
from vla_humanoid_control.policy.servers.remote import (
    LONGEST_REASON,
    ServerError,
    late,
    unreachable,
    unreadable,
)
from vla_humanoid_control.support.errors import UserError

KEY_VARIABLE = 'PLANNER_API_KEY'
"""Environment variable with the key that the server asks for, if it does."""
LARGEST = 65_536
"""A longer answer is not read [bytes]."""
_MOST_TOKENS = 1024  # of an answer
_CHUNK = 4096


class ServedPlanner:
    """Asks a server what words mean.

    Args:
        address: Such as `http://localhost:11434/v1`; `https` where the server has TLS.
        model: Name of the model, as the server knows it.
        timeout_s: An answer that takes longer is given up [s].

    Raises:
        UserError: The address is none.
    """

    def __init__(self, address: str, model: str, timeout_s: float) -> None:
        self._address, self._model, self._timeout_s = address, model, timeout_s
        self._parts = _parts_of(address)

    def __call__(self, question: PlanQuestion) -> Instruction | str:
        """What is to be done, or why nothing is; see `planned`."""
        try:
            return planned(question, self._ask(question.text))
        except ServerError as error:
            return f'the planner at {self._address} {error}'[:LONGEST_REASON]

    def _ask(self, text: str) -> str:
        """What the server answers. Raises ServerError where it is no answer."""
        body = self._post(json.dumps({
            'model': self._model, 'temperature': 0, 'stream': False, 'max_tokens': _MOST_TOKENS,
            'messages': [{'role': 'system', 'content': GUIDE},
                         {'role': 'user', 'content': text}]}).encode())
        try:
            said = json.loads(body)['choices'][0]['message']['content']
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ServerError('gave no answer that can be read') from None
        if not isinstance(said, str):
            raise ServerError('gave no answer that can be read')
        return said

    def _post(self, body: bytes) -> bytes:
        kind = HTTPSConnection if self._parts.scheme == 'https' else HTTPConnection
        connection = kind(self._parts.hostname or '', self._parts.port, timeout=self._timeout_s)
        ends_s = time.monotonic() + self._timeout_s
        try:
            connection.connect()
            # Its timeout is for each piece of an answer: one that trickles would have no end.
            end = threading.Timer(self._timeout_s, _cut, (connection.sock,))
            end.daemon = True
            end.start()
            try:
                connection.request('POST', f'{self._parts.path.rstrip("/")}/chat/completions',
                                   body, self._headers())
                answer = _body_of(connection)
            finally:
                end.cancel()
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= ends_s:
                raise late(self._timeout_s) from None
            raise (unreachable if isinstance(error, OSError) else unreadable)(error) from error
        finally:
            connection.close()
        if time.monotonic() >= ends_s:  # it was cut, which reads like an end
            raise late(self._timeout_s)
        return answer

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(KEY_VARIABLE)
        return {'Content-Type': 'application/json', 'Accept': 'application/json',
                **({'Authorization': f'Bearer {key}'} if key else {})}


def _body_of(connection: HTTPConnection) -> bytes:
    answer: Any = connection.getresponse()
    if answer.status != 200:
        raise ServerError(f'reports an error: {answer.status} {answer.reason}')
    body = b''
    while piece := answer.read1(_CHUNK):
        body += piece
        if len(body) > LARGEST:
            raise ServerError(f'gave an answer of more than {LARGEST} bytes')
    return body


def _cut(connection: socket.socket) -> None:
    """End a connection that another thread reads from."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


def _parts_of(address: str) -> SplitResult:
    problem = UserError(f'{address!r} is no address of a planner. Give one such as '
                        'http://localhost:11434/v1.')
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ('http', 'https') or not parts.hostname or port == 0 \
            or parts.query or parts.fragment or parts.username is not None \
            or any(c.isspace() or not c.isprintable() for c in address):
        raise problem
    return parts
