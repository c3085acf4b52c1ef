"""Settings that say what they may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from vla_humanoid_control.support.bounds import bounded, check_bounds, fixed, loosened


@dataclass(frozen=True)
class Example:
    limit_s: float = bounded(1.0, 0.1, 5.0)
    watch: bool = True
    mount: tuple[float, ...] = bounded((0.0, 1.0), -2.0, 2.0, at_start=True)
    name: str = fixed('x')

    def __post_init__(self) -> None:
        check_bounds(self)


@pytest.mark.parametrize(('fields', 'name'), [
    ({'limit_s': 1e9}, 'limit_s'), ({'limit_s': math.nan}, 'limit_s'),
    ({'limit_s': 0.0}, 'limit_s'), ({'mount': (0.0, 3.0)}, 'mount'),
    ({'mount': (math.inf, 0.0)}, 'mount')])
def test_what_is_out_of_bounds_is_refused(fields: dict, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Example(**fields)


def test_bounds_are_inclusive() -> None:
    assert Example(limit_s=5.0, mount=(-2.0, 2.0)).limit_s == 5.0


@pytest.mark.parametrize(('before', 'after', 'names'), [
    (Example(), Example(limit_s=2.0), ('limit_s',)), (Example(), Example(limit_s=0.5), ()),
    (Example(), Example(watch=False), ('watch',)), (Example(watch=False), Example(), ()),
    (Example(), Example(limit_s=3.0, watch=False, name='y'), ('limit_s', 'watch')),
    (Example(), Example(), ())])
def test_a_limit_that_grows_and_a_switch_that_goes_off_are_looser(
        before: Example, after: Example, names: tuple[str, ...]) -> None:
    assert loosened(after, before) == names
