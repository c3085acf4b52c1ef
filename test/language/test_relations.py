"""Which of the objects in view words mean, as seen from the robot."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.reader import read
from vla_humanoid_control.language.references import read_answer
from vla_humanoid_control.language.relations import (
    Kind,
    Reference,
    Relation,
    narrowed,
    resolve,
    why_none,
)
from vla_humanoid_control.language.words import words_of
from vla_humanoid_control.perception.seen import SeenObject
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES


def seen(name: str, ahead: float, left: float, on_table: bool = False) -> SeenObject:
    """An object of that name, so far ahead and to the left of the robot [m]."""
    colour, shape = name.split()
    return SeenObject(colour, shape, math.atan2(left, ahead), math.hypot(ahead, left),
                      (0.4, 0.4, 0.6, 0.6), on_table, 0.9)


ROOM = (seen('red box', 2.0, 0.8), seen('red box', 3.0, -0.6), seen('green ball', 2.0, 0.0),
        seen('blue ball', 1.5, -1.0), seen('yellow cup', 3.2, 0.1), seen('red cone', 2.5, 1.6),
        seen('blue cup', 2.6, -1.5, on_table=True))


def understood(text: str, before: Sequence[Step] = ()) -> Reference:
    """The reference of the one step that a text asks for."""
    reading = read(text, before, sees=True)
    assert not reading.problem and not reading.unplaced and reading.question is None
    (step,) = reading.steps
    assert step.reference is not None and step.key in ('go_to', 'reach')
    return step.reference


@pytest.mark.parametrize(('text', 'meant'), [
    ('go to the ball left of the red box', [2]),
    ('go to the box left of the green ball', [0]),
    ('walk over to the box to the right of the green ball, please', [1]),
    ('go to the cup behind the green ball', [4]),
    ('could you go to the ball in front of the yellow cup', [2]),
    ('go to the nearest box', [0]), ('approach the farthest box', [1]),
    ('go to the closest of the two balls', [3]),
    ('go to the leftmost object', [5]), ('go to the right one of the boxes', [1]),
    ('go to the ball that is furthest left', [2]), ('go to the furthest right box', [1]),
    ('go to the box on the left', [0]), ('go to the left red box', [0]),
    ('go to the object next to the red cone', [0]),
    ('go to the cup on the table', [6]), ('go to the cup on the floor', [4]),
    ('go to the blue one on the table', [6]),
    ('go to the ball between the two red boxes', [2]),
    ('go to the ball between the cone and the blue ball', [2]),
    ('go to the second box from the left', [1]), ('go to the third box from the left', []),
    ('touch the cup', [4, 6]), ('go to a box', [0, 1]), ('go to the red one', [0, 1, 5]),
    ('go to the cone', [5]),
    ('go to the box left of the blue cup', [0, 1]),
    ('go to the box that is behind the green ball', [1]),
    ('go to the box next to the nearest ball', [1])])
def test_what_is_said_is_found_among_what_is_seen(text: str, meant: list[int]) -> None:
    assert sorted(ROOM.index(s) for s in resolve(understood(text), ROOM)) == meant


@pytest.mark.parametrize('text', [
    'go to the box left of the window', 'go to the box next to Anna', 'go to the purple box left '
    'of the cup', 'go to the box that is not left of the ball', 'is the ball left of the cup?',
    'the ball left of the cup is heavy', 'go to the box left of the cup and open it',
    'go to the box between the ball', 'go to the box left of', 'go to the very nearest box of all',
    'go to the tall cone left of the cup', 'go to the ball or the box on the left'])
def test_words_of_a_relation_without_a_place_keep_all_from_being_done(text: str) -> None:
    reading = read(text, (), sees=True)
    assert reading.problem or reading.unplaced


@pytest.mark.parametrize('text', [
    'go to the ball left of the cup', 'go to the object next to the yellow cone',
    'go to the box', 'touch the red one'])
def test_who_cannot_look_reads_no_relation(text: str) -> None:
    reading = read(text)
    assert reading.unplaced or reading.question
    assert all(step.reference is None for step in reading.steps)


@pytest.mark.parametrize(('text', 'reason'), [
    ('go to the cone left of the green cone', 'I see no green cone'),
    ('go to the yellow cone left of the ball', 'I see no yellow cone'),
    ('go to the cup between the two cones', 'I do not see 2 cones'),
    ('go to the cone right of the green ball', 'I see no cone right of a green ball')])
def test_why_nothing_is_meant_is_said_in_words(text: str, reason: str) -> None:
    reference = understood(text)
    assert resolve(reference, ROOM) == () and why_none(reference, ROOM) == reason


def test_where_a_thing_is_to_be_moved_is_not_where_it_is() -> None:
    for text in ('move the red cone to the right', 'push the box to the left'):
        assert all(step.reference is None for step in read(text, (), sees=True).steps)
    assert str(understood('go to the red cone to the right')) == 'right red cone'


def test_steps_refer_each_to_an_object() -> None:
    reading = read('go to the ball left of the cup, then touch it and go to the nearest box', (),
                   sees=True)
    first, second, third = reading.steps
    assert first.reference == second.reference
    assert (first.key, second.key, third.key) == ('go_to', 'reach', 'go_to')
    assert second.text == 'touch the ball left of the cup'
    assert str(third.reference) == 'nearest box'


@pytest.mark.parametrize(('before', 'text', 'expected'), [
    ('go to the red box', 'no, the left one', 'left red box'),
    ('go to the left red box', 'no, the right one', 'right red box'),
    ('go to the left red box', 'touch it', 'left red box'),
    ('go to the left red box', 'no, the blue one', 'blue box'),
    ('go to the nearest ball', 'no, the cup', 'cup')])
def test_what_refers_to_the_command_before(before: str, text: str, expected: str) -> None:
    said = read(before, (), sees=True).steps
    reading = read(text, said, sees=True)
    assert not reading.unplaced
    reference = reading.steps[0].reference
    assert str(reference) == expected if reference else reading.steps[0].key.split(':')[1:] \
        == expected.split()


@pytest.mark.parametrize(('answer', 'expected'), [
    ('the left one', 'left object'), ('left', 'left object'), ('the red one please', 'red object'),
    ('no, the near one', 'nearest object'), ('the one near the table', 'object near the table'),
    ('on the floor', 'object on the floor'), ('the ball', 'ball'), ('a ball', 'ball'),
    ('I mean the ball', 'ball'), ('the ball I mean', 'ball'), ('I mean', None),
    ('wave', None),
    ('turn left', None), ('the left one, then wave', None), ('the purple one', None),
    ('the left and the right one', None), ('', None)])
def test_an_answer_says_which_one(answer: str, expected: str | None) -> None:
    reference = read_answer(words_of(answer))
    assert (None if reference is None else str(reference)) == expected


def test_an_answer_narrows_down_and_contradicts_nothing() -> None:
    red = Reference('red', 'box')
    both = narrowed(red, Reference(relations=(Relation(Kind.LEFTMOST),)))
    assert both is not None and [ROOM.index(s) for s in resolve(both, ROOM)] == [0]
    assert narrowed(red, Reference('blue')) is None
    assert narrowed(red, Reference(shape='cup')) is None


OBJECTS = st.lists(st.builds(
    lambda c, s, x, y, t: seen(f'{c} {s}', x, y, t), st.sampled_from(COLOURS),
    st.sampled_from(SHAPES), st.floats(0.5, 4.0), st.floats(-2.0, 2.0), st.booleans()), max_size=7)
WORDS = ('the', 'left', 'right', 'nearest', 'box', 'ball', 'red', 'one', 'of', 'on', 'next', 'to',
         'behind', 'between', 'and', 'two', 'boxes', 'table', 'in', 'front', 'a', 'is', 'that',
         'second', 'from')


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30), OBJECTS)
def test_any_words_are_read_soon_and_mean_what_is_in_view(words: list[str],
                                                          room: list[SeenObject]) -> None:
    began_s = time.perf_counter()
    reading = read('go to ' + ' '.join(words), (), sees=True)
    assert time.perf_counter() - began_s < 0.5  # 20 ms, on a machine that does nothing else
    for reference in (s.reference for s in reading.steps if s.reference is not None):
        found = resolve(reference, room)
        assert set(found) <= set(room)
        assert all(reference.colour in ('', s.colour) for s in found)
        assert found or why_none(reference, room).startswith('I ')


@settings(max_examples=100, deadline=None)
@given(OBJECTS)
def test_left_and_right_are_mirror_images(room: list[SeenObject]) -> None:
    mirrored = [SeenObject(s.colour, s.shape, -s.bearing_rad, s.distance_m, s.box, s.on_table,
                           s.score) for s in room]
    for left, right in ((Kind.LEFTMOST, Kind.RIGHTMOST), (Kind.LEFT_OF, Kind.RIGHT_OF),
                        (Kind.FROM_LEFT, Kind.FROM_RIGHT)):
        anchors = (Reference(shape='ball'),) if left is Kind.LEFT_OF else ()
        one, other = (resolve(
            Reference(shape='box', relations=(Relation(kind, anchors, 1),)), some)
            for kind, some in ((left, room), (right, mirrored)))
        assert [room.index(s) for s in one] == [mirrored.index(s) for s in other]
