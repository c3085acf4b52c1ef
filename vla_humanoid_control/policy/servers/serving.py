"""A policy for several robots at once, behind the openpi protocol: `vla serve`.

    robot ─┐                       ┌─► a fork of the policy for each connection
    robot ─┼─► one thread ─► batch ┤
    robot ─┘                       └─► one forward pass, where the policy can do several at once

What a request may hold is bounded, nothing of it can run code, and one that is wrong is told why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from vla_humanoid_control.interfaces import (
    ActionChunk,
    Observation,
    Policy,
    PolicySpec,
    Prompt,
)
from vla_humanoid_control.policy.servers.arrays import pack, unpack
from vla_humanoid_control.policy.servers.openpi import BEGINS, PROMPT, STAMP
from vla_humanoid_control.policy.servers.spec_message import FINGERPRINT, KEY, spec_to_message

LONGEST_PROMPT = 2000
"""A longer instruction is refused [characters]."""
GATHER_S = 0.004
"""So long a batch waits for further requests [s]."""
_OVERHEAD = 64 * 1024  # of a request, beside its arrays [bytes]


@dataclass
class _Session:
    """One connection: its own policy, and what it was asked for last."""

    policy: Policy
    text: str | None = None


@dataclass
class _Job:
    """One request, and where its answer goes."""

    session: _Session
    text: str
    observation: Observation
    answer: asyncio.Future[ActionChunk]


class PolicyServer:
    """Serves a policy. Use as an asynchronous context manager.

    Args:
        policy: The policy. With a method `fork() -> Policy` each connection has one of its own;
            without, there is one connection at a time. With a static method `infer_many(policies,
            observations)` several are asked at once.
        host, port: Where it listens; port 0 takes a free one.
        most: Connections at once; a batch is no larger.
        fingerprint: Of the policy, so that a robot knows which trust artifact is its.
        on_batch: Called with the size of each batch and the time it took [s].

    Attributes:
        port: Where it listens, once it does.
    """

    def __init__(self, policy: Policy, host: str, port: int, most: int, fingerprint: str = '',
                 on_batch: Callable[[int, float], None] = lambda size, seconds: None) -> None:
        self.port = port
        self._greeting = pack({KEY: spec_to_message(policy.spec), FINGERPRINT: fingerprint})
        self._policy, self._host, self._on_batch = policy, host, on_batch
        self._fork: Callable[[], Policy] | None = getattr(policy, 'fork', None)
        self._infer_many: Any = getattr(policy, 'infer_many', None)
        self._most = most if self._fork is not None else 1
        self._full = (f'at most {most} robots at once' if self._fork is not None
                      else 'a policy without fork() serves one robot at once')
        self._count = 0
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._server: Server | None = None
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PolicyServer:
        self._server = await serve(self._talk, self._host, self.port, compression=None,
                                   max_size=largest_request(self._policy.spec))
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None and self._worker is not None
        self._worker.cancel()
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, connection: ServerConnection) -> None:
        if self._count >= self._most:
            await connection.close(CloseCode.TRY_AGAIN_LATER, self._full)
            return
        self._count += 1
        session = _Session(self._policy if self._fork is None else self._fork())
        try:
            await connection.send(self._greeting)
            async for message in connection:
                try:
                    text, begins, observation = read_request(message, self._policy.spec)
                    if begins:
                        session.text = None
                    answer: asyncio.Future[ActionChunk] = asyncio.get_running_loop(
                        ).create_future()
                    began_s = time.monotonic()
                    await self._jobs.put(_Job(session, text, observation, answer))
                    chunk = await answer
                    await connection.send(_reply(chunk, time.monotonic() - began_s))
                except ConnectionClosed:
                    raise
                except Exception as error:  # the robot is told, and the others go on
                    await connection.send(f'{type(error).__name__}: {error}')
        except ConnectionClosed:
            return
        finally:
            self._count -= 1

    async def _work(self) -> None:
        """Answer what has come, several at once, in a thread beside the network."""
        while True:
            jobs = [await self._jobs.get()]
            await asyncio.sleep(GATHER_S if self._count > 1 else 0.0)
            while not self._jobs.empty() and len(jobs) < self._most:
                jobs.append(self._jobs.get_nowait())
            began_s = time.monotonic()
            answers = await asyncio.to_thread(self._infer, jobs)
            self._on_batch(len(jobs), time.monotonic() - began_s)
            for job, answer in zip(jobs, answers):
                if job.answer.done():  # its robot is gone
                    continue
                if isinstance(answer, Exception):
                    job.answer.set_exception(answer)
                else:
                    job.answer.set_result(answer)

    def _infer(self, jobs: Sequence[_Job]) -> list[ActionChunk | Exception]:
        answers: dict[int, ActionChunk | Exception] = {}
        ready: list[int] = []
        for place, job in enumerate(jobs):
            try:
                if job.text != job.session.text:
                    job.session.policy.reset(Prompt(job.text))
                    job.session.text = job.text
                ready.append(place)
            except Exception as error:  # to the robot that asked, and to no other
                job.session.text = None
                answers[place] = error
        answers.update(self._ask([jobs[place] for place in ready], ready))
        return [answers[place] for place in range(len(jobs))]

    def _ask(self, jobs: Sequence[_Job], places: Sequence[int]
             ) -> Mapping[int, ActionChunk | Exception]:
        if self._infer_many is not None and len(jobs) > 1:
            try:
                chunks = self._infer_many([j.session.policy for j in jobs],
                                          [j.observation for j in jobs])
                return dict(zip(places, chunks, strict=True))
            except Exception as error:
                return dict.fromkeys(places, error)
        answers: dict[int, ActionChunk | Exception] = {}
        for place, job in zip(places, jobs):
            try:
                answers[place] = job.session.policy.infer(job.observation)
            except Exception as error:
                answers[place] = error
        return answers


def largest_request(spec: PolicySpec) -> int:
    """More than a request for this policy can hold [bytes]."""
    images = sum(3 * i.size[0] * i.size[1] * len(i.times_s) for i in spec.images)
    states = sum(8 * len(s.channels) * len(s.times_s) for s in spec.states)
    return images + states + 4 * LONGEST_PROMPT + _OVERHEAD


def read_request(message: bytes | str, spec: PolicySpec) -> tuple[str, bool, Observation]:
    """Instruction of a request, whether it begins anew, and the observation.

    Raises:
        ValueError: It is none for this policy.
    """
    if isinstance(message, str):
        raise ValueError('text, where msgpack belongs')
    data = unpack(message)
    if not isinstance(data, dict):
        raise ValueError('no map')
    text = data.get(PROMPT)
    if not isinstance(text, str) or len(text) > LONGEST_PROMPT:
        raise ValueError(f'{PROMPT} must be text of at most {LONGEST_PROMPT} characters')
    images = {i.role: _array(data, i.role, (len(i.times_s), i.size[1], i.size[0], 3), 'u')
              for i in spec.images}
    state = {s.name: _array(data, s.name, (len(s.times_s), len(s.channels)), 'fiu').astype(
        np.float64) for s in spec.states}
    stamp_ns = data.get(STAMP, time.time_ns())
    if isinstance(stamp_ns, bool) or not isinstance(stamp_ns, int):
        raise ValueError(f'{STAMP} must be a whole number')
    return text, bool(data.get(BEGINS)), Observation(stamp_ns, images, state)


def _array(data: Mapping[Any, Any], name: str, shape: tuple[int, ...], kinds: str
           ) -> NDArray[Any]:
    """An array [T, ...] of a request, which may leave out T where it is 1."""
    values = data.get(name)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds \
            or (kinds == 'u' and values.dtype != np.uint8) \
            or values.shape not in (shape, *([shape[1:]] if shape[0] == 1 else [])):
        there = [values.dtype, list(values.shape)] if isinstance(values, np.ndarray) else 'none'
        raise ValueError(f'{name} must be an array {list(shape)}, got {there}')
    if values.dtype.kind == 'f' and not np.isfinite(values).all():
        raise ValueError(f'{name} is not finite')
    # A message is not to be written to; an observation may be.
    return np.array(values).reshape(shape)


def _reply(chunk: ActionChunk, seconds: float) -> bytes:
    reply = {'actions': chunk.actions, 'server_timing': {'infer_ms': 1000 * seconds},
             'evidence': {name: np.asarray(value) for name, value in chunk.evidence.items()}}
    if chunk.progress is not None:
        reply['progress'] = float(chunk.progress)
    return pack(reply)
