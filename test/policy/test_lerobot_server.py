"""A policy behind LeRobot's server of its own, and behind one that talks nonsense."""

from __future__ import annotations

import io
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot_environment import MAPPING, make_tiny, needs_lerobot, serving

pytest.importorskip('grpc', reason='needs the clients: pip install .[servers]')
pytest.importorskip('torch', reason='whose tensors the server pickles: pip install .[train]')

import grpc
import torch

from vla_humanoid_control.interfaces import Observation, PolicyError, Prompt, StateFeature
from vla_humanoid_control.policy.embodiment_file import load_embodiment
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.policy.servers import lerobot, pickles
from vla_humanoid_control.policy.servers.lerobot import LeRobotServerPolicy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotObservation

SEEN = Observation(1, {'observation.images.head': np.full((1, 48, 64, 3), 90, np.uint8)},
                   {'observation.state': np.array([[0.1, 0.2]])})
ROWS = np.arange(24, dtype=np.float32).reshape(8, 3) / 10
SERVER = """
from vla_humanoid_control.policy.lerobot import declare_missing_operators
declare_missing_operators()
from lerobot.async_inference.policy_server import serve
serve()
"""


@pytest.fixture
def mapping(tmp_path: Path) -> str:
    path = tmp_path / 'mapping.yaml'
    path.write_text(MAPPING, encoding='utf-8')
    return str(path)


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


# --- the real one -------------------------------------------------------------------------------

@needs_lerobot
@pytest.mark.timeout(300)  # seconds to import, on however slow a machine
def test_the_server_of_lerobot_loads_a_policy_and_answers(tmp_path: Path, mapping: str) -> None:
    checkpoint, port = make_tiny('act', tmp_path / 'pretrained_model'), free_port()
    robot = load_robot('humanoid')
    with serving(['-c', SERVER, '--host=127.0.0.1', f'--port={port}'], 'PolicyServer started',
                 tmp_path):
        address = f'lerobot://localhost:{port}/act/{checkpoint}'
        policy = load_policy(address, robot, mapping)
        answers = []
        for turn, brightness in enumerate((90, 90, 200)):
            policy.reset('walk forward')
            chunk = policy.infer(RobotObservation(
                10**9 + turn, {'head': np.full((96, 128, 3), brightness, np.uint8)}, robot.home))
            assert chunk.actions.shape == (8, 2) and np.isfinite(chunk.actions).all()
            answers.append(chunk.actions)
        np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
        assert np.abs(answers[0] - answers[2]).max() > 1e-6  # it looks
        policy.close()
        with pytest.raises(UserError, match='cannot load act no/such/checkpoint'):
            load_policy(f'lerobot://localhost:{port}/act/no/such/checkpoint', robot, mapping)


# --- a stand-in, written from the protocol ------------------------------------------------------

class TimedAction:
    """As it is called there, so that its pickles look like LeRobot's."""

    def __init__(self, timestep: int, action: Any) -> None:
        self.timestamp, self.timestep, self.action = 1.5, timestep, action


TimedAction.__module__ = 'lerobot.async_inference.helpers'


class StandIn(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers each observation with what `answer` makes of its number."""

    def __init__(self) -> None:
        self.answer: Callable[[int], bytes] = actions
        self.told: list[Any] = []
        self.port = 0
        self._server: Any = None
        self._turn = 0

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.port = self._server.add_insecure_port(f'127.0.0.1:{self.port}')
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def service(self, details: Any) -> Any:
        name = details.method.rpartition('/')[2]
        if name == 'SendObservations':
            return grpc.stream_unary_rpc_method_handler(
                self._hear, request_deserializer=lerobot._OBSERVATION.FromString,
                response_serializer=lambda m: m.SerializeToString())
        return grpc.unary_unary_rpc_method_handler(
            {'Ready': lambda m, c: lerobot._EMPTY(), 'SendPolicyInstructions': self._load,
             'GetActions': lambda m, c: lerobot._ACTIONS(data=self.answer(self._turn))}[name],
            request_deserializer=lerobot._SETUP.FromString,
            response_serializer=lambda m: m.SerializeToString())

    def _load(self, message: Any, context: Any) -> Any:
        self.told.append(pickles.loads(message.data))
        return lerobot._EMPTY()

    def _hear(self, messages: Any, context: Any) -> Any:
        seen = pickles.loads(b''.join(m.data for m in messages))
        self.told.append(seen)
        self._turn = seen.state['timestep']
        return lerobot._EMPTY()


def actions(turn: int, rows: np.ndarray = ROWS) -> bytes:
    """As LeRobot's server pickles them."""
    made = [TimedAction(turn + i, a) for i, a in enumerate(torch.from_numpy(rows.copy()))]
    return _pickled(made)


def _pickled(value: Any) -> bytes:
    """A pickle with the class by LeRobot's name, though it is not here."""
    class Pickler(pickle._Pickler):  # type: ignore[name-defined, misc]
        def save_global(self, obj: Any, name: str | None = None) -> None:
            if obj is TimedAction:
                self.write(b'clerobot.async_inference.helpers\nTimedAction\n')
                self.memoize(obj)
            else:
                super().save_global(obj, name)
    Pickler.dispatch = {**pickle._Pickler.dispatch, type: Pickler.save_global}  # type: ignore[attr-defined]
    file = io.BytesIO()
    Pickler(file, 4).dump(value)
    return file.getvalue()


@pytest.fixture
def server() -> Iterator[StandIn]:
    server = StandIn()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def policy(server: StandIn, mapping: str) -> Iterator[LeRobotServerPolicy]:
    spec = load_embodiment(mapping).spec
    assert spec is not None
    policy = LeRobotServerPolicy(f'lerobot://127.0.0.1:{server.port}/act/some/where', spec)
    policy.timeout_s = 20.0  # on however slow a machine
    policy.reset(Prompt('go'))
    yield policy
    policy.close()


def test_it_is_asked_in_the_servers_own_terms(server: StandIn, policy: LeRobotServerPolicy
                                              ) -> None:
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)
    loaded, seen = server.told
    assert loaded.name == 'lerobot.async_inference.helpers.RemotePolicyConfig'
    assert (loaded.state['policy_type'], loaded.state['pretrained_name_or_path']) == (
        'act', 'some/where')
    assert loaded.state['actions_per_chunk'] == 8 and loaded.state['device'] == 'cpu'
    told = seen.state['observation']
    assert told['task'] == 'go' and seen.state['must_go'] is True
    assert told['state.1'] == pytest.approx(0.2)
    shape, dtype, pixels = told['head'].arguments
    np.testing.assert_array_equal(np.frombuffer(pixels, dtype).reshape(shape),
                                  SEEN.images['observation.images.head'][0])


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ('evil',)


@pytest.mark.parametrize(('answer', 'why'), [
    (lambda turn: b'', 'gave no answer'),
    (lambda turn: b'\xc1', 'can be read'),
    (lambda turn: actions(turn)[:-9], 'can be read'),
    (lambda turn: pickle.dumps([1, 2]), 'other than actions'),
    (lambda turn: pickle.dumps(Evil()), 'no list of actions'),
    (lambda turn: pickle.dumps({Evil()}), 'can be read'),
    (lambda turn: actions(turn - 1), 'another observation'),
    (lambda turn: actions(turn, ROWS[:5]), r'\[5, 3\], the mapping file says \[8, 3\]'),
    (lambda turn: actions(turn, ROWS * np.nan), 'not finite')])
def test_nonsense_is_an_error_that_passes_and_runs_nothing(
        server: StandIn, policy: LeRobotServerPolicy, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], bytes], why: str) -> None:
    monkeypatch.chdir(tmp_path)
    server.answer = answer
    with pytest.raises(PolicyError, match=why) as refused:
        policy.infer(SEEN)
    assert not refused.value.fatal and refused.value.retry_after_s > 0
    assert not (tmp_path / 'evil').exists()
    server.answer = actions
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)


def test_a_server_that_is_restarted_is_told_anew_which_policy(server: StandIn,
                                                              policy: LeRobotServerPolicy) -> None:
    policy.infer(SEEN)
    server.stop()
    with pytest.raises(PolicyError, match='cannot be reached'):
        policy.infer(SEEN)
    server.told.clear()
    server.start()
    np.testing.assert_array_equal(policy.infer(SEEN).actions, ROWS)
    assert server.told[0].name.endswith('RemotePolicyConfig')


def test_who_is_not_there_is_told_at_once(mapping: str) -> None:
    with pytest.raises(UserError, match=r'cannot be reached.*Start it first'):
        load_policy(f'lerobot://127.0.0.1:{free_port()}/act/x', load_robot('humanoid'), mapping)


@pytest.mark.parametrize('address', ['lerobot://', 'lerobot://host/act/x', 'lerobot://host:1',
                                     'lerobot://host:1/act', 'http://host:1/act/x'])
def test_what_is_no_address_is_refused(address: str, mapping: str) -> None:
    spec = load_embodiment(mapping).spec
    assert spec is not None
    with pytest.raises(UserError, match='address'):
        LeRobotServerPolicy(address, spec)
    with pytest.raises(UserError, match=r'one state, observation\.state'):
        LeRobotServerPolicy('lerobot://host:1/act/x', replace(
            spec, states=(StateFeature('joints', ('neck_yaw',)),)))
