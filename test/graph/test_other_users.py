"""Programs of two users in one ROS domain, as real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PERSON = 1000
# Reads its libraries wherever they lie, and gains no right to write.
_READS_ALL = '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'

# Says 'up', then calls until it has heard all words of the other one, and has been told to end.
PROGRAM = """
import os, select, sys, time
from vla_humanoid_control.graph.bringup import environment
os.environ.update(environment())
import rclpy
from std_msgs.msg import String
me, other = sys.argv[1:]
rclpy.init(args=['--ros-args', '--disable-external-lib-logs'])
node, heard = rclpy.create_node('user_' + me), []
said = node.create_publisher(String, '/from_' + me, 1)
node.create_subscription(String, '/from_' + other, lambda m: heard.append(m.data), 1)
print('up', flush=True)
told = False
while not select.select([sys.stdin], [], [], 0)[0]:
    said.publish(String(data=me))
    rclpy.spin_once(node, timeout_sec=0.05)
    if heard and not told:
        told = True
        print('heard', heard[0], flush=True)
"""


def _as_user(uid: int) -> list[str] | None:
    """What a command is put behind to be a user's; None where that user has no Python."""
    if uid == 0:
        return []
    plain = ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups']
    for prefix in ([*plain, *_READS_ALL], plain):
        if subprocess.run([*prefix, sys.executable, '-c', 'import rclpy'], check=False, cwd=ROOT,
                          capture_output=True).returncode == 0:
            return prefix
    return None


@pytest.fixture(scope='module')
def users() -> dict[int, list[str]]:
    """Prefix of commands, of root and of a person."""
    if os.geteuid() != 0 or shutil.which('setpriv') is None:
        pytest.skip('needs root and setpriv')
    person = _as_user(PERSON)
    if person is None:
        pytest.skip(f'uid {PERSON} cannot run {sys.executable}')
    return {0: [], PERSON: person}


class Program:
    """A program of one user, which calls another one."""

    def __init__(self, prefix: list[str], me: int, other: int, variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, '-c', PROGRAM, str(me), str(other)], cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': str(ROOT), **variables}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self._killer = threading.Timer(60.0, self.process.kill)
        self._killer.start()

    def says(self) -> str:
        """Its next line; '' where it has ended, or has nothing to say for a minute."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def addresses(self) -> set[str]:
        """Where it can be sent to."""
        return {c.laddr.ip for c in psutil.Process(self.process.pid).net_connections('udp')}

    def end(self) -> None:
        self._killer.cancel()
        self.process.communicate('\n')


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Ended after the test."""
    running: list[Program] = []
    yield running
    for program in running:
        program.end()


@pytest.mark.parametrize(('first', 'second'), [(0, PERSON), (PERSON, 0)])
def test_programs_of_two_users_hear_each_other(users: dict[int, list[str]], domain_id: int,
                                               programs: list[Program], first: int,
                                               second: int) -> None:
    """Regression: neither heard the other, as Fast DDS's shared memory belongs to one user."""
    variables = {'ROS_DOMAIN_ID': str(domain_id)}
    for me, other in ((first, second), (second, first)):
        programs.append(Program(users[me], me, other, variables))
        assert programs[-1].says() == 'up'
    assert programs[0].says() == f'heard {second}'
    assert programs[1].says() == f'heard {first}'
    assert programs[1].addresses() == {'127.0.0.1'}
