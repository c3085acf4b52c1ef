"""A stand-in for a server of chat completions, written from the protocol: well behaved or not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class StandIn:
    """A server of chat completions on a port of this machine.

    Attributes:
        heard: Path, headers and body of each request.
        answer: What it does with one.
    """

    def __init__(self) -> None:
        heard: list[tuple[str, dict[str, str], Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers['Content-Length']))
                heard.append((self.path, dict(self.headers), json.loads(body)))
                outer.answer(self)

            def log_message(self, *args: Any) -> None:
                """Quietly."""

        self.heard = heard
        self.answer: Answer = plan('wave')
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self._server.daemon_threads = True
        self.address = f'http://127.0.0.1:{self._server.server_address[1]}/v1'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def reply(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header('Content-Length', str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return answer


def says(content: Any) -> Answer:
    return reply(json.dumps({'id': 'x', 'object': 'chat.completion', 'choices': [
        {'index': 0, 'finish_reason': 'stop',
         'message': {'role': 'assistant', 'content': content}}]}).encode())


def plan(*steps: str | None) -> Answer:
    return says(json.dumps({'steps': steps}))
