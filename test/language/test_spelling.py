"""What counts as a slip of the finger, and what does not."""

from __future__ import annotations

import pytest

from vla_humanoid_control.language.spelling import Speller, other_words, task_words

KNOWN = {'there', 'that', 'step', 'purple', 'walk', 'tun', 'had'}
TASK_WORDS = {'turn': 9, 'left': 9, 'sphere': 3, 'there': 20, 'walk': 5, 'light': 2, 'lift': 4,
              'reverse': 1, 'navy': 1, 'ball': 8, "don't": 3}


@pytest.fixture
def speller() -> Speller:
    return Speller(KNOWN, TASK_WORDS)


@pytest.mark.parametrize(('said', 'meant'), [
    ('trun lfet', 'turn left'),
    ('Trun LFET!', 'Turn LEFT!'),
    ('wakl to the nvay bal.', 'walk to the navy ball.'),
    ('reveres', 'reverse'),
    ('the shere', 'the sphere'),  # the first letter is seldom wrong: not 'there'
    ('liht', 'light'),  # letters are left out more often than exchanged: not 'lift'
    ("dont't", "don't"),
])
def test_a_slip_is_put_right(speller: Speller, said: str, meant: str) -> None:
    assert speller.correct(said) == meant


@pytest.mark.parametrize('text', [
    'walk there', 'a purple ball', 'tun', 'xylophone', 'to', 'tu rn', '42', '', 'turn-left, ball',
    'the ball\N{RIGHT SINGLE QUOTATION MARK}s', 'b\N{LATIN SMALL LETTER A WITH DIAERESIS}l'])
def test_the_rest_stays_as_it_is(speller: Speller, text: str) -> None:
    assert speller.correct(text) == text


def test_correcting_twice_changes_nothing_more(speller: Speller) -> None:
    once = speller.correct('trun to teh shere, plaese, wakl')
    assert speller.correct(once) == once


@pytest.mark.parametrize(('said', 'meant'), [
    ('lfet', 'left'), ('lef', 'left'), ('l3ft', 'left'), ("le'ft", 'left'), ('heft', 'heft'),
    ('eft', 'eft'), ('elft', 'elft'), ('leftleftleft', 'leftleftleft')])
def test_where_a_word_begins_right_the_first_letter_is_no_slip(said: str, meant: str) -> None:
    assert Speller((), TASK_WORDS, begins_right=True).meant(said) == meant


def test_the_words_of_tasks_are_those_of_training() -> None:
    words = task_words()
    assert {'turn', 'left', 'walk', 'ball', 'navy', 'wave'} <= set(words)
    assert words['left'] > words['navy']
    assert 'to' not in words and 'colour}' not in words


@pytest.mark.parametrize('request_', ['kneel down', 'mop the floor', 'stow it', 'juggle', 'yawn'])
def test_words_of_other_requests_do_not_become_those_of_tasks(request_: str) -> None:
    assert Speller(other_words(), task_words()).correct(request_) == request_
