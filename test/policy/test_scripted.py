"""The scripted policy: what its words mean, and that it reaches them by dead reckoning."""

import numpy as np
import pytest
from g1 import needs_g1

from vla_humanoid_control.control.dead_reckoning import DeadReckoning
from vla_humanoid_control.interfaces import Observation, Prompt
from vla_humanoid_control.policy.scripted import ScriptedPolicy, understand
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import BASE_CHANNELS

ROBOT = load_robot('humanoid')


@pytest.mark.parametrize(('text', 'meaning'), [
    ('Walk forward, please.', ('move', 'forward')), ('step back', ('move', 'backward')),
    ('turn around', ('turn', 'around')), ('rotate to the left', ('turn', 'left')),
    ('look up', ('look', 'up')), ('raise your right arm', ('raise', 'right')),
    ('wave', ('wave', '')), ('wave your hand', ('wave', '')),
    ('go to the red box', None), ('go left of the table', None), ('file my taxes', None),
    ('', None), ('turn', None), ('raise up', None)])
def test_understands_whole_sentences_only(text: str, meaning: tuple[str, str] | None) -> None:
    assert understand(text) == meaning


def seen(elapsed_s: float, travelled: np.ndarray | None = None) -> Observation:
    way = np.zeros(3) if travelled is None else travelled
    return Observation(int(elapsed_s * 1e9), {}, {
        'travelled': way[None], 'elapsed': np.array([[elapsed_s]])})


def carry_out(text: str, limit_s: float = 20.0) -> tuple[np.ndarray, float, float]:
    """Travelled [3], last progress and time, following the first row at 10 Hz."""
    policy, odometer, now_s = ScriptedPolicy(ROBOT), DeadReckoning(ROBOT.command_timeout_s), 0.0
    policy.reset(Prompt(text))
    while now_s < limit_s:
        chunk = policy.infer(seen(now_s, odometer.travelled(now_s)))
        actions = policy.spec.actions
        assert chunk.actions.shape == (actions.horizon, len(actions.channels))
        assert np.isfinite(chunk.actions).all()
        odometer.on_command(chunk.actions[0, :len(BASE_CHANNELS)].astype(float), now_s)
        if (chunk.progress or 0.0) >= 0.95:
            break
        now_s += actions.dt_s
    return odometer.travelled(now_s), chunk.progress or 0.0, now_s


@pytest.mark.parametrize(('text', 'axis', 'least', 'most'), [
    ('walk forward', 0, 0.5, 0.8), ('walk backward', 0, -0.8, -0.5), ('step left', 1, 0.5, 0.8),
    ('step right', 1, -0.8, -0.5), ('turn left', 2, 0.8, 1.7), ('turn right', 2, -1.7, -0.8),
    ('turn around', 2, 2.75, 3.5)])
def test_reaches_what_was_asked_and_says_so(text: str, axis: int, least: float,
                                            most: float) -> None:
    travelled, progress, _ = carry_out(text)
    assert progress == 1.0
    assert least <= travelled[axis] <= most
    if axis != 2:
        assert abs(travelled[1 - axis]) < 0.05


@pytest.mark.parametrize('text', ['look left', 'raise your left hand', 'wave'])
def test_gestures_take_their_time_and_stand_still(text: str) -> None:
    travelled, progress, seconds = carry_out(text)
    assert progress == 1.0 and seconds > 2.0
    assert not travelled.any()


def test_unknown_words_are_not_confident_and_move_nothing() -> None:
    policy = ScriptedPolicy(ROBOT)
    policy.reset(Prompt('file my taxes'))
    chunk = policy.infer(seen(0.0))
    assert chunk.evidence['confidence'] < 0.2
    assert not chunk.actions[:, :3].any()
    assert chunk.progress == 0.0


def test_targets_are_within_the_limits_of_the_robot() -> None:
    policy = ScriptedPolicy(ROBOT)
    for text in ('wave', 'raise left hand', 'raise right hand', 'look up', 'look down'):
        policy.reset(Prompt(text))
        for elapsed_s in np.arange(0.0, 6.0, 0.1):
            rows = policy.infer(seen(float(elapsed_s))).actions
            for column, joint in enumerate(ROBOT.controlled, start=3):
                assert (rows[:, column] >= joint.lower - 1e-6).all(), (text, joint.name)
                assert (rows[:, column] <= joint.upper + 1e-6).all(), (text, joint.name)


@needs_g1
def test_a_robot_without_a_neck_waves_and_raises_and_knows_no_look() -> None:
    robot = load_robot('unitree_g1')
    policy = ScriptedPolicy(robot)
    for text, known in (('raise your left hand', True), ('wave', True), ('turn left', True),
                        ('look left', False)):
        policy.reset(Prompt(text))
        chunk = policy.infer(seen(1.0))
        assert (chunk.evidence['confidence'] > 0.5) == known, text
    policy.reset(Prompt('raise your left hand'))
    row = dict(zip(policy.spec.actions.channels, policy.infer(seen(1.0)).actions[0]))
    assert row['left_shoulder_pitch_joint'] == pytest.approx(-2.6)
    assert row['right_shoulder_pitch_joint'] == pytest.approx(0.2)


def test_a_wave_swings_to_both_sides() -> None:
    policy = ScriptedPolicy(ROBOT)
    policy.reset(Prompt('wave'))
    column = policy.spec.actions.channels.index('right_shoulder_roll')
    rolls = [policy.infer(seen(t / 10)).actions[0, column] for t in range(13)]
    assert max(rolls) - min(rolls) == pytest.approx(0.8, abs=0.02)
    assert (max(rolls) + min(rolls)) / 2 == pytest.approx(-0.4, abs=0.02)
