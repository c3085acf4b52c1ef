"""Files of ROS parameters mean here what they mean to ROS."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vla_humanoid_control.graph import processes
from vla_humanoid_control.graph.bringup import Deployment, graph
from vla_humanoid_control.graph.parameter_file import check_node_names, matches, parameters_of
from vla_humanoid_control.support.errors import UserError

PATTERNS = ('safety_monitor', '/safety_monitor', '/**', '**', '/*', '*', '/**/safety_monitor',
            '/*/safety_monitor', '/**/*', '/*/*', '/robot1/safety_monitor',
            'robot1/safety_monitor', '/robot1/**', '/robot1/*', '/a/**/safety_monitor', '/a/b/*',
            '/a/*/safety_monitor', '/**/b/safety_monitor', '/robot1', '/**/robot1')


@pytest.mark.parametrize('pattern', PATTERNS)
def test_names_match_as_in_ros(pattern: str, tmp_path: Path, domain_id: int) -> None:
    """In the root, in a namespace, and in one within another; judged by real nodes."""
    rclpy = pytest.importorskip('rclpy')
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump({pattern: {'ros__parameters': {'value': 1}}}))
    for space in ('/', '/robot1', '/a/b'):
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain_id,
                   args=['--ros-args', '--params-file', str(path)])
        try:
            node = rclpy.create_node('safety_monitor', namespace=space, context=context,
                                     start_parameter_services=False)
            taken = node.declare_parameter('value', 0).value == 1
            assert matches(pattern, node.get_fully_qualified_name()) == taken, space
            node.destroy_node()
        finally:
            rclpy.shutdown(context=context)


NODES = ('/robot1/vla_controller', '/robot1/safety_monitor')


@pytest.mark.parametrize('name', ['/robot1/safety_monitor', '/**/safety_monitor', '/**',
                                  '/*/vla_controller', '/robot1/*', 'robot1/safety_monitor'])
def test_names_of_this_graph_are_accepted(name: str) -> None:
    check_node_names({name: {'ros__parameters': {'a': 1}}}, NODES, 'mine.yaml')


@pytest.mark.parametrize('name', [
    'safety_monitor', '/safety_monitor', '/robot2/safety_monitor', '/robot1/a/safety_monitor',
    '/*/*/safety_monitor', '/robot2/**', '/*', '/robot1/saftey_monitor', '/robot1', '/**/robot1'])
def test_names_that_no_node_has_are_refused(name: str) -> None:
    """Regression: only the last part was looked at, and so parameters for a robot in a namespace
    were accepted, and had no effect.
    """
    with pytest.raises(UserError, match='there is no node') as refused:
        check_node_names({name: {'ros__parameters': {'a': 1}}}, NODES, 'mine.yaml')
    assert name in str(refused.value)


def test_namespaces_may_be_nested() -> None:
    document = {'robot1': {'safety_monitor': {'ros__parameters': {'a': {'b': 1}, 'c': 2}}}}
    check_node_names(document, NODES, 'mine.yaml')
    assert parameters_of(document, NODES[1], 'mine.yaml') == {'a.b': 1, 'c': 2}
    assert parameters_of(document, NODES[0], 'mine.yaml') == {}
    with pytest.raises(UserError, match='no node robot2/safety_monitor'):
        check_node_names({'robot2': document['robot1']}, NODES, 'mine.yaml')


@pytest.mark.parametrize('document', [None, {}, [], 'text', {'a': None}, {'a': {}}, {'a': 3},
                                      {'a': {'ros__parameters': None}},
                                      {'a': {'ros__parameters': {}, 'b': {}}}])
def test_another_form_is_refused(document: object) -> None:
    with pytest.raises(UserError, match='must name nodes'):
        check_node_names(document, NODES, 'mine.yaml')


def in_force(arguments: list[str], domain_id: int) -> dict[str, object]:
    """What a node called safety_monitor gets of such arguments."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id, args=arguments)
    try:
        node = rclpy.create_node('safety_monitor', context=context, use_global_arguments=True,
                                 automatically_declare_parameters_from_overrides=True)
        values = {name: p.value for name, p in node.get_parameters_by_prefix('').items()}
        node.destroy_node()
        return values
    finally:
        rclpy.shutdown(context=context)


@pytest.mark.parametrize('name', ['/**', '/*', 'safety_monitor', '/**/safety_monitor'])
def test_own_parameters_lie_over_those_that_are_shipped(name: str, tmp_path: Path,
                                                        domain_id: int) -> None:
    """Regression: they took their place, and the simulated robot lost its clock."""
    path = tmp_path / 'mine.yaml'
    mine = {'remember_latch': True, 'safety.slow_ttc_s': 3.0}  # the first is shipped as false
    path.write_text(yaml.safe_dump({name: {'ros__parameters': mine}}))
    entry = next(e for e in graph(Deployment(parameter_file=path)) if e.name == 'safety_monitor')
    values = in_force(processes._command(entry)[3:], domain_id)
    assert values['use_sim_time'] is True and values['robot'] == 'humanoid'
    assert mine.items() <= values.items()


@pytest.mark.parametrize('namespace', ['', '/robot1'])
def test_choices_lie_over_the_shipped_file(namespace: str, domain_id: int) -> None:
    """Regression: a file that names the node went before them; `vla demo --seed` did nothing."""
    chosen = {'safety_monitor': {'remember_latch': True}}  # shipped as false
    entry = next(e for e in graph(Deployment(parameters=chosen, namespace=namespace))
                 if e.name == 'safety_monitor')
    values = in_force(processes._command(entry)[3:], domain_id)
    assert values['remember_latch'] is True and values['use_sim_time'] is True


def test_shipped_files_say_what_they_say_to_the_nodes() -> None:
    demo = {e.name: e.shipped for e in graph(Deployment())}
    assert demo['vla_controller'] == {'use_sim_time': True, 'frames.frozen_at_rest': True}
    assert demo['safety_monitor'] == {'use_sim_time': True, 'remember_latch': False}
    assert {e.shipped['use_sim_time'] for e in graph(Deployment(simulated=False))} == {False}
