"""A policy for several robots at once: each has its own instruction, and none disturbs another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip('websockets')
pytest.importorskip('msgpack')

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.interfaces import (
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    Observation,
    PolicyError,
    PolicySpec,
    Prompt,
    StateFeature,
    UnreadableError,
)
from vla_humanoid_control.policy.registry import fingerprint, load_policy
from vla_humanoid_control.policy.servers.arrays import pack, unpack
from vla_humanoid_control.policy.servers.openpi import OpenpiPolicy
from vla_humanoid_control.policy.servers.serving import PolicyServer, largest_request
from vla_humanoid_control.policy.servers.spec_message import (
    KEY,
    spec_from_message,
    spec_to_message,
)
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotObservation

SPEC = PolicySpec(
    (ImageFeature('head', (8, 6), 'crop'),),
    (StateFeature('joints', ('left_elbow',), (-0.1, 0.0)),),
    ActionSpace((ActionGroup('arm', ActionKind.JOINT_DELTA, ('left_elbow',),
                             relative_to='observation'),), 2, 0.05),
    rate_hz=20.0, latency_s=0.5, gives=frozenset({'confidence', 'hunch'}))
SEEN = Observation(7, {'head': np.zeros((1, 6, 8, 3), np.uint8)},
                   {'joints': np.array([[0.1], [0.2]])})


class Echo:
    """Answers with the length of its instruction, and how often it was asked on it."""

    batches: list[int] = []

    def __init__(self) -> None:
        self.spec = SPEC
        self.text, self.turn = '', 0

    def fork(self) -> Echo:
        return Echo()

    def reset(self, prompt: Prompt) -> None:
        if prompt.text == 'in French':
            raise UnreadableError('it reads English only')
        self.text, self.turn = prompt.text, 0

    def infer(self, observation: Observation) -> ActionChunk:
        if self.text == 'explode':
            raise KeyError('no such weight')
        self.turn += 1
        return ActionChunk(np.full((2, 1), len(self.text), np.float32), self.turn / 100,
                           {'confidence': np.array(0.5), 'hunch': np.array(self.turn),
                            'unasked': np.array(1)})

    @staticmethod
    def infer_many(policies: Sequence[Echo], observations: Sequence[Observation]
                   ) -> list[ActionChunk]:
        Echo.batches.append(len(policies))
        return [p.infer(o) for p, o in zip(policies, observations, strict=True)]

    def close(self) -> None:
        pass


class Running:
    """A server in a thread of its own."""

    def __init__(self, policy: Any, most: int, fingerprint: str) -> None:
        self.sizes: list[int] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(
            self._serve(policy, most, fingerprint)), daemon=True)
        self._thread.start()
        assert self._ready.wait(20.0)

    async def _serve(self, policy: Any, most: int, fingerprint: str) -> None:
        async with PolicyServer(policy, '127.0.0.1', 0, most, fingerprint,
                                lambda size, _: self.sizes.append(size)) as server:
            self.address = f'openpi://127.0.0.1:{server.port}'
            self._ready.set()
            await self._ended.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10.0)
        assert not self._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(policy: Any, most: int = 4, fingerprint: str = '') -> Running:
        running.append(Running(policy, most, fingerprint))
        return running[-1]
    yield start
    for server in running:
        server.close()


def client(address: str, text: str = 'go') -> OpenpiPolicy:
    spec = OpenpiPolicy.discover(address)
    assert spec is not None
    policy = OpenpiPolicy(address, spec)
    policy.reset(Prompt(text))
    return policy


def test_what_it_sees_and_gives_comes_back_as_it_was() -> None:
    assert spec_from_message(unpack(pack(spec_to_message(SPEC)))) == SPEC
    for damaged in ({}, {**spec_to_message(SPEC), 'actions': 3}, 'x'):
        with pytest.raises(ValueError, match=r'.'):
            spec_from_message(damaged)


def test_the_client_gets_all_that_the_policy_says(serve: Callable[..., Running]) -> None:
    policy = client(serve(Echo()).address, 'four')
    assert policy.spec == SPEC
    chunk = policy.infer(SEEN)
    np.testing.assert_array_equal(chunk.actions, [[4], [4]])
    assert chunk.progress == 0.01
    assert {n: float(v) for n, v in chunk.evidence.items()} == {'confidence': 0.5, 'hunch': 1.0}
    policy.close()


def test_each_robot_has_its_own_instruction_and_begins_anew(serve: Callable[..., Running]
                                                              ) -> None:
    server = serve(Echo())
    one, two = client(server.address, 'one'), client(server.address, 'number two')
    for turn in (1, 2, 3):
        assert (one.infer(SEEN).actions[0, 0], two.infer(SEEN).actions[0, 0]) == (3, 10)
        assert one.infer(SEEN).evidence['hunch'] == 2 * turn
    one.reset(Prompt('one'))  # the same words again, but a new task
    assert one.infer(SEEN).evidence['hunch'] == 1
    assert two.infer(SEEN).evidence['hunch'] == 4
    one.close()
    two.close()


def test_requests_that_come_together_are_answered_together(serve: Callable[..., Running]) -> None:
    server = serve(Echo())
    Echo.batches.clear()
    robots = [client(server.address, 'x' * (n + 1)) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            chunks = list(pool.map(lambda robot: robot.infer(SEEN), robots))
            assert [c.actions[0, 0] for c in chunks] == [1, 2, 3, 4]
    assert max(server.sizes) > 1 and max(Echo.batches) > 1
    for robot in robots:
        robot.close()


def test_a_fault_of_one_is_told_to_it_alone(serve: Callable[..., Running]) -> None:
    server = serve(Echo())
    good, bad = client(server.address, 'good'), client(server.address, 'explode')
    foreign = client(server.address, 'in French')
    for _ in range(2):
        with pytest.raises(PolicyError, match='KeyError'):
            bad.infer(SEEN)
        with pytest.raises(PolicyError, match='English only'):
            foreign.infer(SEEN)
        assert good.infer(SEEN).actions[0, 0] == 4
    for policy in (good, bad, foreign):
        policy.close()


def test_there_are_no_more_robots_than_allowed(serve: Callable[..., Running]) -> None:
    server = serve(Echo(), 1)
    first = client(server.address)
    first.infer(SEEN)
    second = OpenpiPolicy(server.address, SPEC)
    with pytest.raises(PolicyError, match='at most 1 robots at once'):
        second.infer(SEEN)
    first.close()
    for _ in range(50):  # the server hears of the end a moment later
        try:
            second.infer(SEEN)
            break
        except PolicyError:
            threading.Event().wait(0.05)
    else:
        pytest.fail('the place is not free again')
    second.close()


def test_a_policy_that_cannot_fork_says_why_it_serves_one_robot(
        serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Echo, 'fork')
    server = serve(Echo())
    first = client(server.address)
    first.infer(SEEN)
    with pytest.raises(UserError, match=r'full.*without fork\(\).*Wait until'):
        client(server.address)
    first.close()


def test_who_comes_while_another_robot_is_leaving_waits_for_the_place(
        serve: Callable[..., Running]) -> None:
    """Regression: right after one connection the next was refused, where there is one place."""
    server = serve(Echo(), 1)
    first = client(server.address)
    first.infer(SEEN)
    leaves = threading.Timer(0.5, first.close)
    leaves.start()
    second = client(server.address)
    assert second.infer(SEEN).actions.shape == (2, 1)
    second.close()
    leaves.join()


GOOD = {'prompt': 'go', 'head': np.zeros((6, 8, 3), np.uint8), 'joints': np.zeros((2, 1))}


@pytest.mark.parametrize(('message', 'why'), [
    ('text', 'text, where msgpack belongs'), (b'\xc1', 'no msgpack'), (pack([1]), 'no map'),
    (pack({**GOOD, 'prompt': 3}), 'prompt must be text'),
    (pack({**GOOD, 'prompt': 'x' * 3000}), 'at most 2000'),
    (pack({**GOOD, 'head': np.zeros((6, 8, 3))}), 'head must be an array'),
    (pack({**GOOD, 'head': np.zeros((9, 8, 3), np.uint8)}), 'head must be'),
    (pack({**GOOD, 'joints': np.zeros(1)}), 'joints must be'),
    (pack({**GOOD, 'joints': np.full((2, 1), np.nan)}), 'not finite'),
    (pack({**GOOD, 'stamp_ns': 1.5}), 'stamp_ns')])
def test_a_wrong_request_is_told_what_is_wrong_and_the_next_is_heard(
        serve: Callable[..., Running], message: Any, why: str) -> None:
    server = serve(Echo())
    with connect(server.address.replace('openpi', 'ws')) as raw:
        assert KEY in unpack(raw.recv(5.0))  # type: ignore[arg-type]
        raw.send(message)
        said = raw.recv(5.0)
        assert isinstance(said, str) and why in said
        raw.send(pack(GOOD))
        assert unpack(raw.recv(5.0))['actions'].shape == (2, 1)  # type: ignore[arg-type]


def test_what_is_too_large_ends_the_connection(serve: Callable[..., Running]) -> None:
    server = serve(Echo())
    with connect(server.address.replace('openpi', 'ws')) as raw:
        raw.recv(5.0)
        raw.send(bytes(largest_request(SPEC) + 1))
        with pytest.raises(ConnectionClosed):
            raw.recv(5.0)


def test_the_default_policy_answers_the_same_through_a_server(serve: Callable[..., Running]
                                                              ) -> None:
    pytest.importorskip('torch')
    robot = load_robot('humanoid')
    served, here = load_policy('default', robot), load_policy('default', robot)
    server = serve(served.policy, fingerprint=fingerprint('default'))
    there = load_policy(server.address, robot, trust='default')
    other = load_policy(server.address, robot)
    rng = np.random.default_rng(0)
    for policy, words in ((here, 'go to the red box'), (there, 'go to the red box'),
                          (other, 'please turn around for me')):
        policy.reset(words)
    with ThreadPoolExecutor(2) as pool:
        for turn in range(5):
            image = np.kron(rng.integers(40, 220, (6, 8, 3), np.uint8), np.ones((16, 16, 1),
                                                                               np.uint8))
            seen = RobotObservation(10**9 + turn * 10**8, {'head': image}, robot.home,
                                    0.1 * turn)
            mine, _ = pool.map(lambda p, s=seen: p.infer(s), (there, other))
            same = here.infer(seen)
            np.testing.assert_allclose(mine.actions, same.actions, atol=1e-4)
            assert mine.progress == pytest.approx(same.progress, abs=1e-4)
            assert mine.trust == same.trust != 0
            assert mine.signals == pytest.approx(same.signals, abs=1e-3, nan_ok=True)
    there.close()
    other.close()


def test_a_trust_artifact_is_refused_where_another_policy_is_served(serve: Callable[..., Running]
                                                                    ) -> None:
    robot = load_robot('humanoid')
    for told in ('', 'f' * 64):
        server = serve(Echo(), fingerprint=told)
        with pytest.raises(UserError, match='measured on another policy'):
            load_policy(server.address, robot, trust='default')


def test_bad_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert vla(['serve', '--policy', 'scripted', '--port', '70000']) == 2
    assert '--port' in capsys.readouterr().err
    assert vla(['serve', '--policy', 'scripted', '--device', 'cpu']) == 2
    assert '--device is for checkpoints of ours' in capsys.readouterr().err
    assert vla(['serve', '--policy', 'default', '--device', 'gpu']) == 2
    assert 'one of auto, cpu, cuda' in capsys.readouterr().err
