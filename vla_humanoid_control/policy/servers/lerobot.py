"""A policy behind LeRobot's asynchronous inference server (`lerobot.async_inference`).

gRPC carries pickles (`pickles.py`). The server is told which policy to load, and then has an
observation sent and its actions fetched. It answers with nothing where something went wrong, and
says why in its own log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import Observation, PolicySpec
from vla_humanoid_control.policy.servers.arrays import LARGEST
from vla_humanoid_control.policy.servers.pickles import Made, dumps, loads, tensor
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

SCHEME = 'lerobot'
CONNECT_S = 1.0
"""Longest wait for a connection [s]."""
LOAD_S, PATIENCE_S = 180.0, 0.2
"""So long a server may take to load the policy, and so long it is waited for in motion [s]."""
STATE, IMAGES = 'observation.state', 'observation.images.'
_SERVICE = '/transport.AsyncInference/'
_HELPERS = 'lerobot.async_inference.helpers'
_PIECE = 2 * 2**20  # of an observation in one message [bytes]
_BEGIN, _MIDDLE, _END = 1, 2, 3


class LeRobotServerPolicy(RemotePolicy):
    """Asks a server for actions.

    Args:
        address: `lerobot://HOST:PORT/TYPE/CHECKPOINT`, with the checkpoint as the server finds it:
            a path there (`//` before an absolute one), or a name on the Hugging Face hub.
            `?device=cuda` where it is not to run on the CPU.
        spec: What the policy sees and gives: roles and states are the names of its features.
    """

    def __init__(self, address: str, spec: PolicySpec) -> None:
        super().__init__(address, spec)
        parts = urlsplit(address)
        self._target = target_of(address, SCHEME)
        self._kind, _, self._checkpoint = parts.path.removeprefix('/').partition('/')
        if not self._target or not self._checkpoint:
            raise UserError(f'{address} is no address of a LeRobot server. Give '
                            'lerobot://HOST:PORT/TYPE/CHECKPOINT.')
        if problem := _problem(spec):
            raise UserError(f'{address}: a LeRobot server {problem}. Correct the mapping file.')
        self._device = parse_qs(parts.query).get('device', ['cpu'])[0]
        self._channel: Any = None
        self._loading: Any = None  # the server's answer to which policy it is to load
        self._is_loaded = False
        self._patience_s = PATIENCE_S
        self._turn = 0

    def greet(self) -> None:
        """As in `RemotePolicy`, and wait until the server has loaded the policy."""
        self._patience_s = LOAD_S
        try:
            super().greet()
        finally:
            self._patience_s = PATIENCE_S

    def connect(self) -> None:
        """See `RemotePolicy`. Where the server loads the policy still, that is a ServerError."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(self._target, options=[
                ('grpc.max_receive_message_length', LARGEST), ('grpc.enable_http_proxy', 0)])
            self._call('Ready', _EMPTY(), _EMPTY, CONNECT_S)
        if self._is_loaded:
            return
        if self._loading is None:
            told = Made(f'{_HELPERS}.RemotePolicyConfig', (), {
                'policy_type': self._kind, 'pretrained_name_or_path': self._checkpoint,
                'lerobot_features': _features(self.spec), 'device': self._device,
                'actions_per_chunk': self.spec.actions.horizon, 'rename_map': {}})
            self._loading = self._method('SendPolicyInstructions', _EMPTY).future(
                _SETUP(data=dumps(told)), timeout=LOAD_S)
        try:
            self._loading.result(timeout=self._patience_s)
        except grpc.FutureTimeoutError:
            raise ServerError(f'is loading {self._checkpoint}') from None
        except grpc.RpcError as error:
            self._loading = None
            raise ServerError(f'cannot load {self._kind} {self._checkpoint} '
                              f'({_details(error)})') from error
        self._loading, self._is_loaded = None, True

    def ask(self, observation: Observation) -> Answer:
        """See `RemotePolicy`."""
        self.connect()
        self._turn += 1
        state = observation.state[STATE][-1]
        seen = {**{i.role.removeprefix(IMAGES): observation.images[i.role][-1]
                   for i in self.spec.images},
                **{name: float(value) for name, value in zip(_state_names(self.spec), state)},
                'task': self.text}
        told = dumps(Made(f'{_HELPERS}.TimedObservation', (), {
            'timestamp': time.time(), 'timestep': self._turn, 'observation': seen,
            'must_go': True}))  # else one that is like the one before is not answered
        until_s = time.monotonic() + self.timeout_s
        self._call('SendObservations', _pieces(told), _EMPTY, self.timeout_s, streams=True)
        answer = self._call('GetActions', _EMPTY(), _ACTIONS, until_s - time.monotonic())
        if not answer.data:
            self._is_loaded = False  # it may have been restarted, and know of no policy
            raise ServerError('gave no answer; its own log says why')
        try:
            return Answer(_actions(loads(answer.data), self._turn))
        except ValueError as error:
            raise unreadable(error) from error

    def close(self) -> None:
        """End the connection."""
        if self._channel is not None and self._loading is None:  # else the policy is under way
            self._channel.close()
            self._channel = None

    def _call(self, name: str, message: Any, answer: Any, timeout_s: float,
              streams: bool = False) -> Any:
        try:
            return self._method(name, answer, streams)(message, timeout=max(timeout_s, 0.001))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise late(self.timeout_s) from None
            self._is_loaded = False
            raise unreachable(ConnectionError(_details(error))) from error

    def _method(self, name: str, answer: Any, streams: bool = False) -> Any:
        make = self._channel.stream_unary if streams else self._channel.unary_unary
        return make(_SERVICE + name, request_serializer=lambda m: m.SerializeToString(),
                    response_deserializer=answer.FromString)


def _problem(spec: PolicySpec) -> str:
    """What such a server cannot be told; '' where it can."""
    if [s.name for s in spec.states] != [STATE]:
        return f'takes one state, {STATE}'
    if any(not i.role.startswith(IMAGES) for i in spec.images):
        return f'takes images whose names begin with {IMAGES}'
    if any(len(t) > 1 for t in (*(i.times_s for i in spec.images),
                                *(s.times_s for s in spec.states))):
        return 'takes no histories'
    return ''


def _state_names(spec: PolicySpec) -> list[str]:
    return [f'state.{place}' for place in range(len(spec.states[0].channels))]


def _features(spec: PolicySpec) -> dict[str, Any]:
    """What observations will hold, as LeRobot describes a dataset."""
    names = _state_names(spec)
    return {STATE: {'dtype': 'float32', 'shape': (len(names),), 'names': names},
            **{i.role: {'dtype': 'image', 'shape': (i.size[1], i.size[0], 3),
                        'names': ['height', 'width', 'channels']} for i in spec.images}}


def _actions(told: Any, turn: int) -> NDArray[Any]:
    """Rows of the answer [H, D]; ValueError where it is none."""
    if not isinstance(told, list) or not told:
        raise ValueError('no list of actions')
    rows = []
    for place, one in enumerate(told):
        if not isinstance(one, Made) or one.name != f'{_HELPERS}.TimedAction' \
                or not isinstance(one.state, dict):
            raise ValueError('something other than actions')
        if one.state.get('timestep') != turn + place:
            raise ValueError('the answer to another observation')
        rows.append(tensor(one.state.get('action')))
    if len({row.shape for row in rows}) > 1:
        raise ValueError('actions of several sizes')
    return np.stack(rows)


def _pieces(data: bytes) -> Iterator[Any]:
    for start in range(0, len(data), _PIECE):
        is_last = start + _PIECE >= len(data)
        state = _END if is_last else _BEGIN if start == 0 else _MIDDLE
        yield _OBSERVATION(transfer_state=state, data=data[start:start + _PIECE])


def _details(error: Any) -> str:
    return str(error.details() or error.code()) if hasattr(error, 'details') else str(error)


def _messages() -> list[Any]:
    """Classes of the messages, of `lerobot/transport/services.proto`."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name='vla_humanoid_control/lerobot.proto', package='transport', syntax='proto3')
    fields = {'data': field.TYPE_BYTES, 'transfer_state': field.TYPE_INT32}  # an enum there
    for name, own in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, of in own.items():
            message.field.add(name=of, number=number, type=fields[of], label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f'transport.{name}'))
            for name in _MESSAGES]


_MESSAGES = {'Empty': {}, 'PolicySetup': {1: 'data'}, 'Actions': {1: 'data'},
             'Observation': {1: 'transfer_state', 2: 'data'}}
_EMPTY, _SETUP, _ACTIONS, _OBSERVATION = _messages()
