"""A policy behind a GR00T server, which may be slow, dead, restarted, or another than thought."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip('zmq')
pytest.importorskip('msgpack')

import zmq

from vla_humanoid_control.interfaces import (
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    Observation,
    PolicyError,
    PolicySpec,
    Prompt,
    StateFeature,
)
from vla_humanoid_control.policy.servers.arrays import pack_npy, unpack
from vla_humanoid_control.policy.servers.gr00t import Gr00tPolicy
from vla_humanoid_control.support.errors import UserError

SPEC = PolicySpec(
    (ImageFeature('ego_view', (32, 24), times_s=(-0.1, 0.0)),),
    (StateFeature('left_arm', ('left_elbow',)), StateFeature('hand', ('left_gripper',))),
    ActionSpace((ActionGroup('left_arm', ActionKind.JOINT_POSITION, ('left_elbow',)),
                 ActionGroup('hand', ActionKind.GRIPPER, ('left_gripper', 'right_gripper'))),
                4, 0.05), latency_s=0.1)
SEEN = Observation(
    1, {'ego_view': np.full((2, 24, 32, 3), 7, np.uint8)},
    {'left_arm': np.array([[0.1]]), 'hand': np.array([[0.2]])})
ACTIONS = {'left_arm': np.arange(4, dtype=np.float32).reshape(1, 4, 1),
           'hand': 10 + np.arange(8, dtype=np.float32).reshape(1, 4, 2)}
ROWS = [[0, 10, 11], [1, 12, 13], [2, 14, 15], [3, 16, 17]]


def config(**keys: list[str]) -> dict[str, Any]:
    """What a server says of its policy, as it writes it."""
    of = {'video': ['ego_view'], 'state': ['left_arm', 'hand'], 'action': ['left_arm', 'hand'],
          'language': ['annotation.human.task_description'], **keys}
    return {kind: {'__ModalityConfig_class__': True,
                   'as_json': {'delta_indices': [0], 'modality_keys': names}}
            for kind, names in of.items()}


class StandIn:
    """A server as GR00T's is: one request, one answer, and an error as a map."""

    def __init__(self) -> None:
        self.config: Any = config()
        self.answer: Callable[[Any], Any] = lambda data: [ACTIONS, {}]
        self.token: str | None = None
        self.asked: list[Any] = []
        self.port = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        socket = zmq.Context.instance().socket(zmq.REP)
        socket.setsockopt(zmq.LINGER, 0)
        if self.port:
            socket.bind(f'tcp://127.0.0.1:{self.port}')
        else:
            self.port = socket.bind_to_random_port('tcp://127.0.0.1')
        self._ending.clear()
        self._thread = threading.Thread(target=self._serve, args=(socket,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _serve(self, socket: Any) -> None:
        while not self._ending.is_set():
            if socket.poll(20):
                answer = self._answer(unpack(socket.recv()))
                socket.send(answer if isinstance(answer, bytes) else pack_npy(answer))
        socket.close()

    def _answer(self, request: Any) -> Any:
        if self.token is not None and request.get('api_token') != self.token:
            return {'error': 'Unauthorized: Invalid API token'}
        if request['endpoint'] == 'get_modality_config':
            return self.config
        self.asked.append(request)
        return self.answer(request['data'])


@pytest.fixture
def server() -> Iterator[StandIn]:
    server = StandIn()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def policy(server: StandIn) -> Iterator[Gr00tPolicy]:
    policy = Gr00tPolicy(f'gr00t://127.0.0.1:{server.port}', SPEC)
    policy.reset(Prompt('go'))
    yield policy
    policy.close()


def test_it_is_asked_in_the_servers_own_terms(server: StandIn, policy: Gr00tPolicy) -> None:
    chunk = policy.infer(SEEN)
    np.testing.assert_array_equal(chunk.actions, ROWS)
    request, = server.asked
    assert request['endpoint'] == 'get_action' and request['data']['options'] is None
    seen = request['data']['observation']
    assert seen['video']['ego_view'].shape == (1, 2, 24, 32, 3)
    assert seen['video']['ego_view'].dtype == np.uint8
    assert {name: (v.shape, v.dtype.name) for name, v in seen['state'].items()} == {
        'left_arm': ((1, 1, 1), 'float32'), 'hand': ((1, 1, 1), 'float32')}
    assert seen['language'] == {'annotation.human.task_description': [['go']]}


@pytest.mark.parametrize(('answer', 'why'), [
    ({'error': 'Video key ego_view'}, 'reports an error: Video key ego_view'),
    (b'ERROR', 'can be read'), (b'\x80\x05K\x01.', 'can be read'), ([], 'without actions'),
    ({'action.left_arm': 1}, 'without actions'), ([{}, {}], 'none for left_arm'),
    ([{**ACTIONS, 'hand': np.zeros((1, 4, 3))}, {}], r'\[1, 4, 3\] for hand.*\[1, 4, 2\]'),
    ([{'left_arm': np.zeros((1, 16, 1)), 'hand': np.zeros((1, 16, 2))}, {}], r'\[16, 3\]'),
    ([{**ACTIONS, 'left_arm': np.full((1, 4, 1), np.nan)}, {}], 'not finite')])
def test_nonsense_is_an_error_that_passes(server: StandIn, policy: Gr00tPolicy, answer: Any,
                                          why: str) -> None:
    server.answer = lambda data: answer
    with pytest.raises(PolicyError, match=why) as refused:
        policy.infer(SEEN)
    assert not refused.value.fatal and refused.value.retry_after_s > 0
    server.answer = lambda data: [ACTIONS, {}]
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)


@pytest.mark.parametrize(('said', 'why'), [
    (config(video=['ego_view', 'wrist']), 'has video ego_view, wrist, the mapping file says ego'),
    (config(state=['left_arm']), 'has state left_arm, the mapping file says hand, left_arm'),
    (config(action=[]), 'has action none'), (config(language=[]), '0 names for the instruction'),
    ({}, 'no GR00T server of a known version'), ('hello', 'no GR00T server')])
def test_another_policy_than_the_mapping_file_says_is_told(
        server: StandIn, policy: Gr00tPolicy, said: Any, why: str) -> None:
    server.config = said
    with pytest.raises(PolicyError, match=why):
        policy.infer(SEEN)
    server.config = config()
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)


def test_a_late_answer_is_not_taken_for_the_next(server: StandIn, policy: Gr00tPolicy) -> None:
    release = threading.Event()
    server.answer = lambda data: [{n: v + 99 for n, v in ACTIONS.items()}, {}] \
        if release.wait(5.0) else []
    with pytest.raises(PolicyError, match='did not answer within'):
        policy.infer(SEEN)
    server.answer = lambda data: [ACTIONS, {}]
    release.set()
    for _ in range(3):
        np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)


def test_a_server_that_is_restarted_is_found_again(server: StandIn, policy: Gr00tPolicy) -> None:
    policy.infer(SEEN)
    server.stop()
    with pytest.raises(PolicyError) as away:
        policy.infer(SEEN)
    assert away.value.retry_after_s == 0.1
    server.start()
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)


def test_a_token_is_sent_where_there_is_one(server: StandIn, policy: Gr00tPolicy,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    server.token = 'open sesame'
    with pytest.raises(PolicyError, match='Unauthorized'):
        policy.infer(SEEN)
    monkeypatch.setenv('GR00T_API_TOKEN', 'open sesame')
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)


@pytest.mark.parametrize('address', ['gr00t://', 'gr00t://host', 'gr00t://host:port', 'host:5555',
                                     'openpi://host:1', 'gr00t://host:99999'])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match='address'):
        Gr00tPolicy(address, SPEC)
