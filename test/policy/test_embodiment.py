"""Policies made for other robots: what fits is translated, and what does not is told at once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.interfaces import (
    CONFIDENCE,
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    AnswerError,
    ImageFeature,
    Observation,
    PolicySpec,
    Prompt,
    StateFeature,
)
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.policy.embodiment import Embodiment, EmbodimentMap, FittedPolicy
from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotChunk, RobotObservation

HUMANOID = load_robot('humanoid')
ROBOT = replace(HUMANOID, cameras={**HUMANOID.cameras, 'wrist': HUMANOID.cameras['head']})
ARM = ('left_shoulder_pitch', 'left_elbow')
Q = dict(zip(ROBOT.joint_names, np.linspace(-0.5, 0.5, len(ROBOT.joint_names))))


def space(*groups: ActionGroup, horizon: int = 3) -> ActionSpace:
    return ActionSpace(groups, horizon, 0.05)


def spec(*groups: ActionGroup, images: tuple[ImageFeature, ...] = (),
         states: tuple[StateFeature, ...] = ()) -> PolicySpec:
    return PolicySpec(images, states, space(*groups))


def seen(stamp_s: float = 0.0, level: int = 90) -> RobotObservation:
    image = np.full((60, 120, 3), level, np.uint8)
    return RobotObservation(int(stamp_s * 1e9), {'head': image, 'wrist': image // 3},
                            np.array(list(Q.values())), stamp_s, np.array([stamp_s, 0.0, 0.0]))


def acted(policy: PolicySpec, rows: list[list[float]], names: EmbodimentMap | None = None,
          **more: object) -> RobotChunk:
    chunk = ActionChunk(np.array(rows, np.float32), **more)  # type: ignore[arg-type]
    return Embodiment.fit(policy, ROBOT, names).act(chunk, seen())


def test_the_same_names_are_the_same_things_in_the_robots_order() -> None:
    """Joints of the policy come before its base, and in another order than the robot's."""
    policy = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ARM[::-1]),
                  ActionGroup('base', ActionKind.BASE_TWIST, ('base/angular_z', 'base/linear_x')))
    chunk = acted(policy, [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], progress=0.5)
    assert chunk.channels == ('base/linear_x', 'base/angular_z', *ARM)
    np.testing.assert_array_equal(chunk.actions[0], [4, 3, 2, 1])
    assert (chunk.dt_s, chunk.progress, chunk.confidence) == (0.05, 0.5, 0.0)


@pytest.mark.parametrize(('relative_to', 'rows'), [
    ('observation', [0.1, 0.2, 0.3]), ('previous_row', [0.1, 0.3, 0.6])])
def test_deltas_become_targets(relative_to: str, rows: list[float]) -> None:
    policy = spec(ActionGroup('arm', ActionKind.JOINT_DELTA, ARM[:1],
                              relative_to=relative_to))  # type: ignore[arg-type]
    chunk = acted(policy, [[0.1], [0.2], [0.3]])
    np.testing.assert_allclose(chunk.actions[:, 0], Q[ARM[0]] + np.array(rows), rtol=1e-6)


def grasp(positions: np.ndarray, size: int) -> np.ndarray:
    return EndEffector(ROBOT, 'left_grasp').pose(positions, size)


def hands(kind: ActionKind, rows: np.ndarray, relative_to: str = '',
          names: EmbodimentMap | None = None) -> np.ndarray:
    """Where a policy of this kind brings the left hand, row by row, [H, 6]."""
    group = ActionGroup('hand', kind, tuple('xyzabcd'[:rows.shape[1]]),
                        relative_to=relative_to, effector='gripper')  # type: ignore[arg-type]
    names = replace(names or EmbodimentMap(), channels={'gripper': 'left_grasp'})
    chunk = acted(spec(group), rows.tolist(), names)
    assert chunk.channels == EndEffector(ROBOT, 'left_grasp').joints
    found = []
    for row in chunk.actions:
        positions = np.array(list((Q | dict(zip(chunk.channels, row.tolist()))).values()))
        found.append(grasp(positions, 6))
    return np.stack(found)


@pytest.mark.parametrize('size', [3, 6, 7])
def test_poses_of_a_hand_become_joint_targets(size: int) -> None:
    pytest.importorskip('mink')
    path = np.tile(grasp(seen().joint_positions, size), (3, 1))
    path[:, 2] += [0.01, 0.02, 0.03]
    found = hands(ActionKind.EE_POSE, path)
    np.testing.assert_allclose(found[:, :3], path[:, :3], atol=2e-3)
    in_mm = EmbodimentMap(scale=dict.fromkeys('xyz', (0.0, 0.001)))
    np.testing.assert_allclose(hands(ActionKind.EE_POSE, path * ([1000] * 3 + [1] * (size - 3)),
                                     names=in_mm), found, atol=2e-3)


@pytest.mark.parametrize(('relative_to', 'rows'), [
    ('observation', [0.005, 0.01, 0.015]), ('previous_row', [0.005, 0.015, 0.03])])
@pytest.mark.parametrize('size', [3, 6])
def test_motions_of_a_hand_become_joint_targets(relative_to: str, rows: list[float], size: int
                                                ) -> None:
    pytest.importorskip('mink')
    start = grasp(seen().joint_positions, 6)
    deltas = np.zeros((3, size))
    deltas[:, 0] = [0.005, 0.01, 0.015]
    found = hands(ActionKind.EE_DELTA, deltas, relative_to)
    np.testing.assert_allclose(found[:, 0], start[0] + np.array(rows), atol=2e-3)
    np.testing.assert_allclose(found[:, 3:], np.tile(start[3:], (3, 1)), atol=0.02)


def test_a_policy_is_told_where_a_hand_is() -> None:
    pytest.importorskip('mink')
    policy = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ARM),
                  states=(StateFeature('ee/left', tuple('xyzwijk')),))
    told = Embodiment.fit(policy, ROBOT, EmbodimentMap(channels={'left': 'left_grasp'})).observe(
        seen()).state['ee/left']
    np.testing.assert_allclose(told, [grasp(seen().joint_positions, 7)])
    with pytest.raises(UserError, match='no end effector left'):
        Embodiment.fit(policy, ROBOT)


def test_a_quaternion_that_is_none_is_refused() -> None:
    pytest.importorskip('mink')
    with pytest.raises(AnswerError, match='no rotation'):
        hands(ActionKind.EE_POSE, np.zeros((3, 7)))


def test_names_signs_and_units_are_translated_both_ways() -> None:
    policy = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ('j1', 'j2', 'j3')),
                  ActionGroup('grip', ActionKind.GRIPPER, ('g', 'reversed')),
                  states=(StateFeature('state', ('j2', 'g', 'reversed', 'j3')),))
    names = EmbodimentMap(
        channels={'j1': None, 'j2': 'left_elbow', 'j3': None, 'g': 'left_gripper',
                  'reversed': 'right_gripper'},
        scale={'j2': (0.1, -np.pi / 180), 'reversed': (0.045, -0.045)})
    chunk = acted(policy, [[9, 90, 9, 1.0, 0.0]] * 3, names)
    assert chunk.channels == ('left_elbow', 'left_gripper', 'right_gripper')
    np.testing.assert_allclose(chunk.actions[0], [0.1 - np.pi / 2, 0.045, 0.045], rtol=1e-6)
    state = Embodiment.fit(policy, ROBOT, names).observe(seen()).state['state']
    assert state.shape == (1, 4)
    np.testing.assert_allclose(state[0], [
        (Q['left_elbow'] - 0.1) / (-np.pi / 180), Q['left_gripper'] / 0.045,
        (Q['right_gripper'] - 0.045) / -0.045, 0.0])


def test_a_mode_is_the_progress_where_the_policy_says_none() -> None:
    policy = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ARM[:1]),
                  ActionGroup('end', ActionKind.MODE, ('terminate',)))
    assert acted(policy, [[0, 1.0]] * 3).progress == 1.0
    assert acted(policy, [[0, 1.0]] * 3, progress=0.25).progress == 0.25
    assert acted(policy, [[0, 0.0]] * 3).channels == ARM[:1]
    bare = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ARM[:1]))
    assert acted(bare, [[0]] * 3).progress == 0.0


def test_several_cameras_each_with_its_size_fit_and_history() -> None:
    policy = spec(
        ActionGroup('arm', ActionKind.JOINT_POSITION, ARM),
        images=(ImageFeature('front', (64, 64), 'pad', (-0.2, -0.1, 0.0)),
                ImageFeature('wrist', (32, 16)), ImageFeature('other', (8, 8))),
        states=(StateFeature('elapsed', ('s',), (-0.1, 0.0)),))
    embodiment = Embodiment.fit(policy, ROBOT, EmbodimentMap(images={'front': 'head',
                                                                     'other': None}))
    assert embodiment.control_spec.cameras == ('head', 'wrist')
    assert embodiment.control_spec.image_size == (64, 64)
    embodiment.begin()
    for step in range(6):
        observation = embodiment.observe(seen(0.1 * step, 100 + step))
        assert observation.images['front'].shape == (3, 64, 64, 3)
        assert observation.images['wrist'].shape == (1, 16, 32, 3)
        assert not observation.images['other'].any()
        assert not observation.images['front'][:, 0].any()  # above the picture
        # Before the task began, the first image stands in.
        np.testing.assert_array_equal(observation.images['front'][:, 32, 32, 0], [
            100 + max(0, step - 2), 100 + max(0, step - 1), 100 + step])
        np.testing.assert_allclose(observation.state['elapsed'][:, 0],
                                   [0.1 * max(0, step - 1), 0.1 * step])
    embodiment.begin()
    assert embodiment.observe(seen(0.6, 200)).images['front'][0, 32, 32, 0] == 200


def test_a_clock_that_jumps_back_leaves_no_history_of_the_future() -> None:
    policy = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ARM),
                  states=(StateFeature('elapsed', ('s',), (-0.1, 0.0)),))
    embodiment = Embodiment.fit(policy, ROBOT)
    embodiment.observe(seen(50.0))
    np.testing.assert_allclose(embodiment.observe(seen(1.0)).state['elapsed'], [[1.0], [1.0]])


def test_all_that_does_not_fit_is_told_at_once() -> None:
    policy = spec(
        ActionGroup('base', ActionKind.BASE_TWIST, ('base/linear_x', 'up')),
        ActionGroup('arm', ActionKind.JOINT_POSITION, ('left_elbow', 'tail')),
        ActionGroup('again', ActionKind.JOINT_POSITION, ('elbow',)),
        ActionGroup('legs', ActionKind.JOINT_POSITION, ('left_knee',)),
        images=(ImageFeature('chest', (8, 8)), ImageFeature('side', (8, 8))),
        states=(StateFeature('joints', ('left_elbow', 'whisker')),
                StateFeature('travelled', ('x', 'y'))))
    with pytest.raises(UserError) as refused:
        Embodiment.fit(policy, ROBOT, EmbodimentMap(
            images={'side': 'stern'}, channels={'nose': 'neck_yaw', 'elbow': 'left_elbow'}),
            'Policy X')
    said = str(refused.value)
    assert said.startswith('Policy X does not fit robot humanoid. It needs')
    for what in ('chest', 'side (camera stern)', 'base channels up', 'joints tail',
                 'joints whisker', 'belong to the robot itself: left_knee', 'nose',
                 'one channel for each of left_elbow', '2 values of travelled'):
        assert what in said, what


def test_a_policy_that_moves_nothing_here_is_refused() -> None:
    policy = spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ('tail',)))
    with pytest.raises(UserError, match='something to move'):
        Embodiment.fit(policy, ROBOT, EmbodimentMap(channels={'tail': None}))


@pytest.mark.parametrize(('actions', 'why'), [
    (np.zeros((2, 2), np.float32), r'\(2, 2\), the policy announced \(3, 2\)'),
    ([[0.0, 0.0]] * 3, 'type list'), (np.full((3, 2), 'x'), 'type <U1')])
def test_what_is_no_answer_is_refused(actions: object, why: str) -> None:
    embodiment = Embodiment.fit(spec(ActionGroup('arm', ActionKind.JOINT_POSITION, ARM)), ROBOT)
    with pytest.raises(AnswerError, match=why):
        embodiment.act(ActionChunk(actions), seen())  # type: ignore[arg-type]


class Waver:
    """Moves one joint of one arm, at 3 Hz in rows of 1/15 s, by what it sees with two cameras."""

    def __init__(self) -> None:
        self.spec = PolicySpec(
            (ImageFeature('head', (32, 24), 'crop', (-0.3, 0.0)), ImageFeature('wrist', (16, 16))),
            (StateFeature('joints', ARM),),
            ActionSpace((ActionGroup('arm', ActionKind.JOINT_DELTA, ARM[1:],
                                     relative_to='observation'),), 8, 1 / 15),
            rate_hz=3.0, latency_s=0.25)
        self.prompts: list[str] = []
        self.closed = False

    def reset(self, prompt: Prompt) -> None:
        self.prompts.append(prompt.text)

    def infer(self, observation: Observation) -> ActionChunk:
        assert {r: i.shape for r, i in observation.images.items()} == {
            'head': (2, 24, 32, 3), 'wrist': (1, 16, 16, 3)}
        return ActionChunk(np.full((8, 1), 0.1, np.float32), 0.5, {CONFIDENCE: np.array(0.8)})

    def close(self) -> None:
        self.closed = True


def test_a_fitted_policy_is_what_a_controller_runs() -> None:
    waver = Waver()
    fitted = FittedPolicy(waver, Embodiment.fit(waver.spec, ROBOT))
    controller = Controller(fitted.spec, ROBOT, ControllerConfig(), FrameLimits(), TaskConfig())
    assert set(controller.senses.frames.counts) == {
        'head.accepted', 'head.rejected', 'wrist.accepted', 'wrist.rejected'}
    fitted.reset('wave')
    picture = np.tile(np.linspace(60, 200, 120, dtype=np.uint8)[:, None, None], (1, 60, 3))
    good = replace(seen(), images={'head': picture, 'wrist': picture})
    chunk = fitted.infer(good)
    assert (chunk.channels, chunk.confidence) == (ARM[1:], pytest.approx(0.8))
    np.testing.assert_allclose(chunk.actions, Q[ARM[1]] + 0.1, rtol=1e-6)
    assert waver.prompts == ['wave']
    black = replace(good, images={'head': picture, 'wrist': picture * 0})
    assert chunk.signals == pytest.approx({
        'implausible': 0.0, 'coverage': 0.0, 'agreement': math.nan, 'reversals': math.nan,
        'claim': math.log(0.2 / 0.8)}, nan_ok=True)
    assert fitted.infer(black).signals['implausible'] == 1.0
    fitted.close()
    assert waver.closed


@pytest.mark.parametrize('wrong', [
    lambda: ActionGroup('a', ActionKind.JOINT_POSITION, ()),
    lambda: ActionGroup('a', ActionKind.JOINT_DELTA, ('x',)),
    lambda: ActionGroup('a', ActionKind.BASE_TWIST, ('x',), 'observation'),
    lambda: ActionGroup('a', ActionKind.MODE, ('x', 'y')),
    lambda: ActionSpace((), 0, 0.1), lambda: ActionSpace((), 1, float('nan')),
    lambda: space(ActionGroup('a', ActionKind.MODE, ('x',)),
                  ActionGroup('a', ActionKind.MODE, ('y',))),
    lambda: ImageFeature('a', (0, 1)), lambda: ImageFeature('a', (1, 1), times_s=(-0.1,)),
    lambda: ImageFeature('a', (1, 1), times_s=(0.0, 0.0)),
    lambda: StateFeature('a', ('x', 'x')), lambda: PolicySpec((), (), space(), rate_hz=0.0),
    lambda: PolicySpec((), (StateFeature('a', ()), StateFeature('a', ())), space())])
def test_a_specification_that_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r'.'):
        wrong()  # type: ignore[operator]


def test_columns_are_found_by_name() -> None:
    found = space(ActionGroup('a', ActionKind.JOINT_POSITION, ('x', 'y')),
                  ActionGroup('b', ActionKind.MODE, ('z',)))
    assert found.channels == ('x', 'y', 'z')
    assert (found.columns('a'), found.columns('b')) == (slice(0, 2), slice(2, 3))
    with pytest.raises(KeyError):
        found.columns('c')
