"""The policy against what real nodes really use, and where they listen. Real DDS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: pip install .[ros], or source an installation')
pytest.importorskip('psutil')

import psutil
from graph_under_test import GraphUnderTest
from sros2_policy import PREFIX, Rights, read

from vla_humanoid_control.cli.prerequisites import rendering_problem
from vla_humanoid_control.clients.director import Director, camera_topic
from vla_humanoid_control.robot.reader import load_robot

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.ros

KINDS = {'publish': 'publisher', 'subscribe': 'subscriber', 'reply': 'service',
         'request': 'client'}


def used_by(node: Any, name: str) -> dict[str, set[str]]:
    """What the ROS graph says that a node publishes, subscribes to, replies to and requests.

    Nothing, while discovery has told of its topics and not yet of its name: the two come apart.
    """
    if (name, '/') not in node.get_node_names_and_namespaces():
        return {verb: set() for verb in KINDS}
    return {verb: {n for n, _ in getattr(node, f'get_{kind}_names_and_types_by_node')(name, '/')}
            for verb, kind in KINDS.items()}


def left_over(rights: Rights, used: dict[str, set[str]]) -> dict[str, set[str]]:
    """What may be done and is not. Nodes of Humble do not describe their types."""
    rest = {verb: {n for n in getattr(rights, verb) - used[verb]
                   if not n.endswith('/get_type_description')} for verb in KINDS}
    return {verb: names for verb, names in rest.items() if names}


def lacking(rights: Rights, used: dict[str, set[str]]) -> set[tuple[str, str]]:
    """What is done and may not be."""
    return {(verb, n) for verb, names in used.items() for n in names if not rights.may(verb, n)}


def check(graph: GraphUnderTest, node: str, enclave: str, unused: set[str]) -> None:
    """A node runs in its enclave, does what that may, and nothing else."""
    rights = read()[enclave]

    def complete() -> bool:
        rest = left_over(rights, used_by(graph.node, node))
        return set().union(*rest.values()) == unused

    try:
        graph.wait_for(complete, f'{node} is known in full', 15.0)
    except AssertionError:
        used = used_by(graph.node, node)
        assert not lacking(rights, used), f'{node} uses what config/sros2/policy.xml denies'
        pytest.fail(f'{node} may do what it does not: {left_over(rights, used)}, other than '
                    f'{unused}')
    assert not lacking(rights, used_by(graph.node, node))
    enclaves = {n: e for n, _, e in graph.node.get_node_names_and_namespaces_with_enclaves()}
    assert enclaves[node] == PREFIX + enclave


@pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')
def test_the_demo_uses_what_the_policy_allows_and_nothing_else(
        domain_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))  # the director's
    depth = {'/camera/depth/image_raw', '/camera/depth/camera_info'}
    with GraphUnderTest(domain_id, tmp_path, simulated=True, parameters={
            'humanoid_sim': {'outside_rate_hz': 5.0}}) as graph, \
            Director(True, graph.processes.check,
                     camera=camera_topic(load_robot('humanoid'))) as director:
        graph.wait_until_ready()
        director.wait_until_ready()
        check(graph, 'vla_controller', 'vla_controller', {'/camera/rgb/image_raw/compressed'})
        check(graph, 'confidence_monitor', 'confidence_monitor', set())
        check(graph, 'safety_monitor', 'safety_monitor',
              {'/camera/rgb/image_raw', '/camera/rgb/image_raw/compressed', *depth})
        check(graph, 'humanoid_sim', 'humanoid_sim', set())
        check(graph, 'vla_director', 'director', set())


def test_every_optional_input_is_allowed_too(domain_id: int, tmp_path: Path) -> None:
    """Compressed images, a depth camera, cameras watched by safety, and no simulator."""
    text = (ROOT / 'config' / 'robots' / 'humanoid.yaml').read_text(encoding='utf-8')
    robot = tmp_path / 'robot.yaml'
    robot.write_text(text + '  depth: {topic: camera/depth/image_raw, timeout_s: 0.5, '
                            'frame: eye, mount: [0, 0, 1, 0, 0, 0]}\n')
    with GraphUnderTest(domain_id, tmp_path, robot=str(robot), parameters={
            'vla_controller': {'compressed': True, 'use_sim_time': True},
            'confidence_monitor': {'use_sim_time': True},
            'safety_monitor': {'safety.watch_cameras': True, 'compressed': True,
                               'use_sim_time': True, 'remember_latch': False}}) as graph:
        graph.wait_for(lambda: graph.safety and graph.task == 'IDLE', 'the graph is up', 90.0)
        check(graph, 'vla_controller', 'vla_controller', {'/camera/rgb/image_raw'})
        check(graph, 'confidence_monitor', 'confidence_monitor', set())
        check(graph, 'safety_monitor', 'safety_monitor', {'/camera/rgb/image_raw'})


@pytest.mark.parametrize(('verb', 'name'), [
    ('publish', '/cmd_vel'), ('subscribe', '/scan'), ('reply', '/safety/reset'),
    ('request', '/safety/reset')])
def test_what_the_policy_lacks_is_noticed(verb: str, name: str) -> None:
    used: dict[str, set[str]] = {v: set() for v in KINDS}
    assert not lacking(read()['confidence_monitor'], used)
    used[verb] = {name}
    assert lacking(read()['confidence_monitor'], used) == {(verb, name)}


# --- enforcement ------------------------------------------------------------------------------

@pytest.mark.parametrize('files', [False, True], ids=['no keystore', 'worthless keystore'])
def test_a_node_that_is_to_be_secure_and_cannot_be_refuses_to_start(
        domain_id: int, tmp_path: Path, files: bool) -> None:
    """Fails closed: also with the Python wheels, whose Fast DDS was built without security."""
    enclave = tmp_path.joinpath('enclaves', 'vla_humanoid_control', 'safety_monitor')
    if files:
        enclave.mkdir(parents=True)
        for name in ('identity_ca.cert.pem', 'permissions_ca.cert.pem', 'cert.pem', 'key.pem',
                     'governance.p7s', 'permissions.p7s'):
            (enclave / name).write_text('nothing\n')
    done = subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.nodes.safety_monitor', '--ros-args',
         '--enclave', PREFIX + 'safety_monitor'],
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'ROS_HOME': str(tmp_path),
             'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce',
             'ROS_SECURITY_KEYSTORE': str(tmp_path), 'PYTHONPATH': os.pathsep.join(
                 (str(ROOT), os.environ.get('PYTHONPATH', '')))},
        capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert 'security' in (done.stdout + done.stderr).lower()


# --- where they listen ------------------------------------------------------------------------

def reads_at(process: Any, send: Callable[[str, int], None]) -> set[str]:
    """Addresses other than this machine's own at which a process takes in what is sent there.

    A socket that only sends has an address too. What is sent to that is never taken in, and stays
    in the socket's buffer.
    """
    outward = [c.laddr for c in process.net_connections('inet')
               if c.laddr and not c.laddr.ip.startswith('127.') and c.laddr.ip != '::1']
    listening = {f'{c.laddr.ip} tcp' for c in process.net_connections('tcp')
                 if c.status == psutil.CONN_LISTEN and not c.laddr.ip.startswith('127.')}
    for address in outward:
        send(address.ip, address.port)
    time.sleep(0.5)  # what is looked at is what happens meanwhile, or does not
    waiting = dict(_waiting_bytes())
    return listening | {a.ip for a in outward if waiting.get(a.port, 0) == 0}


def _waiting_bytes() -> Iterator[tuple[int, int]]:
    """Port of each UDP socket of this machine, and the bytes that wait there to be read."""
    for table in ('udp', 'udp6'):
        for line in Path('/proc/net', table).read_text().splitlines()[1:]:
            fields = line.split()
            yield int(fields[1].rpartition(':')[2], 16), int(fields[4].partition(':')[2], 16)


@pytest.fixture
def send() -> Iterator[Callable[[str, int], None]]:
    """Sends some bytes to a UDP port of this machine."""
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield lambda ip, port: sender.sendto(b'anyone there?', (ip, port)) and None


def test_no_node_listens_beyond_this_machine(domain_id: int, tmp_path: Path,
                                             send: Callable[[str, int], None]) -> None:
    with GraphUnderTest(domain_id, tmp_path) as graph:
        graph.wait_until_ready()
        for name, process in graph.processes.processes.items():
            listener = psutil.Process(process.pid)
            assert any(c.laddr and c.laddr.ip == '127.0.0.1'
                       for c in listener.net_connections('udp')), f'{name} does not listen at all'
            assert not reads_at(listener, send), name


def test_a_node_that_is_asked_to_listens_to_the_network(domain_id: int,
                                                        send: Callable[[str, int], None]) -> None:
    """And the check of the test above can tell."""
    profile = str(ROOT / 'config' / 'fastdds_network.xml')
    script = ('import rclpy, sys\nrclpy.init()\nnode = rclpy.create_node("asked")\n'
              'print("up", flush=True)\nsys.stdin.read()\n')
    process = subprocess.Popen(
        [sys.executable, '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain_id),
             'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
             'FASTRTPS_DEFAULT_PROFILES_FILE': profile, 'FASTDDS_DEFAULT_PROFILES_FILE': profile})
    killer = threading.Timer(60.0, process.kill)
    killer.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == 'up\n'
        deadline_s = time.monotonic() + 20.0
        while '0.0.0.0' not in reads_at(psutil.Process(process.pid), send):
            assert time.monotonic() < deadline_s, 'it takes in nothing'
    finally:
        killer.cancel()
        process.communicate()
