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
    ({'task': 'go_to', 'colour': 'red', 'shape': 'box', 'twins': 3}, 'twins must be 0 to 2'),
    ({'task': 'go_to', 'colour': 'red', 'shape': 'box', 'twins': True}, 'twins'),
    ({'task': 'go_to', 'colour': 'red', 'shape': 'box', 'which': 'top'}, 'left, right, near, far'),
    ({'task': 'go_to', 'colour': 'red', 'shape': 'box', 'which': 'left', 'twins': 0},
     'twins must be 1 to 2'),
    ({'task': 'reach', 'colour': 'red', 'shape': 'box', 'which': 'near'}, 'left, right'),
    ({'task': 'move', 'direction': 'left', 'twins': 1}, 'for one task with an object'),
])
def test_bad_tasks_are_refused(mapping, complaint):
    with pytest.raises(UserError, match=complaint):
        Task.from_mapping(mapping)


@pytest.mark.parametrize(('key', 'twins'), [('go_to:red:box@left', 1), ('reach:blue:cup@right', 2),
                                            ('go_to:green:cone@far', 2), ('go_to:red:box', 1)])
def test_several_of_a_kind_round_trip(key, twins):
    task = replace(Task.from_key(key), twins=twins)
    assert task.key == key
    assert Task.from_mapping(task.to_mapping()) == task


def test_which_one_needs_another_one():
    assert Task.from_key('go_to:red:box@left').twins == 1
    with pytest.raises(UserError, match='task alone'):
        Task.from_key('go_to:red:box@left+gesture:wave')
