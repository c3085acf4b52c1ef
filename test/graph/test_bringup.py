"""The list of nodes, and the group of processes that runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from vla_humanoid_control.graph import bringup
from vla_humanoid_control.graph.bringup import (
    Deployment,
    NodeEntry,
    ProcessDiedError,
    ProcessGroup,
    graph,
    parse_remappings,
)
from vla_humanoid_control.support.errors import UserError


def entry(name: str) -> NodeEntry:
    return NodeEntry(name, {}, Path('none.yaml'), module=name)


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs small modules in place of nodes: {name: source}."""
    def make(sources: dict[str, str]) -> tuple[ProcessGroup, Path]:
        for name, source in sources.items():
            (tmp_path / f'{name}.py').write_text(source)
        log = tmp_path / 'log' / 'graph.log'
        return ProcessGroup(tuple(entry(n) for n in sources), log, echo=None,
                            extra_environment={'PYTHONPATH': str(tmp_path)}), log
    return make


WAITS = 'import signal, time\nprint("up", flush=True)\n' \
        'signal.signal(signal.SIGINT, lambda *_: (print("down"), exit(0)))\ntime.sleep(60)\n'


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 10.0
    while text not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.01)


def test_simulator_is_part_of_a_simulated_graph_only() -> None:
    assert [e.name for e in graph(Deployment())] \
        == ['vla_controller', 'confidence_monitor', 'safety_monitor', 'humanoid_sim']
    assert [e.name for e in graph(Deployment(simulated=False))] \
        == ['vla_controller', 'confidence_monitor', 'safety_monitor']


def test_parameter_file_can_be_chosen() -> None:
    assert {e.parameter_file for e in graph(Deployment(parameter_file=Path('mine.yaml')))} \
        == {Path('mine.yaml')}


@pytest.mark.parametrize('value', ["it's", 'on', '1', '', "['a']", True, 2.5, ['x', 'y']])
def test_parameters_arrive_as_they_are(value: object) -> None:
    node = NodeEntry('a', {'p': value}, Path('none.yaml'))
    text = next(part for part in bringup._command(node) if part.startswith('p:='))
    assert yaml.safe_load(text[3:]) == value


def test_choices_reach_the_nodes_and_parameter_files_exist() -> None:
    deployment = Deployment(robot='other', policy='mine',
                            parameters={'vla_controller': {'rate_hz': 20.0}})
    for node in graph(deployment):
        assert node.parameters['robot'] == 'other'
        assert '/**' in yaml.safe_load(node.parameter_file.read_text())
    controller = graph(deployment)[0]
    assert controller.parameters['policy'] == 'mine' and controller.parameters['rate_hz'] == 20.0


def test_remappings_reach_every_node() -> None:
    """Regression: no deployment could give any, so that another robot's /cmd_vel was out of
    reach.
    """
    rules = parse_remappings(['/cmd_vel:=/base/cmd_vel', '/joint_commands:=/arms/targets'])
    for node in graph(Deployment(remappings=rules)):
        command = bringup._command(node)
        places = [command.index(f'{a}:={b}') for a, b in rules.items()]
        assert places and all(command[i - 1] == '-r' for i in places)


@pytest.mark.parametrize('rules', [
    ['cmd vel:=/base/cmd_vel'], ['/cmd_vel:=base/'], ['/cmd_vel=/base'], ['/cmd_vel:='], [''],
    ['/cmd_vel:=/a:=/b'], ['/cmd_vel:=/a b'], ['/:=/a'], ['/cmd_vel:=/1a'],
    ['/cmd_vel:=/a', '/cmd_vel:=/b'], ['/cmd_vel:=/a', 'cmd_vel:=/b']])
def test_a_bad_remapping_is_refused(rules: list[str]) -> None:
    with pytest.raises(UserError, match='FROM:=TO' if len(rules) == 1 else 'twice'):
        parse_remappings(rules)


@pytest.mark.parametrize('space', ['', '/robot1', '/fleet/r1'])
@pytest.mark.parametrize(('source', 'target'), [
    ('/cmd_vel', '/base/cmd_vel'), ('cmd_vel', '/base/cmd_vel'), ('/cmd_vel', 'base/cmd_vel'),
    ('cmd_vel', 'base/cmd_vel')])
def test_a_remapping_means_the_same_name_in_any_namespace(space: str, source: str, target: str
                                                          ) -> None:
    """In a namespace, /cmd_vel is another topic than the cmd_vel of the code."""
    rclpy = pytest.importorskip('rclpy')
    entry = graph(Deployment(namespace=space, simulated=False,
                             remappings=parse_remappings([f'{source}:={target}'])))[0]
    command = bringup._command(entry)
    context = rclpy.Context()
    rclpy.init(args=['--ros-args', *(part for option, rule in pairwise(command)
                                     if option == '-r' for part in (option, rule))],
               context=context)
    node = rclpy.create_node('probe', context=context)
    try:
        absolute = target if target.startswith('/') else f'{space}/{target}'
        assert node.get_namespace() == (space or '/')
        assert node.resolve_topic_name('cmd_vel') == absolute
        assert node.resolve_topic_name('joint_commands') == f'{space}/joint_commands'
        assert node.resolve_topic_name('/clock') == '/clock'
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_a_namespace_moves_the_graph() -> None:
    """Two robots could not share a ROS domain. Each simulator has a time of its own."""
    for entry, before in zip(graph(Deployment(namespace='/r1')), graph(Deployment())):
        command = bringup._command(entry)
        assert command[command.index('__ns:=/r1') - 1] == '-r'
        assert entry.enclave == f'/r1{before.enclave}'
        assert entry.remappings == {'/clock': 'clock'} and not before.remappings
        assert entry.shipped == before.shipped
    assert all(not e.remappings for e in graph(Deployment(namespace='/r1', simulated=False)))
    for rule, clock in (('clock:=/time', '/time'), ('/clock:=/time', '/time')):
        rules = parse_remappings([rule])
        assert {e.remappings['/clock'] for e in graph(Deployment(namespace='/r1',
                                                                 remappings=rules))} == {clock}


def test_a_parameter_file_is_for_the_namespace(tmp_path: Path) -> None:
    """A name without its namespace would be read, and change nothing."""
    path = tmp_path / 'mine.yaml'
    for name, fits in (('/**/safety_monitor', True), ('/r1/safety_monitor', True), ('/**', True),
                       ('safety_monitor', False), ('/r2/safety_monitor', False)):
        path.write_text(f'{name}: {{ros__parameters: {{safety.slow_ttc_s: 2.0}}}}')
        if fits:
            bringup.check_parameter_file(path, '/r1')
        else:
            with pytest.raises(UserError, match='/r1/safety_monitor'):
                bringup.check_parameter_file(path, '/r1')


def test_every_node_has_a_module() -> None:
    for node in graph(Deployment()):
        path = Path(bringup.__file__).parents[1] / 'nodes' / f'{node.name}.py'
        assert 'def main(' in path.read_text()


def test_environment_keeps_what_a_person_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('ROS_AUTOMATIC_DISCOVERY_RANGE', raising=False)
    assert bringup.environment()['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    assert bringup.environment()['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SUBNET'


@pytest.mark.parametrize('said', ['', ' ', 'localhost', 'LOCALHOST ', ' Localhost', 'LOCALHOST\n'])
def test_what_means_this_machine_keeps_to_it(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Regression: whatever was not LOCALHOST to the letter opened sockets on every interface."""
    for name in bringup._PROFILE_VARIABLES:
        monkeypatch.setenv(name, '')  # as in the files of compose
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', said)
    wanted = bringup.environment()
    assert wanted['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert {Path(wanted[n]).name for n in bringup._PROFILE_VARIABLES} == {'fastdds.xml'}


@pytest.mark.parametrize('said', ['subnet', 'SUBNET ', 'system_default', 'NOT_SET', '0', 'on',
                                  'LOCALHOST;SUBNET', 'host'])
def test_an_unknown_discovery_range_is_refused(monkeypatch: pytest.MonkeyPatch,
                                               said: str) -> None:
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', said)
    with pytest.raises(UserError, match='SUBNET or SYSTEM_DEFAULT') as refused:
        bringup.environment()
    assert repr(said) in str(refused.value)


def test_a_transport_profile_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast DDS goes on without one, and listens on every interface."""
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/no/such/file.xml')
    with pytest.raises(UserError, match=r'/no/such/file\.xml'):
        bringup.environment()


def test_a_transport_profile_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch,
                                                            tmp_path: Path) -> None:
    """Fast DDS goes on without that, too."""
    profile = tmp_path / 'profile.xml'
    profile.touch()
    monkeypatch.setattr(bringup.os, 'access', lambda path, mode: Path(path) != profile)
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(profile))
    with pytest.raises(UserError, match=str(profile)):
        bringup.environment()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of transports."""
    for name in (*bringup._PROFILE_VARIABLES, 'ROS_AUTOMATIC_DISCOVERY_RANGE',
                 'RMW_IMPLEMENTATION'):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def _transport(wanted: dict[str, str]) -> tuple[str, str]:
    """Name of the profile under both its variables, and range."""
    profile, = {Path(wanted[name]).name for name in bringup._PROFILE_VARIABLES}
    return profile, wanted['ROS_AUTOMATIC_DISCOVERY_RANGE']


@pytest.mark.parametrize(('said', 'profile', 'reach', 'beside_others', 'reach_beside_others'), [
    ('LOCALHOST', 'fastdds.xml', 'LOCALHOST', 'fastdds_users.xml', 'SYSTEM_DEFAULT'),
    ('SUBNET', 'fastdds_network.xml', 'SUBNET', 'fastdds_users_network.xml', 'SUBNET'),
    ('SYSTEM_DEFAULT', 'fastdds_network.xml', 'SYSTEM_DEFAULT', 'fastdds_users_network.xml',
     'SYSTEM_DEFAULT'), ('OFF', 'fastdds.xml', 'OFF', 'fastdds.xml', 'OFF')])
def test_beside_another_user_there_is_no_shared_memory(
        bare: pytest.MonkeyPatch, said: str, profile: str, reach: str, beside_others: str,
        reach_beside_others: str) -> None:
    """Regression: a driver that root ran and a person's graph did not hear each other.

    Each process chooses for itself, whatever the one that started it had to choose.
    """
    domains = []
    bare.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', said)
    bare.setenv('ROS_DOMAIN_ID', '42')
    for others in (False, True, True, False):
        bare.setattr(bringup, 'belongs_to_others',
                     lambda domain, others=others: domains.append(domain) or others)
        wanted = bringup.environment()
        assert _transport(wanted) == ((beside_others, reach_beside_others) if others else
                                      (profile, reach))
        for name, value in wanted.items():
            bare.setenv(name, value)
        assert bringup.offers_shared_memory() == ('users' not in _transport(wanted)[0])
    assert set(domains) <= {42}


def test_a_range_that_only_the_profile_of_users_holds_is_for_fast_dds_alone(
        bare: pytest.MonkeyPatch) -> None:
    """Another middleware reads no profile: it would listen on every interface."""
    bare.setattr(bringup, 'belongs_to_others', lambda _domain: True)
    assert bringup.environment()['RMW_IMPLEMENTATION'] == 'rmw_fastrtps_cpp'
    bare.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert bringup.environment()['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'


def test_a_profile_that_a_person_chose_stays_beside_another_user(bare: pytest.MonkeyPatch,
                                                                 tmp_path: Path) -> None:
    (own := tmp_path / 'own.xml').touch()
    bare.setattr(bringup, 'belongs_to_others', lambda _domain: True)
    bare.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(own))
    wanted = bringup.environment()
    assert wanted['FASTRTPS_DEFAULT_PROFILES_FILE'] == str(own)
    assert wanted['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'


@pytest.mark.parametrize(('distribution', 'middleware', 'reach', 'local'), [
    ('humble', 'rmw_cyclonedds_cpp', None, True),
    ('humble', 'rmw_cyclonedds_cpp', 'SUBNET', False),
    ('humble', 'rmw_fastrtps_cpp', None, False), ('humble', '', None, False),
    ('jazzy', 'rmw_cyclonedds_cpp', None, False), (None, None, None, False)])
def test_humble_keeps_to_this_machine_with_other_middlewares_too(
        monkeypatch: pytest.MonkeyPatch, distribution: str | None, middleware: str | None,
        reach: str | None, local: bool) -> None:
    """Regression: only the profile of Fast DDS saw to that there."""
    monkeypatch.delenv('ROS_LOCALHOST_ONLY', raising=False)
    for name, value in (('ROS_DISTRO', distribution), ('RMW_IMPLEMENTATION', middleware),
                        ('ROS_AUTOMATIC_DISCOVERY_RANGE', reach)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert bringup.environment().get('ROS_LOCALHOST_ONLY') == ('1' if local else None)


def test_output_of_all_comes_to_one_place_and_all_are_stopped_in_order(group) -> None:
    processes, log = group({'first': WAITS, 'second': WAITS})
    with processes as running:
        wait_for(log, '[first] up')
        wait_for(log, '[second] up')
        running.check()
    assert all(p.returncode == 0 for p in processes.processes.values())
    lines = log.read_text().splitlines()
    assert lines.index('[first] down') < lines.index('[second] down')


@pytest.mark.parametrize(('source', 'how'), [('exit(3)', 'ended with status 3'),
                                             ('exit(0)', 'ended with status 0'),
                                             ('import os\nos.kill(os.getpid(), 9)',
                                              'was killed by signal 9')])
def test_death_of_a_process_ends_the_run_with_an_error(group, source: str, how: str) -> None:
    processes, _ = group({'lives': WAITS, 'dies': source})
    with pytest.raises(ProcessDiedError, match=f'dies {how}'), processes as running:
        running.wait(lambda: False, poll_s=0.01)
    assert processes.processes['lives'].poll() is not None


@pytest.mark.parametrize(('source', 'reason'), [
    ('print("error: dies: no such scene.")\nexit(2)', 'status 2: no such scene. Its'),
    ('print("[ERROR] [12.5] [dies]: bad weights")\n'
     'print("error: dies could not configure; see its log above.")\nexit(2)',
     'status 2: bad weights. Its'),
    ('print("[ERROR] [12.5] [dies]: Traceback (most recent call last):")\n'
     'print("  File")\nprint("KeyError: 7")\nprint("bye")\nexit(1)', 'status 1: KeyError: 7. Its'),
    ('raise ValueError("odd")', 'status 1: ValueError: odd. Its'),
    ('print("all is well")', 'status 0. Its'),
])
def test_death_of_a_process_is_reported_with_its_last_error(group, source: str, reason: str
                                                            ) -> None:
    """Regression: `vla demo` only said that humanoid_sim had ended with status 2."""
    processes, _ = group({'dies': source})
    with pytest.raises(ProcessDiedError, match=reason), processes as running:
        running.wait(lambda: False, poll_s=0.01)


def test_each_run_begins_its_log_anew_and_keeps_the_one_before(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: `vla run` added to the same file for ever."""
    monkeypatch.setattr(bringup, 'graph', lambda _: ())
    monkeypatch.setattr(bringup, 'on_end', lambda _: None)
    monkeypatch.setattr(ProcessGroup, 'wait', lambda *_: None)
    log = tmp_path / 'log' / 'graph.log'
    for text in ('first', 'second', 'third'):
        bringup.run_graph(Deployment(), log)
        assert log.read_text() == ''
        log.write_text(text)
    assert {p.name: p.read_text() for p in log.parent.iterdir()} \
        == {'graph.log': 'third', 'graph.log.1': 'second'}


LAUNCHES = """
import sys, threading
from pathlib import Path
from vla_humanoid_control.graph.bringup import NodeEntry, ProcessGroup
entry = NodeEntry('talks', {{}}, Path('none'), module='talks')
with ProcessGroup((entry,), Path(sys.argv[1])) as group:
    group.wait(Path(sys.argv[2]).exists)
"""
TALKS = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (print('down'), exit(0)))
for number in range(3000):
    print('x' * 100, number, flush=True)
open({mark!r}, 'w').close()
time.sleep(60)
"""


@pytest.mark.parametrize('reader', ['gone', 'asleep'])
def test_a_node_goes_on_where_nobody_reads_what_it_prints(tmp_path: Path, reader: str) -> None:
    """Regression: with `vla run | head`, safety_monitor came to a halt once a pipe was full."""
    mark, log = tmp_path / 'mark', tmp_path / 'graph.log'
    (tmp_path / 'talks.py').write_text(TALKS.format(mark=str(mark)))
    root = Path(bringup.__file__).resolve().parents[2]
    launcher = subprocess.Popen(
        [sys.executable, '-c', LAUNCHES.format(), str(log), str(mark)], stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join((str(root), str(tmp_path)))})
    try:
        assert launcher.stdout is not None
        if reader == 'gone':
            launcher.stdout.close()
        assert launcher.wait(60) == 0
    finally:
        launcher.kill()
    lines = log.read_text().splitlines()
    assert sum(line.startswith('[talks] xxx') for line in lines) == 3000
    assert '[talks] down' in lines
    assert re.fullmatch(r'\[graph\] \d+ lines could not be printed.*', lines[-1])


def test_a_record_that_hangs_holds_up_no_node(group, tmp_path: Path) -> None:
    """A log on a network disk that is gone, or on a pipe."""
    mark = tmp_path / 'mark'
    processes, log = group({'talks': TALKS.format(mark=str(mark))})
    log.parent.mkdir()
    os.mkfifo(log)
    holds_it = os.open(log, os.O_RDWR)  # and never reads
    try:
        with processes as running:
            running.wait(mark.exists, poll_s=0.01)
    finally:
        os.close(holds_it)


def test_process_that_ignores_the_signal_is_killed_and_said_so(group) -> None:
    deaf = 'import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n' \
           'print("up", flush=True)\ntime.sleep(60)\n'
    processes, log = group({'deaf': deaf})
    with processes as running:
        wait_for(log, 'up')
        running.stop(timeout_s=0.2)
    assert 'is killed' in log.read_text()
    assert processes.processes['deaf'].returncode == -9


@pytest.mark.skipif(sys.platform != 'linux', reason='uses a Linux call')
def test_processes_die_with_the_one_that_started_them(tmp_path: Path) -> None:
    (tmp_path / 'node.py').write_text('import os, time\nprint(os.getpid(), flush=True)\n'
                                      'time.sleep(60)\n')
    root = Path(bringup.__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, '-c', f"""
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from vla_humanoid_control.graph.bringup import NodeEntry, ProcessGroup
entry = NodeEntry('node', {{}}, Path('none'), module='node')
with ProcessGroup((entry,), Path({str(tmp_path / 'log')!r}),
                  echo=lambda line: print(line, flush=True),
                  extra_environment={{'PYTHONPATH': {str(tmp_path)!r}}}):
    time.sleep(60)
"""], stdout=subprocess.PIPE, text=True, cwd=root)
    assert parent.stdout is not None
    child = int(parent.stdout.readline().split()[-1])
    parent.kill()
    parent.wait()
    end = time.monotonic() + 5.0
    while Path(f'/proc/{child}').exists() \
            and Path(f'/proc/{child}/stat').read_text().split()[2] != 'Z':
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize('profile', ['fastdds.xml', 'fastdds_users.xml'])
def test_nodes_announce_themselves_often_to_who_comes_late(profile: str) -> None:
    """Regression: each 3 s, so that of 20 stops said once a second listener heard one."""
    name = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    root = ElementTree.parse(bringup.config_path(profile)).getroot()
    period = root.find(f'.//{name}discovery_config/{name}leaseAnnouncement')
    assert period is not None
    seconds, nanoseconds = (int(period.findtext(name + unit) or 0) for unit in ('sec', 'nanosec'))
    assert seconds == 0 and 0 < nanoseconds <= 100_000_000
