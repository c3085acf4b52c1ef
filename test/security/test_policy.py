"""The SROS2 policy: its form, and that only `safety_monitor` may talk to the robot."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from g1 import needs_t1
from sros2_policy import POLICY, PREFIX, faults_of_form, holders, read

from vla_humanoid_control.graph.bringup import Deployment, graph
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.names import beside, full_name

ROOT = POLICY.parents[2]
NODES = ('vla_controller', 'confidence_monitor', 'safety_monitor', 'humanoid_sim')
ROBOT_SIDE = {'humanoid_sim', 'robot'}
MEASURED = {*ROBOT_SIDE, 'unitree_bridge'}
BESIDE = {'unitree_bridge', 'walking_controller'}
"""Nodes on the robot's side that only some robots need."""
PUBLISHERS = {
    '/cmd_vel': {'safety_monitor'},
    '/joint_commands': {'safety_monitor'},
    '/safety/state': {'safety_monitor'},
    '/vla/action_gated': {'confidence_monitor'},
    '/vla_confidence': {'confidence_monitor'},
    '/vla/signals': {'confidence_monitor'},
    '/vla/action_proposal': {'vla_controller'},
    '/vla/task_state': {'vla_controller'},
    '/vla/question': {'vla_controller'},
    '/camera/rgb/image_raw': ROBOT_SIDE,
    '/camera/rgb/image_raw/compressed': {'robot'},
    '/camera/depth/image_raw': {'robot'},
    '/camera/depth/camera_info': {'robot'},
    '/joint_states': MEASURED,
    '/imu/data': MEASURED,
    '/scan': ROBOT_SIDE,
    '/odom': MEASURED,
    '/clock': {'humanoid_sim'},
    '/humanoid_sim/outside/image_raw': {'humanoid_sim'},
    '/humanoid_sim/task_truth': {'humanoid_sim'},
    '/vla_command': {'operator', 'director'},
    '/emergency_stop': {'operator'},
    '/safety/heartbeat': {'operator'},
    '/walking/imu': {'robot'},
    '/walking/joint_commands': {'walking_controller'},
    '/walking/let_go': {'walking_controller'},
    '/diagnostics': {*NODES, 'robot', *BESIDE},
}
"""Who may publish what; beyond this only /rosout, /parameter_events and ~/transition_event."""


@pytest.fixture(scope='module')
def rights():
    return read()


def test_policy_has_the_form_that_sros2_reads() -> None:
    assert not list(faults_of_form(POLICY.read_text(encoding='utf-8')))


@pytest.mark.parametrize(('old', 'new'), [
    ('version="0.2.0"', 'version="0.1.0"'), ('path=', 'name='), ('"ALLOW"', '"PERMIT"'),
    ('publish=', 'write='), ('<topic>cmd_vel</topic>', '<topic> cmd_vel</topic>'),
    ('<topic>clock</topic>', '<service>clock</service>'), (' ns="/"', '')])
def test_another_form_is_noticed(old: str, new: str) -> None:
    assert list(faults_of_form(POLICY.read_text(encoding='utf-8').replace(old, new)))


@pytest.mark.parametrize(('topic', 'who'), PUBLISHERS.items())
def test_each_topic_has_its_publishers_and_no_other(rights, topic: str, who: set[str]) -> None:
    assert holders(rights, 'publish', topic) == who


def test_nothing_else_may_be_published(rights) -> None:
    for enclave, r in rights.items():
        own = {'/rosout', '/parameter_events', f'/{enclave}/transition_event'}
        assert r.publish <= {t for t, who in PUBLISHERS.items() if enclave in who} | own, enclave


@pytest.mark.parametrize('pattern', ['/cmd_vel', '/cmd*', '/*', '*'])
def test_a_foreign_right_to_publish_commands_is_noticed(pattern: str) -> None:
    text = POLICY.read_text(encoding='utf-8').replace(
        '<topic>vla/action_proposal</topic>',
        f'<topic>vla/action_proposal</topic><topic>{pattern}</topic>', 1)
    assert holders(read(text), 'publish', '/cmd_vel') == {'safety_monitor', 'vla_controller'}


@pytest.mark.parametrize(('service', 'servers', 'clients'), [
    ('/safety/reset', {'safety_monitor'}, {'operator'}),
    ('/safety/emergency_stop', {'safety_monitor'}, {'operator', 'maintainer'}),
    ('/humanoid_sim/reset', {'humanoid_sim'}, {'director'}),
    ('/humanoid_sim/set_parameters', {'humanoid_sim'}, {'director', 'maintainer'}),
    *((f'/{node}/{name}', {node}, {'maintainer'}) for node in NODES[:3]
      for name in ('set_parameters', 'set_parameters_atomically', 'change_state')),
    *((f'/{node}/{name}', {node}, {'maintainer', 'operator'}) for node in NODES[:3]
      for name in ('get_parameters', 'get_state')),
])
def test_who_may_change_what(rights, service: str, servers: set[str], clients: set[str]) -> None:
    assert holders(rights, 'reply', service) == servers
    assert holders(rights, 'request', service) == clients


def test_whoever_hears_or_calls_has_someone_to_hear_or_to_call(rights) -> None:
    """A name that is spelt wrongly denies in silence."""
    for enclave, r in rights.items():
        for topic in r.subscribe:
            assert holders(rights, 'publish', topic), f'{enclave} subscribes to {topic}'
        for service in r.request:
            assert holders(rights, 'reply', service), f'{enclave} calls {service}'


def test_asterisks_stand_only_where_tools_number_their_own_nodes(rights) -> None:
    patterns = {n for r in rights.values() for names in vars(r).values() for n in names
                if set('*?[') & set(n)}
    assert patterns == {'/_ros2cli_*', '/rqt_gui_*'}
    assert all(not set('*?[') & set(n) for r in rights.values()
               for n in r.publish | r.subscribe | r.request)


def test_every_node_runs_in_an_enclave_of_the_policy(rights) -> None:
    assert [e.enclave for e in graph(Deployment())] == [PREFIX + n for n in NODES]
    source = ROOT / 'vla_humanoid_control/clients/director.py'
    tree = ast.parse(source.read_text(encoding='utf-8'))
    director = [ast.literal_eval(n.value) for n in ast.walk(tree) if isinstance(n, ast.Assign)
                and getattr(n.targets[0], 'id', '') == 'ENCLAVE']
    assert director == [PREFIX + 'director']
    assert {e.name for e in graph(Deployment(walks=True))} - set(NODES) <= BESIDE
    assert set(rights) == {*NODES, *BESIDE, 'robot', 'operator', 'maintainer', 'director'}


def test_the_documented_command_puts_the_policy_into_a_namespace(rights) -> None:
    """Every name in it was that of a robot without a namespace."""
    page = (ROOT / 'docs' / 'security.md').read_text(encoding='utf-8')
    command = re.search(r'sed .*(?= \$policy)', page)
    assert command is not None
    text = subprocess.run([*shlex.split(command[0]), str(POLICY)], capture_output=True, text=True,
                          check=True).stdout
    assert not list(faults_of_form(text))
    entry = graph(Deployment(namespace='/robot1'))[0]
    moved = read(text, entry.enclave.removesuffix(entry.name))

    def there(name: str) -> str:
        is_of_all = name in ('/rosout', '/parameter_events') or '*' in name
        return name if is_of_all else f'/robot1{name}'
    assert {enclave: {verb: set(names) for verb, names in vars(r).items()}
            for enclave, r in moved.items()} \
        == {enclave: {verb: {there(n) for n in names} for verb, names in vars(r).items()}
            for enclave, r in rights.items()}


@pytest.mark.parametrize('path', [
    pytest.param(p, id=p.stem, marks=[needs_t1] if p.stem == 'booster_t1' else [])
    for p in sorted((ROOT / 'config' / 'robots').glob('*.yaml'))])
def test_topics_of_every_robot_file_are_allowed(rights, path: Path) -> None:
    robot = load_robot(str(path))
    sensors = {full_name(s.topic, '') for s in robot.sensors.values()}
    if 'depth' in robot.sensors:
        sensors.add(full_name(beside(robot.sensors['depth'].topic, 'camera_info'), ''))
    cameras = {full_name(c.topic, '') for c in robot.cameras.values()}
    for topic in sensors | cameras:
        assert rights['robot'].may('publish', topic), topic
        assert rights['safety_monitor'].may('subscribe', topic), topic
    for topic in cameras | {f'{c}/compressed' for c in cameras} \
            | {full_name(robot.sensors['joint_states'].topic, '')}:
        assert rights['vla_controller'].may('subscribe', topic), topic


def test_sros2_makes_permissions_of_it(tmp_path: Path) -> None:
    """Where ROS 2 is installed: its own code checks the policy against its schema."""
    keystore = pytest.importorskip('sros2.keystore', reason='sros2 is not on PyPI')
    import xml.etree.ElementTree as ElementTree
    keystore.create_keystore(tmp_path)
    may = {}
    for name in read():
        keystore.create_enclave(tmp_path, PREFIX + name)
        keystore.create_permission(tmp_path, PREFIX + name, POLICY)
        permissions = ElementTree.parse(tmp_path / 'enclaves' / (PREFIX + name)[1:]
                                        / 'permissions.xml').getroot()
        assert permissions.findtext('permissions/grant/default') == 'DENY'
        may[name] = {e.text for e in permissions.iterfind('.//allow_rule/publish/topics/topic')}
    for topic, who in PUBLISHERS.items():
        assert {name for name, topics in may.items() if f'rt{topic}' in topics} == who
    assert not any('*' in str(t) and not str(t).startswith('rr/') for ts in may.values()
                   for t in ts)
