"""Launch files, where a ROS installation brings `launch_ros`: they list the nodes of `bringup`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip('launch_ros')

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from vla_humanoid_control.graph.bringup import Deployment, graph
from vla_humanoid_control.graph.gazebo_description import describe_gazebo
from vla_humanoid_control.graph.launch_description import describe
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.urdf import urdf
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path

pytestmark = pytest.mark.ros

FILES = sorted((Path(__file__).resolve().parents[2] / 'launch').glob('*.launch.py'))


def test_there_are_launch_files() -> None:
    assert {f.name for f in FILES} >= {'vla_demo.launch.py', 'robot.launch.py',
                                       'gazebo.launch.py'}


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_launch_file_lists_the_graph(path: Path) -> None:
    context = LaunchContext()
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(context)
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    nodes = [e for e in description.entities if isinstance(e, Node)]
    for node in nodes:
        node._perform_substitutions(context)
    simulated = path.name == 'vla_demo.launch.py'
    beside = ['gazebo_bridge'] if path.name == 'gazebo.launch.py' else []
    assert [n.node_name.split('/')[-1] for n in nodes] \
        == [*(e.name for e in graph(Deployment(simulated=simulated))), *beside]


@pytest.mark.parametrize(('robot', 'walks'), [('humanoid', False), ('unitree_g1', True)])
def test_a_robot_on_legs_has_its_walking_controller_in_gazebo(robot: str, walks: bool) -> None:
    """The policy is the scripted one, which every robot can follow."""
    context = LaunchContext()
    context.launch_configurations.update(
        {'policy': 'scripted', 'robot': robot, 'robot_state_publisher': 'false'})
    nodes = []
    for entity in describe_gazebo().entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            for action in entity.execute(context) or ():
                if isinstance(action, Node):
                    action._perform_substitutions(context)
                    nodes.append(action.node_name.split('/')[-1])
                else:
                    action.execute(context)
    assert nodes == (['walking_controller'] if walks else [])


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_launch_argument_chooses_the_parameter_file(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.write_text('/**: {ros__parameters: {use_sim_time: false}}')
    context = LaunchContext()
    context.launch_configurations['params'] = str(mine)
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(context)
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    node = next(e for e in description.entities if isinstance(e, Node))
    files = [name for name, is_file in evaluated(node, context) if is_file]
    # Over what is shipped, and below what the launch arguments choose.
    assert [Path(file).read_text() == mine.read_text() for file in files] == [False, True, False]
    assert 'use_sim_time' in Path(files[0]).read_text()


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_launch_argument_remaps_topics_of_all_nodes(path: Path) -> None:
    context = LaunchContext()
    context.launch_configurations['remap'] = '/cmd_vel:=/base/cmd_vel /joint_commands:=/targets'
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(context)
    count = 0
    for entity in description.entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            for action in entity.execute(context) or ():
                if not isinstance(action, Node):  # which would be started
                    action.execute(context)
        elif isinstance(entity, Node):
            entity._perform_substitutions(context)
            assert dict(entity.expanded_remapping_rules) == {'/cmd_vel': '/base/cmd_vel',
                                                             '/joint_commands': '/targets'}
            count += 1
    assert count >= 3


def test_a_bad_remapping_ends_the_launch() -> None:
    context = LaunchContext()
    context.launch_configurations['remap'] = '/cmd_vel:=/base/'
    with pytest.raises(UserError, match='/cmd_vel:=/base/'):
        run_functions(context)


def test_a_parameter_file_of_a_node_that_there_is_not_ends_the_launch(tmp_path: Path) -> None:
    """It used to be read, and to change nothing."""
    mine = tmp_path / 'mine.yaml'
    mine.write_text('saftey_monitor: {ros__parameters: {use_sim_time: false}}')
    context = LaunchContext()
    context.launch_configurations['params'] = str(mine)
    with pytest.raises(UserError, match=r'saftey_monitor \(did you mean safety_monitor\?\)'):
        run_functions(context)


def test_gazebo_gets_the_world_and_the_bridge_its_topics(tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """`ros_gz_sim` is one that tells what it is given."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'ros_gz_sim').touch()
    there = tmp_path / 'share' / 'ros_gz_sim' / 'launch'
    there.mkdir(parents=True)
    (there / 'gz_sim.launch.py').write_text(
        'from launch import LaunchDescription\n'
        'from launch.actions import DeclareLaunchArgument\n'
        'def generate_launch_description():\n'
        "    return LaunchDescription([DeclareLaunchArgument(name, default_value='')\n"
        "                              for name in ('gz_args', 'on_exit_shutdown')])\n")
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    context = LaunchContext()
    context.launch_configurations.update({'policy': 'scripted', 'gz_args': '-r -s'})
    entities = describe_gazebo().entities
    for entity in entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            for action in entity.execute(context) or ():
                if not isinstance(action, Node):
                    action.execute(context)
    bridge = next(e for e in entities if isinstance(e, Node) and
                  e._Node__package == 'ros_gz_bridge')
    ((path, is_file),) = evaluated(bridge, context)
    document = yaml.safe_load(Path(path).read_text()) if is_file else {}
    (parameters,) = document.values()
    assert parameters['ros__parameters'] == {
        'config_file': str(config_path('gazebo', 'bridge.yaml'))}
    include = next(e for e in entities if isinstance(e, IncludeLaunchDescription))
    for action in include.execute(context):
        if isinstance(action, (SetLaunchConfiguration, DeclareLaunchArgument)):
            action.execute(context)
    world = config_path('gazebo', 'world.sdf')
    assert context.launch_configurations['gz_args'] == f'-r -s "{world}"'
    assert context.launch_configurations['on_exit_shutdown'] == 'true'


@pytest.mark.parametrize(('given', 'around', 'full'), [
    ('', '', ''), ('robot1', '', '/robot1'), ('/robot1/', '', '/robot1'), ('', 'fleet', '/fleet'),
    ('robot1', '/fleet', '/fleet/robot1'), ('/robot1', 'fleet', '/robot1')])
def test_a_namespace_moves_all_nodes(given: str, around: str, full: str) -> None:
    """Launch arguments go below /** in any namespace: below a full name a person's /** would go
    before them.
    """
    context = LaunchContext()
    context.launch_configurations['namespace'] = given
    context.launch_configurations['remap'] = '/cmd_vel:=/base/cmd_vel'
    if around:
        context.launch_configurations['ros_namespace'] = around
    seen = 0
    for entity in describe(simulated=True).entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            for action in entity.execute(context) or ():
                if not isinstance(action, Node):  # which would be started
                    action.execute(context)
        elif isinstance(entity, Node):
            files = evaluated(entity, context)
            assert entity.node_name.rpartition('/')[0] == full
            rules = dict(entity.expanded_remapping_rules)
            assert rules == ({'/cmd_vel': '/base/cmd_vel', 'cmd_vel': '/base/cmd_vel',
                              '/clock': 'clock'} if full else {'/cmd_vel': '/base/cmd_vel'})
            assert all(Path(file).read_text().startswith('/**:') for file in
                       (files[0][0], files[-1][0]))
            words = [''.join(p.perform(context) for p in part) for part in entity.cmd
                     if 'ros_specific' not in str([getattr(p, 'expression', '') for p in part])]
            enclave = words[words.index('--enclave') + 1]
            name = entity.node_name.rpartition('/')[2]
            assert enclave == f'{full}/vla_humanoid_control/{name}'
            seen += 1
    assert seen == 4


def test_a_namespace_that_is_none_ends_the_launch() -> None:
    context = LaunchContext()
    context.launch_configurations['namespace'] = '1robot'
    with pytest.raises(UserError, match='1robot'):
        run_functions(context)


def run_functions(context: LaunchContext, simulated: bool = False) -> list[Node]:
    """What the launch description computes, with defaults for what the context does not say.

    Gives the nodes among it.
    """
    found = []
    for entity in describe(simulated=simulated).entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            found += [a for a in entity.execute(context) or () if isinstance(a, Node)]
    return found


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ROS installation that has what shows the robot."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for name in ('robot_state_publisher', 'rviz2'):
        (index / name).touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))


@pytest.mark.parametrize(('simulated', 'chosen', 'names'), [
    (True, {}, ['robot_state_publisher']), (False, {}, []),
    (True, {'rviz': 'true'}, ['robot_state_publisher', 'rviz2']),
    (False, {'robot_state_publisher': 'true'}, ['robot_state_publisher']),
    (True, {'robot_state_publisher': 'false', 'rviz': 'true'}, ['rviz2'])])
@pytest.mark.usefixtures('installed')
def test_the_robot_is_shown_as_far_as_a_person_wants_it(
        simulated: bool, chosen: dict[str, str], names: list[str]) -> None:
    context = LaunchContext()
    context.launch_configurations.update({'namespace': 'robot1', 'policy': 'scripted', **chosen})
    nodes = run_functions(context, simulated)
    for node in nodes:
        node._perform_substitutions(context)
    assert [n.node_name for n in nodes] == [f'/robot1/{name}' for name in names]
    assert all(n._ExecuteLocal__on_exit is None for n in nodes)  # the graph outlives them


@pytest.mark.usefixtures('installed')
def test_the_state_publisher_gets_the_urdf() -> None:
    context = LaunchContext()
    context.launch_configurations['policy'] = 'scripted'
    node = run_functions(context, simulated=True)[0]
    node._perform_substitutions(context)
    path, is_file = node._Node__expanded_parameter_arguments[0]
    document = yaml.safe_load(Path(path).read_text()) if is_file else None
    parameters = next(iter(document.values()))['ros__parameters']
    assert parameters['robot_description'] == urdf(load_robot('humanoid'))
    assert parameters['use_sim_time'] is True


def test_the_graph_runs_where_nothing_shows_the_robot(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    context = LaunchContext()
    context.launch_configurations['policy'] = 'scripted'
    assert not run_functions(context, simulated=True)
    context.launch_configurations['rviz'] = 'true'
    with pytest.raises(UserError, match='rviz2'):
        run_functions(context)


def evaluated(node: Node, context: LaunchContext) -> list[tuple[str, bool]]:
    node._perform_substitutions(context)
    return node._Node__expanded_parameter_arguments


@pytest.mark.parametrize(('script', 'status'), [('raise SystemExit(3)', 1), (
    'import signal; signal.signal(signal.SIGINT, lambda *_: exit(0)); signal.pause()', 0)])
def test_launch_fails_where_a_node_dies_and_only_there(script: str, status: int) -> None:
    """A dead node used to end `ros2 launch` with status 0."""
    on_exit = next(e for e in describe(simulated=False).entities
                   if isinstance(e, Node))._ExecuteLocal__on_exit
    service = LaunchService(argv=[])
    service.include_launch_description(LaunchDescription([
        ExecuteProcess(cmd=[sys.executable, '-c', script], on_exit=on_exit),
        TimerAction(period=2.0, actions=[Shutdown()])]))
    assert service.run() == status
