"""Reading YAML: plain data, and every key once."""

from pathlib import Path

import pytest

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path, read_yaml


@pytest.mark.parametrize(('text', 'place'), [
    ('a: 1\nb: 2\na: 3\n', 'line 3, column 1'),
    ('- {id: x, seed: 1, seed: 2}\n', "'seed' is there twice"),
    ('outer:\n  inner: {a: 1, "a": 2}\n', "'a' is there twice"),
])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str, place: str) -> None:
    """Regression: the last one won, in suites and robot files alike."""
    path = tmp_path / 'file.yaml'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match=place) as refused:
        read_yaml(path, 'File', 'Advice.')
    assert len(str(refused.value).splitlines()) == 1


def test_anchors_and_merges_are_no_duplicates(tmp_path: Path) -> None:
    path = tmp_path / 'file.yaml'
    path.write_text('base: &base {a: 1, b: 2}\nother: {<<: *base, a: 3}\nthird: *base\n',
                    encoding='utf-8')
    assert read_yaml(path, 'File', '') == {'base': {'a': 1, 'b': 2}, 'other': {'a': 3, 'b': 2},
                                           'third': {'a': 1, 'b': 2}}
    path.write_text('', encoding='utf-8')
    assert read_yaml(path, 'File', '') is None


@pytest.mark.parametrize('path', sorted(config_path().rglob('*.yaml')), ids=lambda p: p.name)
def test_files_that_come_along_have_no_key_twice(path: Path) -> None:
    assert read_yaml(path, 'File', '')
