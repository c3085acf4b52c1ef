"""Phrasings: enough of them, unambiguous, and without leaks between the splits."""

from collections import defaultdict
from itertools import combinations

import pytest

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.phrasings import Split, normalise, out_of_scope, phrasings
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

SPLITS: tuple[Split, ...] = ('train', 'val', 'test')


def all_texts(split: Split) -> set[str]:
    return {normalise(t) for key in TASK_KEYS for t in phrasings(key, split)}


def test_there_are_47_tasks() -> None:
    assert len(TASK_KEYS) == len(set(TASK_KEYS)) == 47


@pytest.mark.parametrize('key', TASK_KEYS)
def test_each_task_has_many_distinct_phrasings(key: str) -> None:
    for split, least in zip(SPLITS, (400, 40, 30)):
        texts = phrasings(key, split)
        assert len({normalise(t) for t in texts}) == len(texts) >= least
        assert all(len(t) < 120 and '{' not in t and '|' not in t for t in texts)


def test_the_splits_share_no_sentence() -> None:
    for one, other in combinations(SPLITS, 2):
        assert not all_texts(one) & all_texts(other)
        assert not ({normalise(t) for t in out_of_scope(one)}
                    & {normalise(t) for t in out_of_scope(other)})


def test_no_sentence_means_two_things() -> None:
    meanings = defaultdict(set)
    for split in SPLITS:
        for key in TASK_KEYS:
            for text in phrasings(key, split):
                meanings[normalise(text)].add(key)
        for text in out_of_scope(split):
            meanings[normalise(text)].add('out of scope')
    assert [t for t, keys in meanings.items() if len(keys) > 1] == []


def test_left_never_says_right() -> None:
    for split in SPLITS:
        for key in TASK_KEYS:
            if key.endswith('left'):
                texts = phrasings(key, split)
                assert not [t for t in texts if 'right' in t.lower()]


def test_out_of_scope_has_many_requests() -> None:
    for split, least in zip(SPLITS, (6000, 400, 200)):
        assert len(out_of_scope(split)) >= least


def test_phrasings_are_the_same_every_time() -> None:
    first = list(phrasings('move:left', 'train'))
    phrasings.cache_clear()
    assert phrasings('move:left', 'train') == first


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(UserError, match='fly:away'):
        phrasings('fly:away', 'train')
