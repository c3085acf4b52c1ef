"""A policy behind an openpi server, which may be slow, dead, restarted, or talk nonsense."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip('websockets')
pytest.importorskip('msgpack')

from openpi_stand_in import StandIn

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
from vla_humanoid_control.policy.servers.arrays import pack
from vla_humanoid_control.policy.servers.openpi import OpenpiPolicy
from vla_humanoid_control.support.errors import UserError

SPEC = PolicySpec(
    (ImageFeature('observation/image', (32, 24)),
     ImageFeature('observation/wrist', (8, 8), times_s=(-0.1, 0.0))),
    (StateFeature('observation/state', ('left_elbow', 'left_gripper')),),
    ActionSpace((ActionGroup('arm', ActionKind.JOINT_POSITION, ('left_elbow', 'left_gripper')),),
                4, 0.05), latency_s=0.1)
SEEN = Observation(
    1, {'observation/image': np.full((1, 24, 32, 3), 7, np.uint8),
        'observation/wrist': np.zeros((2, 8, 8, 3), np.uint8)},
    {'observation/state': np.array([[0.1, 0.2]])})
GOOD = {'actions': np.arange(8, dtype=np.float32).reshape(4, 2),
        'server_timing': {'infer_ms': 1.5}}


@pytest.fixture
def server() -> Iterator[StandIn]:
    server = StandIn(lambda request: GOOD)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def policy(server: StandIn) -> Iterator[OpenpiPolicy]:
    policy = OpenpiPolicy(f'openpi://127.0.0.1:{server.port}', SPEC)
    policy.reset(Prompt('go'))
    yield policy
    policy.close()


def test_it_is_asked_in_the_servers_own_terms(server: StandIn, policy: OpenpiPolicy) -> None:
    chunk = policy.infer(SEEN)
    np.testing.assert_array_equal(chunk.actions, GOOD['actions'])
    assert chunk.actions.dtype == np.float32 and chunk.progress is None
    assert policy.metadata == {'model': 'stand-in'}
    request, = server.asked
    assert request['prompt'] == 'go'
    assert request['observation/image'].shape == (24, 32, 3)
    assert request['observation/image'].dtype == np.uint8
    assert request['observation/wrist'].shape == (2, 8, 8, 3)
    np.testing.assert_allclose(request['observation/state'], [0.1, 0.2], rtol=1e-6)
    policy.reset(Prompt('turn'))
    policy.infer(SEEN)
    assert server.asked[-1]['prompt'] == 'turn'


@pytest.mark.parametrize(('answer', 'why'), [
    ('Traceback (most recent call last):\n  ...\nKeyError: state\n', 'an error: KeyError: state'),
    (b'\xc1', 'cannot be read|can be read'), (pack(GOOD)[:-5], 'can be read'),
    (pack([1, 2]), 'without actions'), (pack({'actions': 'all'}), 'without actions'),
    (pack({'actions': np.zeros((50, 2))}), r'\[50, 2\], the mapping file says \[4, 2\]'),
    (pack({'actions': np.zeros((4, 7))}), r'\[4, 7\]'),
    (pack({'actions': np.full((4, 2), np.nan)}), 'not finite'),
    (pack({'actions': {b'__ndarray__': True, b'data': b'x', b'dtype': '|O', b'shape': [1]}}),
     'can be read'),
    (pack({'actions': {b'__ndarray__': True, b'data': b'x', b'dtype': '<f4', b'shape': [9]}}),
     'can be read')])
def test_nonsense_is_an_error_that_passes(server: StandIn, policy: OpenpiPolicy, answer: Any,
                                          why: str) -> None:
    server.answer = lambda request: answer
    with pytest.raises(PolicyError, match=why) as refused:
        policy.infer(SEEN)
    assert not refused.value.fatal and refused.value.retry_after_s > 0
    assert str(server.port) in str(refused.value)
    server.answer = lambda request: GOOD
    np.testing.assert_array_equal(policy.infer(SEEN).actions, GOOD['actions'])


def test_a_late_answer_is_not_taken_for_the_next(server: StandIn, policy: OpenpiPolicy) -> None:
    release = threading.Event()
    server.answer = lambda request: release.wait(5.0) and {'actions': np.full((4, 2), 9.0)}
    with pytest.raises(PolicyError, match='did not answer within'):
        policy.infer(SEEN)
    server.answer = lambda request: GOOD
    release.set()
    for _ in range(3):
        np.testing.assert_array_equal(policy.infer(SEEN).actions, GOOD['actions'])


def test_a_server_that_is_restarted_is_found_again(server: StandIn, policy: OpenpiPolicy) -> None:
    policy.infer(SEEN)
    server.stop()
    waits = []
    for _ in range(6):
        with pytest.raises(PolicyError, match='cannot be reached') as away:
            policy.infer(SEEN)
        waits.append(away.value.retry_after_s)
    assert waits == sorted(waits) and waits[0] == 0.1 and waits[-1] == 2.0
    server.start()
    np.testing.assert_array_equal(policy.infer(SEEN).actions, GOOD['actions'])
    server.stop()
    with pytest.raises(PolicyError) as away:
        policy.infer(SEEN)
    assert away.value.retry_after_s == 0.1


def test_what_is_no_openpi_server_is_told(server: StandIn, policy: OpenpiPolicy) -> None:
    server.greeting = 'hello'
    with pytest.raises(PolicyError, match='no openpi server'):
        policy.infer(SEEN)


def test_a_port_that_accepts_and_says_nothing_is_given_up(policy: OpenpiPolicy) -> None:
    with socket.create_server(('127.0.0.1', 0)) as silent:
        mute = OpenpiPolicy(f'openpi://127.0.0.1:{silent.getsockname()[1]}', SPEC)
        began_s = time.monotonic()
        with pytest.raises(PolicyError):
            mute.infer(SEEN)
        assert time.monotonic() - began_s < 10.0  # generous: that it ends is what counts


@pytest.mark.parametrize('address', ['openpi://', 'http://host:1', 'openpi:host', 'host:8000'])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match='address'):
        OpenpiPolicy(address, SPEC)
