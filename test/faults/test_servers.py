"""Faults 68 to 74: a policy behind a server, and a confidence that is another policy's.

The server answers as `openpi_stand_in` does, from this process; the nodes are real.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_report import Bringup, Fault
from graph_under_test import GraphUnderTest
from sensor_msgs.msg import JointState

pytest.importorskip('websockets', reason='needs the clients: pip install .[servers]')
pytest.importorskip('msgpack', reason='needs the clients: pip install .[servers]')

from openpi_stand_in import StandIn

from vla_humanoid_control.channels import CONFIDENCE, GATE, PROGRESS
from vla_humanoid_control.confidence.artifact import FORMAT
from vla_humanoid_control.confidence.combine import Combination
from vla_humanoid_control.control.timing import Timing
from vla_humanoid_control.policy.registry import check_policy, fingerprint
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.policy.servers.arrays import pack
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.types import BASE_CHANNELS

T_S = Timing().proposal_timeout_s
ROBOT = load_robot('humanoid')
MAPPING = """
images: {observation/image: {camera: head, size: [64, 48]}}
states: {observation/state: [neck_yaw, neck_pitch]}
actions:
  base: {kind: base_twist, channels: [base/linear_x, base/angular_z]}
  done: {kind: mode, channels: [done]}
horizon: 25
dt_s: 0.1
"""
WALK = {'actions': np.tile(np.array([0.3, 0.0, 0.0], np.float32), (25, 1))}
ALLOWED = {'confidence_monitor': {'allow_uncalibrated': True}}
PATIENT = {**ALLOWED, 'vla_controller': {'task.time_limit_s': 120.0}}


def mapping(folder: Path, *more: str) -> str:
    """A mapping file of the stand-in's policy, with further lines."""
    path = folder / 'mapping.yaml'
    path.write_text('\n'.join((MAPPING, *more)), encoding='utf-8')
    return str(path)


def graph_for(server: StandIn, number: int, folder: Path, *more: str,
              parameters: Any = PATIENT) -> GraphUnderTest:
    """A graph whose policy is behind the server; `more` is of its mapping file."""
    policy, file = f'openpi://127.0.0.1:{server.port}', mapping(folder, *more)
    return GraphUnderTest(number, folder, policy=policy, embodiment=file, parameters=parameters,
                          timing=check_policy(policy, ROBOT, file).parameters())


@pytest.fixture(scope='module')
def server() -> Iterator[StandIn]:
    server = StandIn(lambda request: WALK)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def in_good_health(server: StandIn) -> Iterator[None]:
    """Whatever a test does to the server is undone."""
    yield
    server.greeting, server.answer = {'model': 'stand-in'}, lambda request: WALK
    server.stop()
    server.start()


@pytest.fixture(scope='module')
def bringup(server: StandIn) -> Bringup:
    return lambda number, folder: graph_for(server, number, folder)


def walk(graph: GraphUnderTest) -> None:
    graph.say('walk on')
    graph.wait_for(lambda: graph.speed > 0.299, 'the robot walks')


def no_retry(graph: GraphUnderTest) -> bool:
    return not any(s.startswith('RETRYING') for _, s in graph.task_states)


def test_fault_68_server_dead_at_the_start(domain_id: int, tmp_path: Path, fault: Fault) -> None:
    """No policy server at the address when the graph is started."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
    address = f'openpi://127.0.0.1:{port}'
    for more in (['--embodiment', mapping(tmp_path)], []):
        ended = subprocess.run(
            [sys.executable, '-m', 'vla_humanoid_control.cli.main', 'run', '--policy', address,
             '--allow-uncalibrated', *more], capture_output=True, text=True, timeout=120,
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain_id)})
        assert ended.returncode == 2
        assert address in ended.stderr and 'cannot be reached' in ended.stderr
        assert 'Traceback' not in ended.stderr
    fault.happened(f'refused: {ended.stderr.strip().splitlines()[-1]}'.replace(
        str(port), 'PORT'))


def test_fault_69_server_dies_and_comes_back(graph: GraphUnderTest, server: StandIn, fault: Fault
                                             ) -> None:
    """The server dies in motion, and is there again 3 s later."""
    walk(graph)
    since = time.monotonic()
    server.stop()
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: 'cannot be reached' in graph.task, 'the reason is told')
    assert graph.task.startswith('HELD') and str(server.port) in graph.task
    graph.pause(3.0 - min(2.9, time.monotonic() - since))
    server.start()
    took_s = graph.wait_for(lambda: graph.speed > 0.299, 'it walks on')
    assert graph.task.startswith('RUNNING') and no_retry(graph)
    fault.happened(f'held, walked on {took_s:.1f} s after it came back; no retry')


def test_fault_69_server_stays_dead(graph: GraphUnderTest, server: StandIn, fault: Fault) -> None:
    """The server dies in motion, and does not come back within the task's time limit."""
    assert graph.set('vla_controller', 'task.time_limit_s', 4.0)[0]
    try:
        walk(graph)
        since = time.monotonic()
        server.stop()
        fault.stops(graph, since, T_S)
        graph.wait_for(lambda: graph.task.startswith('FAILED'), 'it has failed')
        assert 'cannot be reached' in graph.task and no_retry(graph)
        fault.happened(graph.task.replace(str(server.port), 'PORT'))
    finally:
        assert graph.set('vla_controller', 'task.time_limit_s', 120.0)[0]


@pytest.mark.parametrize(('rate_hz', 'latency_s'), [(3.0, 0.3), (1.0, 0.7)])
def test_fault_70_slow_and_says_so(domain_id: int, tmp_path: Path, server: StandIn, fault: Fault,
                                   rate_hz: float, latency_s: float) -> None:
    """A server that announces so long a latency, keeps to it, and once takes 5 s."""
    delays = [latency_s - 0.05]

    def answer(request: Any) -> Any:
        time.sleep(delays[0])
        return WALK

    with graph_for(server, domain_id, tmp_path, f'rate_hz: {rate_hz}', f'latency_s: {latency_s}'
                   ) as graph:
        graph.wait_until_ready()
        server.answer = answer
        walk(graph)
        graph.pause(5.0)
        assert min(np.abs(t).max() for at, t in graph.twists
                   if at > time.monotonic() - 4.5) > 0.299, 'it never slowed down'
        since = time.monotonic()
        delays[0] = 5.0
        graph.wait_for(graph.is_at_rest, 'the base is at rest')
        delays[0] = latency_s - 0.05
        graph.assert_within_limits()
        stopped_s = graph.stopping_began_after(since)
        # The newest frame that was acted on may be as old as that, and is older at the end of T.
        deadline_s = graph.entries['safety_monitor'].shipped['safety.proposal_timeout_s']
        assert stopped_s < deadline_s + 1.0 / rate_hz + graph.slack_s(since)
        graph.wait_for(lambda: graph.speed > 0.299, 'it walks on')
        assert no_retry(graph)
    fault.happened(f'{rate_hz:g} Hz: walked without a pause; stopped {stopped_s:.1f} s after the '
                   'last good answer, walked on, no retry')


def test_fault_70_slower_than_it_says(graph: GraphUnderTest, server: StandIn, fault: Fault
                                      ) -> None:
    """A server that announces 0.1 s, and takes 1 s."""
    def answer(request: Any) -> Any:
        time.sleep(1.0)
        return WALK
    server.answer = answer
    graph.say('walk on')
    graph.wait_for(lambda: 'did not answer within' in graph.task, 'the reason is told')
    graph.pause(2.0)
    assert not any(t.any() for _, t in graph.twists)
    assert graph.task.startswith('HELD') and no_retry(graph)
    fault.happened(graph.task.replace(str(server.port), 'PORT'))


def _nonsense(actions: Any) -> Callable[[Any], Any]:
    return lambda request: {'actions': actions}


@pytest.mark.parametrize(('what', 'answer', 'why'), [
    ('NaN', _nonsense(np.full((25, 3), np.nan)), 'not finite'),
    ('another shape', _nonsense(np.zeros((25, 7))), '[25, 7]'),
    ('another horizon', _nonsense(np.zeros((50, 3))), '[50, 3]'),
    ('half a message', lambda request: pack(WALK)[:-5], 'can be read'),
    ('an error text', lambda request: 'Traceback\nKeyError: state', 'KeyError: state')])
def test_fault_71_nonsense(graph: GraphUnderTest, server: StandIn, fault: Fault, what: str,
                           answer: Callable[[Any], Any], why: str) -> None:
    """The server answers nonsense in motion, for 1 s."""
    walk(graph)
    since = time.monotonic()
    server.answer = answer
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: why in graph.task, 'the reason is told')
    assert graph.task.startswith('HELD') and str(server.port) in graph.task
    server.answer = lambda request: WALK
    graph.wait_for(lambda: graph.speed > 0.299, 'it walks on')
    assert no_retry(graph)
    fault.happened(f'{what}: held, and walked on')


def test_fault_71_another_version(graph: GraphUnderTest, server: StandIn, fault: Fault) -> None:
    """After a restart the server greets as none of this protocol does."""
    walk(graph)
    since = time.monotonic()
    server.stop()
    server.greeting = ['version', 7]
    server.start()
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: 'no openpi server' in graph.task, 'the reason is told')
    server.greeting = {'model': 'stand-in'}
    graph.wait_for(lambda: graph.speed > 0.299, 'it walks on')
    assert no_retry(graph)
    fault.happened('held with the reason, and walked on')


@pytest.mark.parametrize('kind', ['late', 'gone'])
def test_fault_72_glitch(graph: GraphUnderTest, server: StandIn, fault: Fault, kind: str) -> None:
    """The server is late or gone for 300 ms, in motion."""
    walk(graph)
    if kind == 'late':
        late = iter([0.3])

        def answer(request: Any) -> Any:
            time.sleep(next(late, 0.0))
            return WALK
        server.answer = answer
    else:
        server.stop()
        time.sleep(0.3)  # not waited for: this long it is gone
        server.start()
    graph.pause(2.0)
    graph.wait_for(lambda: graph.speed > 0.299, 'it walks on')
    assert graph.task.startswith('RUNNING') and no_retry(graph)
    graph.assert_within_limits()
    fault.happened(f'{kind}: walks, no retry')


def artifact(folder: Path, offset: float) -> str:
    """A trust artifact of the scripted policy, which weighs nothing but its own claim."""
    folder.mkdir()
    combination = Combination(('claim',), (0.0,), (1.0,), (3.0,), (0.1, 0.0), offset,
                              lowest=(0.5,) * 100)
    (folder / 'trust.json').write_text(json.dumps({
        'format': FORMAT, 'fingerprint': fingerprint('scripted', ScriptedPolicy(ROBOT)),
        'scale': {}, 'combination': combination.to_dict()}), encoding='utf-8')
    return str(folder)


@pytest.mark.parametrize('same', [True, False])
def test_fault_73_signals_of_another_artifact(domain_id: int, tmp_path: Path, fault: Fault,
                                              same: bool) -> None:
    """The controller measures with another trust artifact than the monitor; or with the same."""
    ours, other = artifact(tmp_path / 'a', 2.0), artifact(tmp_path / 'b', 2.5)
    with GraphUnderTest(domain_id, tmp_path, trust=ours, parameters={
            'confidence_monitor': {'trust': ours if same else other}}) as graph:
        graph.wait_until_ready()
        if same:
            graph.walk()
            fault.happened('the same: it walks')
            return
        graph.say('walk forward')
        graph.wait_for(lambda: graph.has_stopped_for('trust artifact'), 'STOP with the reason')
        graph.pause(1.0)
        assert not any(t.any() for _, t in graph.twists)
        assert graph.count('confidence_monitor', 'rejected') > 0
        fault.happened('refused with the reason, and counted')


def test_fault_73_signals_missing(domain_id: int, tmp_path: Path, fault: Fault) -> None:
    """Proposals that claim to be sure, and carry no signals, for a monitor with an artifact."""
    with GraphUnderTest(domain_id, tmp_path, trust=artifact(tmp_path / 'a', 2.0)) as graph:
        graph.wait_until_ready()
        publisher = graph.node.create_publisher(JointState, '/vla/action_proposal', qos.STREAM)
        gates: list[float] = []
        graph.node.create_subscription(
            JointState, '/vla/action_gated', lambda m: gates.extend(
                m.position[m.name.index(GATE)] for _ in m.name if GATE in m.name), qos.STREAM)
        names = [*BASE_CHANNELS, CONFIDENCE, PROGRESS]
        message = JointState(name=names, velocity=[0.4, 0.0, 0.0, 0.0, 0.0],
                             position=[0.0, 0.0, 0.0, 1.0, 0.1])

        def refused() -> bool:
            message.header.stamp = graph.node.get_clock().now().to_msg()
            publisher.publish(message)
            time.sleep(0.02)
            return graph.has_stopped_for('signals claim are missing')
        graph.wait_for(refused, 'STOP with the reason', 10.0)
        assert not any(gates) and not any(t.any() for _, t in graph.twists)
        fault.happened('STOP: signals claim are missing; the gate stayed closed')


def test_fault_74_no_trust_artifact(domain_id: int, tmp_path: Path, server: StandIn, fault: Fault
                                    ) -> None:
    """A policy that was never measured, with and without leave to act."""
    with graph_for(server, domain_id, tmp_path, parameters={}) as graph:
        graph.wait_until_ready()
        graph.say('walk on')
        graph.wait_for(lambda: 'not calibrated' in graph.task, 'the reason is told')
        graph.pause(2.0)
        assert not any(t.any() for _, t in graph.twists)
        assert graph.value('confidence_monitor', 'gate') == 'closed'
        fault.happened(graph.health('confidence_monitor'))


def test_fault_74_allowed_by_name(graph: GraphUnderTest, fault: Fault) -> None:
    """The same with `allow_uncalibrated`."""
    walk(graph)
    graph.wait_for(lambda: 'allowed' in graph.health('confidence_monitor'), 'diagnostics')
    fault.happened(graph.health('confidence_monitor'))
