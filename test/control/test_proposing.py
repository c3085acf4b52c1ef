"""What is proposed: an action, a hold or a fault, and from which frame."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.control.proposing import Motion, Proposer
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.perception.frames import Frame
from vla_humanoid_control.types import BASE_CHANNELS, Fault, Proposal, RobotChunk

SPEC = ControlSpec((), (0, 0), (), BASE_CHANNELS, 8, 0.1)
SECOND = 10**9


def frame(stamp_s: float) -> dict[str, Frame]:
    return {'head': Frame(round(stamp_s * SECOND), stamp_s, np.zeros((2, 2, 3), np.uint8))}


def proposer(speed: float | None = 0.3) -> Proposer:
    """One that has an answer to the frame of second 5, of attempt 7."""
    made = Proposer(SPEC, 0.01)
    if speed is not None:
        actions = np.zeros((8, 3), np.float32)
        actions[:, 0] = speed
        made.add(RobotChunk(BASE_CHANNELS, actions, 0.1, 0.8, 0.4), 5 * SECOND, 7)
    return made


def proposed(made: Proposer, motion: Motion, stamp_s: float | None = 5.1) -> Proposal:
    made.propose(motion, {} if stamp_s is None else frame(stamp_s), 5.1)
    proposal, = made.take()
    assert isinstance(proposal, Proposal) and not made.take()
    return proposal


def test_an_answer_is_played_back_as_of_its_own_frame() -> None:
    proposal = proposed(proposer(), Motion.PLAY)
    assert proposal.action.twist[0] == pytest.approx(0.3)
    assert (proposal.stamp_ns, proposal.confidence, proposal.attempt) == (5 * SECOND, 0.8, 7)


@pytest.mark.parametrize('motion', [Motion.PAUSE, Motion.NONE])
def test_where_the_robot_is_to_stand_nothing_of_an_answer_is_played(motion: Motion) -> None:
    """And safety hears of the newest frame, so that it does not stop for want of one."""
    proposal = proposed(proposer(), motion)
    assert not proposal.action.twist.any() and not proposal.action.joints
    assert proposal.stamp_ns == round(5.1 * SECOND)


def test_a_pause_leaves_the_gate_as_it_is_and_the_end_of_a_task_closes_it() -> None:
    pause, end = (proposed(proposer(), motion) for motion in (Motion.PAUSE, Motion.NONE))
    assert pause.is_answer and (pause.confidence, pause.attempt) == (0.8, 7)
    assert not end.is_answer and end.confidence == 0.0


@pytest.mark.parametrize('motion', list(Motion))
def test_without_an_answer_or_a_frame_it_holds(motion: Motion) -> None:
    assert not proposed(proposer(None), motion).is_answer
    blind = proposed(proposer(), motion, None)
    assert not blind.action.twist.any() and blind.stamp_ns == 5 * SECOND


def test_what_is_cleared_is_not_played_and_a_fault_says_why() -> None:
    made = proposer()
    made.clear()
    assert not proposed(made, Motion.PLAY).action.twist.any()
    made.refuse('the server is away')
    assert made.take() == [Fault(5 * SECOND, 'the server is away')]
