"""A policy behind an Isaac-GR00T server (github.com/NVIDIA/Isaac-GR00T, N1.6 and newer).

ZeroMQ carries msgpack, one request and one answer at a time:

    {'endpoint': 'get_action', 'data': {'observation': {
        'video': {role: uint8 [1, T, H, W, 3]}, 'state': {name: float32 [1, T, D]},
        'language': {key: [[text]]}}, 'options': None}}
    [{group: float32 [1, H, D]}, info]   or   {'error': text}

Older servers answer with pickles, which are refused: they can run code.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import Observation, PolicySpec
from vla_humanoid_control.policy.servers.arrays import LARGEST, pack_npy, unpack
from vla_humanoid_control.policy.servers.remote import (
    Answer,
    RemotePolicy,
    ServerError,
    late,
    target_of,
    unreachable,
    unreadable,
)
from vla_humanoid_control.support.errors import UserError

SCHEME = 'gr00t'
TOKEN_VARIABLE = 'GR00T_API_TOKEN'
"""Environment variable with the token that the server asks for, if it does."""


class Gr00tPolicy(RemotePolicy):
    """Asks a server for actions.

    Args:
        address: `gr00t://HOST:PORT`.
        spec: What its policy sees and gives: roles, states and action groups are the modality keys
            of the server's embodiment, without 'video.', 'state.' and 'action.'.
    """

    def __init__(self, address: str, spec: PolicySpec) -> None:
        super().__init__(address, spec)
        if not (target := target_of(address, SCHEME)):
            raise UserError(f'{address} is no address of a GR00T server. Give gr00t://HOST:PORT.')
        self._endpoint = f'tcp://{target}'
        self._socket: zmq.Socket[bytes] | None = None
        self._language = ''  # the key under which the instruction travels

    def ask(self, observation: Observation) -> Answer:
        """See `RemotePolicy`."""
        self.connect()
        answer = self._call('get_action', {'observation': {
            'video': {i.role: observation.images[i.role][None] for i in self.spec.images},
            'state': {s.name: observation.state[s.name][None].astype(np.float32)
                      for s in self.spec.states},
            'language': {self._language: [[self.text]]}}, 'options': None})
        actions = answer[0] if isinstance(answer, list) and answer else None
        if not isinstance(actions, dict):
            raise ServerError('gave an answer without actions')
        return Answer(np.concatenate([self._group(actions, group.name, len(group.channels))
                                      for group in self.spec.actions.groups], axis=1))

    def close(self) -> None:
        """End the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close(linger=0)

    def connect(self) -> None:
        """Learn what the server's policy sees and gives, and compare it with the mapping file."""
        if self._socket is not None:
            return
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        socket.setsockopt(zmq.IPV6, 1)
        try:
            socket.connect(self._endpoint)
        except zmq.ZMQError as error:
            socket.close()
            raise unreachable(error) from error
        self._socket = socket
        config = self._call('get_modality_config')
        keys = {kind: _keys(config, kind) for kind in ('video', 'state', 'action', 'language')}
        if len(keys['language']) != 1:
            raise ServerError('is of a version that is not known: it has '
                              f'{len(keys["language"])} names for the instruction')
        self._language = keys['language'][0]
        for kind, ours in (('video', {i.role for i in self.spec.images}),
                           ('state', {s.name for s in self.spec.states}),
                           ('action', {g.name for g in self.spec.actions.groups})):
            if ours != set(keys[kind]):
                raise ServerError(f'has {kind} {", ".join(keys[kind]) or "none"}, the mapping '
                                  f'file says {", ".join(sorted(ours)) or "none"}')

    def _call(self, endpoint: str, data: Any = None) -> Any:
        assert self._socket is not None
        request = {'endpoint': endpoint} | ({} if data is None else {'data': data})
        if token := os.environ.get(TOKEN_VARIABLE):
            request['api_token'] = token
        try:
            self._socket.send(pack_npy(request))
            if not self._socket.poll(round(1000 * self.timeout_s)):
                raise late(self.timeout_s)
            answer = unpack(self._socket.recv())
        except ValueError as error:
            raise unreadable(error) from error
        except zmq.ZMQError as error:
            raise unreachable(error) from error
        if isinstance(answer, dict) and 'error' in answer:
            raise ServerError(f'reports an error: {answer["error"]}')
        return answer

    def _group(self, actions: dict[Any, Any], name: str, width: int) -> NDArray[Any]:
        values = actions.get(name)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in 'fiu' \
                or values.ndim != 3 or values.shape[0] != 1 or values.shape[2] != width:
            shape = list(values.shape) if isinstance(values, np.ndarray) else 'none'
            raise ServerError(f'gave actions {shape} for {name}, the mapping file says '
                              f'{[1, self.spec.actions.horizon, width]}')
        return np.asarray(values[0])


def _keys(config: Any, kind: str) -> list[str]:
    """Modality keys of one kind, from what the server says of itself."""
    try:
        keys = config[kind]['as_json']['modality_keys']
        return [str(key).removeprefix(f'{kind}.') if kind != 'language' else str(key)
                for key in keys]
    except (KeyError, TypeError) as error:
        raise ServerError('does not say what it sees and gives: no GR00T server of a known '
                          'version?') from error
