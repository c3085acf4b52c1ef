"""A server as openpi's is, for tests: written from its protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from websockets.sync.server import Server, ServerConnection, serve

from vla_humanoid_control.policy.servers.arrays import pack, unpack

Answer = Callable[[Any], Any]


class StandIn:
    """A server as openpi's is: greets, answers each message, and says an error as text.

    `answer` makes of a request what is sent: bytes or text as they are, anything else packed.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.greeting: Any = {'model': 'stand-in'}
        self.asked: list[dict[str, Any]] = []
        self.port = 0
        self._server: Server | None = None
        self._open: list[ServerConnection] = []

    def start(self) -> None:
        self._server = serve(self._talk, '127.0.0.1', self.port, compression=None, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            for connection in self._open:
                connection.socket.close()
            self._server, self._open = None, []

    def _talk(self, connection: ServerConnection) -> None:
        self._open.append(connection)
        connection.send(pack(self.greeting))
        for message in connection:
            request = unpack(message)  # type: ignore[arg-type]
            self.asked.append(request)
            answer = self.answer(request)
            connection.send(answer if isinstance(answer, (bytes, str)) else pack(answer))
