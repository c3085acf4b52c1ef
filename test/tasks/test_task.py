"""Tasks as data: keys, mappings, and what is refused."""

from dataclasses import replace

import pytest

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import OUT_OF_SCOPE, TASK_KEYS


def test_keys_round_trip():
    assert tuple(Task.from_key(k).key for k in TASK_KEYS) == TASK_KEYS


@pytest.mark.parametrize('distractors', [None, 0, 3])
def test_mappings_round_trip(distractors):
    for key in [*TASK_KEYS, OUT_OF_SCOPE]:
        task = replace(Task.from_key(key), distractors=distractors)
        assert Task.from_mapping(task.to_mapping()) == task


@pytest.mark.parametrize(('mapping', 'complaint'), [
    ({'task': 'fly'}, 'Unknown task'),
    ({'task': 'move', 'direction': 'up'}, 'forward'),
    ({'task': 'go_to', 'colour': 'purple', 'shape': 'box'}, 'colour'),
    ({'task': 'go_to', 'colour': 'red', 'shape': 'box', 'distractors': 9}, 'distractors'),
    ({'task': 'go_to', 'colour': ['red'], 'shape': 'box'}, 'colour'),
])
def test_bad_tasks_are_refused(mapping, complaint):
    with pytest.raises(UserError, match=complaint):
        Task.from_mapping(mapping)
