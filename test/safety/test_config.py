"""Thresholds are checked by type, size and bounds, and declared with all that a node needs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.support.errors import UserError


@pytest.mark.parametrize('entry', dataclasses.fields(SafetyConfig), ids=lambda f: f.name)
def test_every_value_is_described_and_bounded(entry: dataclasses.Field[Any]) -> None:
    assert entry.metadata['description']
    if not isinstance(entry.default, bool):
        for bound in ('lower', 'upper'):
            value = entry.metadata[bound]
            beyond = value - 1 if bound == 'lower' else value + 1
            size = len(entry.default) if isinstance(entry.default, tuple) else 0
            with pytest.raises(UserError, match=entry.name):
                SafetyConfig(**{entry.name: (beyond,) * size if size else beyond})


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf'), -1.0, '0.3', None,
                                   True, [0.3], np.array([0.3, 0.4])])
def test_nonsense_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match='proposal_timeout_s must be'):
        SafetyConfig(proposal_timeout_s=value)


@pytest.mark.parametrize('value', [(1.0, 1.0), (1.0,) * 4, 1.0, '111', (1.0, float('nan'), 1.0),
                                   ()])
def test_arrays_of_the_wrong_size_are_refused(value: Any) -> None:
    with pytest.raises(UserError, match='base_velocity_scale'):
        SafetyConfig(base_velocity_scale=value)


def test_arrays_as_ros_gives_them_are_taken() -> None:
    config = SafetyConfig(base_velocity_scale=np.array([0.5, 1.0, 0.2]))  # type: ignore[arg-type]
    assert config.base_velocity_scale == (0.5, 1.0, 0.2)


@pytest.mark.parametrize('value', [0, 1, 'yes', None])
def test_switches_are_true_or_false(value: Any) -> None:
    with pytest.raises(UserError, match='watch_scan must be true or false'):
        SafetyConfig(watch_scan=value)


def test_whole_numbers_stay_whole() -> None:
    assert SafetyConfig(min_points=4.0).min_points == 4  # type: ignore[arg-type]
    with pytest.raises(UserError, match='whole number'):
        SafetyConfig(min_points=2.5)  # type: ignore[arg-type]


def test_stop_before_slow() -> None:
    with pytest.raises(UserError, match='below slow_ttc_s'):
        SafetyConfig(stop_ttc_s=2.0)


def test_replace_knows_its_names() -> None:
    with pytest.raises(UserError, match="'speed' does not exist"):
        SafetyConfig().replace({'speed': 1.0})
    assert SafetyConfig().replace({'recover_s': 0.1}).recover_s == 0.1
