"""Phrasings: enough of them, unambiguous, and without leaks between the splits."""

from collections import defaultdict

import pytest

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.language.phrasings import (
    OUT_OF_SCOPE,
    TASK_KEYS,
    Split,
    normalise,
    phrasings,
)


def all_texts(split: Split) -> set[str]:
    return {normalise(t) for key in TASK_KEYS for t in phrasings(key, split)}


def test_there_are_47_tasks() -> None:
    assert len(TASK_KEYS) == len(set(TASK_KEYS)) == 47


@pytest.mark.parametrize('key', TASK_KEYS)
def test_each_task_has_many_distinct_phrasings(key: str) -> None:
    for split, least in (('train', 100), ('test', 10)):
        texts = phrasings(key, split)  # type: ignore[arg-type]
        assert len({normalise(t) for t in texts}) == len(texts) >= least
        assert all(len(t) < 120 and '{' not in t and '|' not in t for t in texts)


def test_the_splits_share_no_sentence() -> None:
    assert not all_texts('train') & all_texts('test')
    assert not ({normalise(t) for t in OUT_OF_SCOPE['train']}
                & {normalise(t) for t in OUT_OF_SCOPE['test']})


def test_test_phrasings_have_words_that_training_lacks() -> None:
    def words(split: Split) -> set[str]:
        return {w for text in all_texts(split) for w in text.split()}
    assert {'jade', 'goblet', 'stroll', 'kindly'} <= words('test') - words('train')


def test_no_sentence_means_two_things() -> None:
    meanings = defaultdict(set)
    for split in ('train', 'test'):
        for key in TASK_KEYS:
            for text in phrasings(key, split):  # type: ignore[arg-type]
                meanings[normalise(text)].add(key)
        for text in OUT_OF_SCOPE[split]:
            meanings[normalise(text)].add('out of scope')
    assert [t for t, keys in meanings.items() if len(keys) > 1] == []


def test_left_never_says_right() -> None:
    for split in ('train', 'test'):
        for key in TASK_KEYS:
            if key.endswith('left'):
                texts = phrasings(key, split)  # type: ignore[arg-type]
                assert not [t for t in texts if 'right' in t.lower()]


def test_out_of_scope_has_many_requests() -> None:
    assert len(OUT_OF_SCOPE['train']) >= 80
    assert len(OUT_OF_SCOPE['test']) >= 60


def test_phrasings_are_the_same_every_time() -> None:
    first = list(phrasings('move:left', 'train'))
    phrasings.cache_clear()
    assert phrasings('move:left', 'train') == first


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(UserError, match='fly:away'):
        phrasings('fly:away', 'train')
