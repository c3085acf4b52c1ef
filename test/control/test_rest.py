"""When a policy has come to rest, channel by channel of what it asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.rest import RestWatch, Stillness
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import BASE_CHANNELS, TaskState

ROBOT = load_robot('humanoid')
WHOLE = ROBOT.action_channels
ARMS = tuple(n for n in WHOLE if n not in BASE_CHANNELS)
RANGE_M = ROBOT.joint('left_gripper').upper - ROBOT.joint('left_gripper').lower


def comes_to_rest(channels: tuple[str, ...], asked: Callable[[float], dict[str, float]],
                  seconds: float = 3.0) -> bool:
    """Infer at 10 Hz: at home, but for the channels that `asked` gives at that time."""
    watch = RestWatch(Stillness.of(channels, ROBOT))
    home = {n: 0.0 if n in BASE_CHANNELS else ROBOT.joint(n).home for n in channels}
    watch.take(0.1, np.array(list(home.values()), np.float32), 9.9, threshold=0.45, rest_s=2.0)
    rests = False
    for tick in range(round(seconds * 10) + 1):
        action = np.array(list({**home, **asked(tick / 10)}.values()), np.float32)
        rests |= watch.take(0.6, action, 10 + tick / 10, threshold=0.45, rest_s=2.0)
    return rests


@pytest.mark.parametrize('channels', [WHOLE, ARMS, ARMS[:1], ARMS[::-1], (*ARMS, *BASE_CHANNELS),
                                      BASE_CHANNELS, BASE_CHANNELS[:1]], ids=len)
def test_any_policy_can_come_to_rest(channels: tuple[str, ...]) -> None:
    """Regression: the first three channels counted as speeds, whatever they were."""
    assert comes_to_rest(channels, lambda _: {})
    raised = {n: ROBOT.joint(n).upper for n in channels if n not in BASE_CHANNELS}
    assert comes_to_rest(channels, lambda _: raised)


@pytest.mark.parametrize('channels', [WHOLE, ARMS, (*ARMS, *BASE_CHANNELS)], ids=len)
@pytest.mark.parametrize('name', ['left_gripper', 'right_gripper', 'left_elbow', 'neck_yaw'])
def test_what_moves_through_half_of_its_range_is_not_at_rest(channels: tuple[str, ...],
                                                             name: str) -> None:
    """Regression: a gripper that closed all the way stayed within 0.25, of metres."""
    joint = ROBOT.joint(name)

    def closing(time_s: float) -> dict[str, float]:
        return {name: joint.upper - (joint.upper - joint.lower) * min(1.0, time_s / 4)}

    assert not comes_to_rest(channels, closing, 4.0)
    assert comes_to_rest(channels, closing, 7.0)  # it has arrived


def test_a_gripper_that_opens_and_closes_is_not_at_rest() -> None:
    assert not comes_to_rest(
        WHOLE, lambda t: {'left_gripper': RANGE_M * (round(10 * t) // 4 % 2)}, 8.0)


@pytest.mark.parametrize('channels', [WHOLE, (*ARMS, *BASE_CHANNELS), BASE_CHANNELS], ids=len)
@pytest.mark.parametrize('name', BASE_CHANNELS)
def test_a_base_that_is_to_move_is_not_at_rest(channels: tuple[str, ...], name: str) -> None:
    assert not comes_to_rest(channels, lambda _: {name: -0.06})
    assert comes_to_rest(channels, lambda _: {name: -0.04})


def test_arms_hover_as_before() -> None:
    for joint in ROBOT.controlled:
        if 'gripper' not in joint.name:
            assert Stillness.of((joint.name,), ROBOT).hover[0] == 0.25, joint.name


@pytest.mark.parametrize('name', ['left_elbow', 'left_gripper'])
def test_a_task_of_a_policy_without_a_base_ends_where_it_rests_and_not_before(name: str) -> None:
    task = TaskManager(TaskConfig(), Stillness.of((name,), ROBOT))
    joint = ROBOT.joint(name)
    task.command(Instruction('take it', False), 0.0)
    task.on_inference(0.0, np.array([joint.upper], np.float32), 0.0)
    task.on_gate(True, '', 0.0)
    done_s = None
    for tick in range(60):
        share = max(0.0, 1 - tick / 30)
        target = joint.lower + (joint.upper - joint.lower) * share
        task.on_inference(0.6, np.array([target], np.float32), tick / 10)
        if task.state is TaskState.DONE and done_s is None:
            done_s = tick / 10
    assert done_s is not None
    assert done_s > 3.0
