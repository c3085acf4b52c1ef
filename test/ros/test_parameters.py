"""Parameters from dataclasses, on a real node: explained, and checked on every change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip('rclpy')

from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_humanoid_control.confidence.gate import GateConfig
from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.ros.parameters import Parameters, refuse_unknown
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.support.bounds import bounded, fixed
from vla_humanoid_control.support.errors import UserError

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Example:
    """Parameters of an example.

    Attributes:
        low, high: Ends of a range, low
            before high [m].
        name: What it is called.
        count: How many.
        on: Whether.
        size: Width and height [m].
    """

    low: float = bounded(0.5, 0.0, 10.0)
    high: float = bounded(2.0, 0.0, 10.0)
    name: str = fixed('x')
    count: int = bounded(3, 1, 9)
    on: bool = True
    size: tuple[float, ...] = (1.0, 2.0)

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError('low must be below high')


def make(context: Any, **overrides: Any) -> Node:
    return Node('example', context=context, start_parameter_services=False, parameter_overrides=[
        Parameter(name, value=value) for name, value in overrides.items()])


def change(node: Node, **values: Any) -> tuple[bool, str]:
    result = node.set_parameters_atomically([Parameter(n, value=v) for n, v in values.items()])
    return result.successful, result.reason


def test_descriptions_come_from_the_docstring_and_bounds_from_the_field(context: Any) -> None:
    node = make(context)
    Parameters(node, Example)
    low, high, count = (node.describe_parameter(n) for n in ('low', 'high', 'count'))
    assert low.description == high.description == 'Ends of a range, low before high [m].'
    assert low.floating_point_range[0].to_value == 10.0
    assert count.integer_range[0].from_value == 1


@pytest.mark.parametrize('kind', [GateConfig, TaskConfig, SafetyConfig, Example])
def test_every_parameter_is_explained(context: Any, kind: type) -> None:
    node = make(context)
    Parameters(node, kind, prefix='p.')
    for name in node.get_parameters_by_prefix('p'):
        assert len(node.describe_parameter(f'p.{name}').description) > 5, name


def test_values_at_start_are_taken_and_checked(context: Any) -> None:
    assert Parameters(make(context, low=1, size=[3.0, 4.0]), Example).value \
        == Example(low=1.0, size=(3.0, 4.0))
    for overrides, reason in (({'low': 5.0}, 'below high'), ({'count': 99}, 'count'),
                              ({'on': 'yes'}, 'on'), ({'high': math.nan}, 'high')):
        with pytest.raises(UserError, match=reason):
            Parameters(make(context, **overrides), Example)


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'low': 3.0}, 'low must be below high'), ({'low': math.nan}, 'low'),
    ({'high': math.inf}, ''), ({'count': 0}, ''), ({'name': 'y'}, 'only be set at start'),
    ({'size': [1.0, math.nan]}, 'finite'), ({'low': 1.0, 'high': 0.5}, 'below high'),
    ({'low': 'a'}, 'float'),
])
def test_nonsense_is_refused_and_the_old_values_stay(context: Any, changes: dict[str, Any],
                                                     reason: str) -> None:
    parameters = Parameters(node := make(context), Example)
    accepted, why = change(node, **changes)
    assert not accepted and reason in why and why
    assert parameters.value == Example()


@pytest.mark.parametrize(('kind', 'name', 'value'), [
    (TaskConfig, 'time_limit_s', 1e12), (TaskConfig, 'hold_timeout_s', 1e12),
    (TaskConfig, 'max_retries', 10**9), (TaskConfig, 'done_ticks', 10**9),
    (GateConfig, 'open_threshold', 1e-9), (GateConfig, 'close_threshold', 1e-9)])
def test_thresholds_have_an_end_at_start_and_later(context: Any, kind: type, name: str,
                                                   value: float) -> None:
    parameters = Parameters(node := make(context), kind)
    accepted, why = change(node, **{name: value})
    assert not accepted and why
    assert parameters.value == kind()
    with pytest.raises(UserError, match=name):
        Parameters(make(context, **{name: value}), kind)


def test_fields_that_depend_on_each_other_change_together(context: Any) -> None:
    parameters = Parameters(node := make(context), Example)
    assert change(node, low=5.0, high=6.0) == (True, '')
    assert (parameters.value.low, parameters.value.high) == (5.0, 6.0)


def test_veto_is_asked_with_the_new_values_and_changes_nothing(context: Any) -> None:
    asked = []

    def veto(new: Example, names: frozenset[str]) -> str:
        asked.append((new.count, names))
        return 'not now'

    parameters = Parameters(node := make(context), Example, veto=veto)
    assert change(node, count=4) == (False, 'not now')
    assert asked == [(4, frozenset({'count'}))] and parameters.value.count == 3


def test_a_request_to_two_dataclasses_takes_effect_whole_or_not_at_all(context: Any) -> None:
    """As thresholds of safety, and what else its node can be told, come in one request."""
    heard: list[int] = []

    def veto(new: Example, _names: frozenset[str]) -> str:
        heard.append(new.count)
        return ''

    node = make(context)
    first = Parameters(node, Example, prefix='a.', veto=veto)
    second = Parameters(node, Example, prefix='b.', veto=veto)
    assert not change(node, **{'b.count': 4, 'a.name': 'y'})[0]
    assert not change(node, **{'a.count': 4, 'b.name': 'y'})[0]
    assert first.value == second.value == Example()
    assert not heard
    assert change(node, **{'a.count': 4, 'b.count': 5}) == (True, '')
    assert (first.value.count, second.value.count) == (4, 5)


@pytest.mark.parametrize('refused_by', ['the second', 'ros'])
def test_nothing_has_taken_effect_when_the_last_one_refuses(context: Any, refused_by: str
                                                             ) -> None:
    """Regression: a veto in a second dataclass, or of rclpy itself, left the first one changed."""
    refuses, applied = refused_by == 'the second', []

    def veto(_new: Example, _names: frozenset[str]) -> str:
        return 'not now' if refuses else ''

    node = make(context)
    first = Parameters(node, Example, prefix='a.', veto=lambda *_: '',
                       apply=lambda new, names: applied.append((new.count, names)))
    second = Parameters(node, Example, prefix='b.', veto=veto)
    request: dict[str, Any] = {'a.count': 4, 'b.count': 5}
    if not refuses:
        request['use_sim_time'] = 'maybe'
    assert not change(node, **request)[0]
    assert first.value == second.value == Example()
    assert not applied
    assert node.get_parameter('a.count').value == 3
    refuses = False
    assert change(node, **{'a.count': 4, 'b.count': 5}) == (True, '')
    assert (first.value.count, second.value.count) == (4, 5)
    assert applied == [(4, frozenset({'count'}))]


def test_a_request_takes_effect_where_rclpy_does_not_tell_when(
        context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Humble."""
    monkeypatch.delattr(Node, 'add_post_set_parameters_callback', raising=False)
    parameters = Parameters(node := make(context), Example)
    assert change(node, count=4) == (True, '')
    assert parameters.value.count == 4


def test_other_defaults_are_for_what_nobody_has_set(context: Any) -> None:
    parameters = Parameters(node := make(context, **{'a.count': 5}), Example, prefix='a.')
    assert change(node, **{'a.high': 4.0})[0]
    parameters.renew(Example(low=1.0, count=7, high=9.0, size=(3.0, 3.0)))
    assert parameters.value == Example(low=1.0, count=5, high=4.0, size=(3.0, 3.0))
    assert node.get_parameter('a.low').value == 1.0
    with pytest.raises(UserError, match=r'below high.*set a\.count, a\.high to go with them'):
        parameters.renew(Example(low=5.0, high=9.0))
    assert parameters.value.low == node.get_parameter('a.low').value == 1.0
    assert parameters.chosen == {'count', 'high'}


@pytest.mark.parametrize(('overrides', 'reason'), [
    ({'a.hihg': 3.0}, r'no parameter a\.hihg \(did you mean a\.high\?\)'),
    ({'zzz': 1}, r'no parameter zzz\.'),
    ({'a.hihg': 3.0, 'a.coumt': 2}, r'a\.coumt \(did you mean a\.count\?\), a\.hihg \(did')])
def test_a_misspelt_parameter_is_refused_with_what_it_may_have_meant(
        context: Any, overrides: dict[str, Any], reason: str) -> None:
    """Regression: it was ignored, and the threshold stayed as it was."""
    Parameters(node := make(context, **overrides), Example, prefix='a.')
    with pytest.raises(UserError, match=reason):
        refuse_unknown(node)


def test_what_ros_and_other_nodes_have_is_no_misspelling(context: Any) -> None:
    Parameters(node := make(context, **{
        'a.high': 3.0, 'use_sim_time': True, 'qos_overrides./clock.subscription.depth': 3,
        'stamped_twist': True, 'start_type_description_service': False}), Example, prefix='a.')
    refuse_unknown(node)
