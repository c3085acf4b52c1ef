"""Training configurations: every setting has a type and bounds, and what is wrong is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import pytest
import yaml

from vla_humanoid_control.learning.augment import AugmentConfig
from vla_humanoid_control.learning.behaviour_cloning import BcConfig
from vla_humanoid_control.learning.confidence_stage import ConfidenceConfig
from vla_humanoid_control.learning.config import load_training_config
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path

KINDS = {'bc': BcConfig, 'confidence': ConfidenceConfig}


def shipped(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(
        config_path('train', f'{name}.yaml').read_text(encoding='utf-8'))
    return data


def settings(kind: type, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], type]]:
    """Every number of a configuration: where it stands, and its type."""
    result: list[tuple[tuple[str, ...], type]] = []
    types = get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        where = (*above, entry.name)
        if dataclasses.is_dataclass(types[entry.name]):
            result += settings(types[entry.name], where)
        elif get_origin(types[entry.name]) is Mapping:
            result += [((*where, key), float) for key in entry.metadata['keys']]
        else:
            result.append((where, types[entry.name]))
    return result


EVERY = [(name, where, kind) for name, config in KINDS.items()
         for where, kind in settings(config)]


def refusal(tmp_path: Path, name: str, where: tuple[str, ...], value: Any) -> str:
    data = shipped(name)
    part = data
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(data), encoding='utf-8')
    with pytest.raises(UserError) as caught:
        load_training_config(KINDS[name], str(path))
    said = str(caught.value)
    assert 'mine.yaml' in said and '.'.join(where) in said and '\n' not in said
    return said


@pytest.mark.parametrize('name', KINDS)
def test_what_is_shipped_is_read_as_it_stands(name: str) -> None:
    read = dataclasses.asdict(load_training_config(KINDS[name], name))  # type: ignore[call-overload]
    assert read == shipped(name)


@pytest.mark.parametrize('value', ['many', [1], {'a': 1}, None, True, '1e-3',
                                   float('nan'), float('inf'), -1, 1e12], ids=str)
def test_no_setting_takes_what_is_no_number_or_is_out_of_bounds(tmp_path: Path,
                                                                value: Any) -> None:
    """Regression: any number of any type and size was accepted, and mappings in its place."""
    for name, where, _ in EVERY:
        refusal(tmp_path, name, where, value)


def test_what_is_counted_is_whole(tmp_path: Path) -> None:
    counted = [(name, where) for name, where, kind in EVERY if kind is int]
    assert len(counted) > 15
    for name, where in counted:
        assert 'whole number' in refusal(tmp_path, name, where, 2.5)


@pytest.mark.parametrize(('name', 'where', 'near'), [
    ('bc', 'epoch', 'epochs'), ('bc', 'augment.nois', 'noise'), ('bc', 'losses.actions', 'action'),
    ('bc', 'families.goto', 'go_to'), ('bc', 'tasks.gesture:waves', 'gesture:wave'),
    ('confidence', 'scope_step', 'scope_steps'), ('confidence', 'augment.blur', None)])
def test_an_unknown_setting_is_refused_with_the_nearest_name(
        tmp_path: Path, name: str, where: str, near: str | None) -> None:
    said = refusal(tmp_path, name, tuple(where.split('.')), 1)
    assert near is None or f'did you mean {near}?' in said


@pytest.mark.parametrize(('name', 'where'), [
    ('bc', 'epochs'), ('bc', 'losses'), ('bc', 'losses.target'), ('bc', 'families.stop'),
    ('confidence', 'passes')])
def test_a_missing_setting_is_named(tmp_path: Path, name: str, where: str) -> None:
    data = shipped(name)
    *above, last = where.split('.')
    part = data
    for key in above:
        part = part[key]
    del part[last]
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(data), encoding='utf-8')
    with pytest.raises(UserError, match=f'{where} is missing'):
        load_training_config(KINDS[name], str(path))


@pytest.mark.parametrize('text', ['', '[]', '7', 'augment'])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match='must be a mapping'):
        load_training_config(BcConfig, str(path), epochs=3)


def test_what_the_command_line_says_is_checked_too() -> None:
    assert load_training_config(BcConfig, 'bc', epochs=3, batch_size=None).epochs == 3
    with pytest.raises(UserError, match='learning_rate'):
        load_training_config(BcConfig, 'bc', learning_rate=float('inf'))


def test_settings_made_in_code_have_the_same_bounds() -> None:
    with pytest.raises(ValueError, match='noise'):
        AugmentConfig(noise=-1.0)
