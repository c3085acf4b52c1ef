"""The way around discs: clear where there is room, straight where nothing is in the way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.simulation.ways import is_clear, length_of, way_around

START, GOAL = np.array([-2.0, 0.0]), np.array([2.0, 0.0])
NOTHING = np.zeros((0, 3))


def test_where_nothing_is_in_the_way_it_is_straight() -> None:
    assert (way_around(START, GOAL, NOTHING) == GOAL).all()
    aside = np.array([[0.0, 0.7, 0.6]])
    assert len(way_around(START, GOAL, aside)) == 1


def test_it_passes_a_disc_on_the_shorter_side() -> None:
    for left in (0.2, -0.2):
        disc = np.array([[0.0, left, 0.6]])
        corners = way_around(START, GOAL, disc)
        assert is_clear(START, corners, disc)
        assert np.sign(corners[0][1]) == -np.sign(left)
        assert 4.0 < length_of(START, corners) < 4.3


def test_the_left_is_taken_unless_that_is_longer_by_what_the_right_costs() -> None:
    for left, cost, side in ((0.1, 0.0, -1), (0.1, 0.5, 1), (0.45, 0.5, -1), (-0.3, 0.5, 1)):
        disc = np.array([[0.0, left, 0.6]])
        corners = way_around(START, GOAL, disc, cost)
        assert is_clear(START, corners, disc)
        assert np.sign(corners[0][1]) == side


def test_it_goes_around_several() -> None:
    discs = np.array([[-0.8, 0.1, 0.5], [0.8, -0.1, 0.5]])
    corners = way_around(START, GOAL, discs)
    assert is_clear(START, corners, discs)
    assert (corners[-1] == GOAL).all()


def test_it_leaves_a_disc_that_the_start_is_in() -> None:
    discs = np.array([[-1.6, 0.05, 0.6]])
    corners = way_around(START, GOAL, discs)
    away = np.hypot(*(corners - discs[0, :2]).T).min()
    assert away >= np.hypot(*(START - discs[0, :2])) - 1e-6


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1.5, 1.5)), max_size=3))
def test_it_ends_at_the_goal_and_is_no_shorter_than_the_straight_way(
        centres: list[tuple[float, float]]) -> None:
    discs = np.array([(*c, 0.55) for c in centres]).reshape(-1, 3)
    corners = way_around(START, GOAL, discs)
    assert (corners[-1] == GOAL).all()
    assert np.isfinite(corners).all()
    assert length_of(START, corners) >= 4.0 - 1e-9


@given(st.floats(-1.0, 1.0), st.floats(-1.2, 1.2), st.floats(0.3, 0.8))
def test_around_one_disc_it_is_always_clear(x: float, y: float, radius: float) -> None:
    disc = np.array([[x, y, radius]])
    assert is_clear(START, way_around(START, GOAL, disc), disc)
