"""The action message: what goes in comes out, and nothing malformed gets through."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.channels import (
    ChannelError,
    ChannelMessage,
    decode_gated,
    decode_proposal,
    encode_fault,
    encode_gated,
    encode_proposal,
)
from vla_humanoid_control.types import Action, GatedProposal, Proposal

JOINTS = ('neck_yaw', 'left_elbow', 'right_gripper')
NUMBERS = st.floats(-1e6, 1e6)


def proposal(**changes: object) -> Proposal:
    base = Proposal(stamp_ns=123, action=Action(np.array([0.3, -0.1, 0.5]), {'neck_yaw': 0.25}),
                    confidence=0.9, progress=0.4)
    return replace(base, **changes)  # type: ignore[arg-type]


def message(**changes: object) -> ChannelMessage:
    return replace(encode_proposal(proposal()), **changes)  # type: ignore[arg-type]


@given(twist=st.tuples(NUMBERS, NUMBERS, NUMBERS),
       joints=st.dictionaries(st.sampled_from(JOINTS), NUMBERS),
       confidence=st.floats(0, 1), progress=st.floats(0, 1), is_open=st.booleans(),
       reason=st.text(max_size=200), stamp=st.integers(0, 2**62),
       signals=st.dictionaries(st.sampled_from(('head', 'image', 'claim')), st.floats(),
                               min_size=1),
       attempt=st.integers(0, 2**31), trust=st.integers(0, 2**48 - 1))
def test_round_trip_is_exact(twist: tuple[float, float, float], joints: dict[str, float],
                             confidence: float, progress: float, is_open: bool, reason: str,
                             stamp: int, signals: dict[str, float], attempt: int,
                             trust: int) -> None:
    sent = Proposal(stamp, Action(np.array(twist), joints), confidence, progress, signals, attempt,
                    trust)
    for received in (decode_proposal(encode_proposal(sent), JOINTS),
                     decode_gated(encode_gated(GatedProposal(sent, is_open, reason)),
                                  JOINTS).proposal):
        assert received.stamp_ns == stamp
        assert np.array_equal(received.action.twist, sent.action.twist)
        assert dict(received.action.joints) == joints
        assert (received.confidence, received.progress) == (confidence, progress)
        assert received.signals.keys() == signals.keys() and received.attempt == attempt
        assert received.trust == trust
        np.testing.assert_array_equal([*received.signals.values()], [*signals.values()])
    gated = decode_gated(encode_gated(GatedProposal(sent, is_open, reason)), JOINTS)
    assert (gated.is_open, gated.reason) == (is_open, reason)


def test_base_in_velocity_and_everything_else_in_position() -> None:
    wire = message()
    assert wire.names == ('base/linear_x', 'base/linear_y', 'base/angular_z', 'neck_yaw',
                          'policy/confidence', 'policy/progress')
    assert wire.position == (0.0, 0.0, 0.0, 0.25, 0.9, 0.4)
    assert wire.velocity == (0.3, -0.1, 0.5, 0.0, 0.0, 0.0)


def passed_on(sent: Proposal) -> Proposal:
    """What the next stage makes of it: nonsense is sent as a fault, which it refuses."""
    return decode_proposal(encode_proposal(sent), JOINTS)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_non_finite_action_is_refused_at_both_ends(value: float) -> None:
    with pytest.raises(ChannelError, match='base/linear_y'):
        passed_on(proposal(action=Action(np.array([0.0, value, 0.0]), {})))
    with pytest.raises(ChannelError, match='neck_yaw'):
        passed_on(proposal(action=Action(np.zeros(3), {'neck_yaw': value})))
    with pytest.raises(ChannelError, match='neck_yaw'):
        decode_proposal(message(position=(0.0, 0.0, 0.0, value, 0.9, 0.4)), JOINTS)
    with pytest.raises(ChannelError, match='base/linear_x'):
        decode_proposal(message(velocity=(value, 0.0, 0.0, 0.0, 0.0, 0.0)), JOINTS)


@pytest.mark.parametrize('value', [math.nan, math.inf, -0.1, 1.01])
def test_confidence_that_is_no_probability_counts_as_zero(value: float) -> None:
    assert decode_proposal(encode_proposal(proposal(confidence=value)), JOINTS).confidence == 0.0
    wire = message(position=(0.0, 0.0, 0.0, 0.25, value, 0.4))
    assert decode_proposal(wire, JOINTS).confidence == 0.0


@pytest.mark.parametrize(('wire', 'reason'), [
    (message(names=('base/linear_x', 'base/linear_y', 'base/angular_z', 'tail',
                    'policy/confidence', 'policy/progress')), "unknown channel 'tail'"),
    (message(names=('base/linear_x', 'base/linear_x', 'base/angular_z', 'neck_yaw',
                    'policy/confidence', 'policy/progress')), 'twice'),
    (message(position=(0.0,) * 5), '6 names, 5 positions and 6 velocities'),
    (message(velocity=(0.0,) * 7), '7 velocities'),
    (message(position=(1.0, 0.0, 0.0, 0.25, 0.9, 0.4)), 'where 0 belongs'),
    (message(velocity=(0.3, 0.0, 0.0, math.nan, 0.0, 0.0)), 'where 0 belongs'),
    (message(position=(0.0, 0.0, 0.0, 0.25, 0.9, 1.5)), r'not in \[0, 1\]'),
    (message(names=('base/linear_x',) * 100_000), '100000 channels'),
    (encode_proposal(proposal(signals={f's{n}': 0.0 for n in range(99)})), '107 channels'),
    (encode_proposal(proposal(signals={'head': 0.0}, attempt=-1)), 'attempt'),
    (encode_proposal(proposal(signals={'head': 0.0}, attempt=0.5)), 'attempt'),
    (encode_proposal(proposal(signals={'head': 0.0}, trust=0.5)), 'policy/trust'),
    (encode_proposal(proposal(signals={'no name': 0.0})), "unknown channel 'signal/no name'"),
    (ChannelMessage(0, (), (), ()), 'base/linear_x is missing'),
    (encode_gated(GatedProposal(proposal(), True, '')), "unknown channel 'policy/gate'"),
    (encode_fault(5, 'the policy gave NaN'), 'the policy gave NaN'),
])
def test_malformed_message_is_refused_whole(wire: ChannelMessage, reason: str) -> None:
    with pytest.raises(ChannelError, match=reason):
        decode_proposal(wire, JOINTS)


def test_gated_needs_a_gate_of_zero_or_one() -> None:
    with pytest.raises(ChannelError, match='policy/gate is missing'):
        decode_gated(message(), JOINTS)
    wire = encode_gated(GatedProposal(proposal(), True, ''))
    with pytest.raises(ChannelError, match=r'0\.5, not 0 or 1'):
        decode_gated(replace(wire, position=(*wire.position[:-1], 0.5)), JOINTS)


def test_wrong_dimension_of_twist_is_refused() -> None:
    with pytest.raises(ChannelError, match='shape'):
        passed_on(proposal(action=Action(np.zeros(2), {})))
