"""The list of nodes, and what they want of their environment."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from vla_humanoid_control.graph import bringup, processes
from vla_humanoid_control.graph.bringup import Deployment, NodeEntry, graph, parse_remappings
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path


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
    text = next(part for part in processes._command(node) if part.startswith('p:='))
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
        command = processes._command(node)
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
    command = processes._command(entry)
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
        command = processes._command(entry)
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


@pytest.mark.parametrize('profile', ['fastdds.xml', 'fastdds_users.xml'])
def test_nodes_announce_themselves_often_to_who_comes_late(profile: str) -> None:
    """Regression: each 3 s, so that of 20 stops said once a second listener heard one."""
    name = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    root = ElementTree.parse(config_path(profile)).getroot()
    period = root.find(f'.//{name}discovery_config/{name}leaseAnnouncement')
    assert period is not None
    seconds, nanoseconds = (int(period.findtext(name + unit) or 0) for unit in ('sec', 'nanosec'))
    assert seconds == 0 and 0 < nanoseconds <= 100_000_000


def test_a_walking_controller_is_stopped_after_whoever_commands_it() -> None:
    names = [entry.name for entry in graph(Deployment(simulated=False, gazebo=True, walks=True))]
    assert names[-2:] == ['safety_monitor', 'walking_controller']
    assert 'walking_controller' not in [entry.name for entry in graph(Deployment(gazebo=True))]
