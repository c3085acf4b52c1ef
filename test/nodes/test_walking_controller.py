"""What the walking controller decides, and what it refuses, message by message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g1 import needs_g1

pytest.importorskip('rclpy')

import rclpy
from geometry_msgs.msg import Twist
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import JointState

from vla_humanoid_control.nodes import walking_controller
from vla_humanoid_control.nodes.walking_controller import WalkingController
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros.managed import ERROR, OK, WARN
from vla_humanoid_control.ros.messages import imu_to_msg, joints_to_msg, odometry_to_msg
from vla_humanoid_control.types import ImuReading

pytestmark = [pytest.mark.ros, needs_g1]

PERIOD_NS = 20_000_000
HOME = {j.name: j.home for j in load_robot('unitree_g1').joints}
UPRIGHT, ON_ITS_SIDE = (0.0, 0.0, 0.0, 1.0), (0.7071, 0.0, 0.0, 0.7071)


@pytest.fixture
def make(domain_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
         ) -> Iterator[Callable[[str], Any]]:
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    made = []

    def make(robot: str) -> Any:
        rclpy.init(domain_id=domain_id, args=['--ros-args', '-p', f'robot:={robot}', '-p',
                                              'autostart:=false'])
        made.append(WalkingController())
        return made[0]

    yield make
    made[0].destroy_node()
    rclpy.shutdown()


@pytest.fixture
def node(make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Active; `commands` and `releases` are what it has published."""
    node = make('unitree_g1')
    node.trigger_configure()
    node.trigger_activate()
    node.commands, node.releases = [], []
    monkeypatch.setattr(node._targets_out, 'publish', node.commands.append, raising=False)
    monkeypatch.setattr(node._let_go_out, 'publish', node.releases.append, raising=False)
    return node


def feel(node: Any, stamp_ns: int, turn: tuple[float, ...] = UPRIGHT) -> None:
    node._on_imu(imu_to_msg(ImuReading(stamp_ns, np.array(turn), np.zeros(3), np.zeros(3)), ''))


def tell(node: Any, stamp_ns: int, positions: dict[str, float] = HOME) -> None:
    node._on_joints(joints_to_msg(stamp_ns, positions, dict.fromkeys(positions, 0.0)))


def steps(node: Any, first: int, count: int, **how: Any) -> None:
    for step in range(first, first + count):
        feel(node, step * PERIOD_NS, **how)
        tell(node, step * PERIOD_NS)


def last(node: Any) -> dict[str, float]:
    return dict(zip(node.commands[-1].joint_names, node.commands[-1].points[0].positions))


def test_it_commands_legs_and_waist_and_no_arm(node: Any) -> None:
    steps(node, 1, 3)
    names = set(last(node))
    assert {'left_knee_joint', 'waist_yaw_joint'} <= names
    assert not names & {j.name for j in load_robot('unitree_g1').controlled}
    assert len(node.commands) == 3 and node.health().level == OK


def test_a_robot_is_let_go_once_its_legs_are_at_home(node: Any) -> None:
    straight = {**HOME, 'left_knee_joint': 0.0}
    feel(node, PERIOD_NS)
    tell(node, PERIOD_NS, straight)
    assert last(node)['left_knee_joint'] == pytest.approx(HOME['left_knee_joint'])
    assert not node.releases
    steps(node, 2, 1)
    assert len(node.releases) == 1
    steps(node, 3, 51)  # said again, for a bridge that was not there yet
    assert len(node.releases) == 2


def test_it_decides_every_period_however_often_joints_are_measured(node: Any) -> None:
    for step in range(1, 41):
        feel(node, step * PERIOD_NS // 4)
        tell(node, step * PERIOD_NS // 4)
    assert len(node.commands) == 10


def test_without_a_recent_command_it_stands(node: Any) -> None:
    def swing(first: int, odometry: bool) -> float:
        """How much a knee moves within a second."""
        knees = []
        for step in range(first, first + 50):
            if odometry:
                node._on_odometry(odometry_to_msg(step * PERIOD_NS, np.zeros(3), np.zeros(3)))
            steps(node, step, 1)
            knees.append(last(node)['left_knee_joint'])
        return max(knees[10:]) - min(knees[10:])

    walk = Twist()
    walk.linear.x = 0.4
    steps(node, 1, 1)
    node._on_twist(walk)
    assert swing(2, odometry=True) > 0.1  # half a second of it with the command
    still = swing(52, odometry=True)
    assert still < 0.05
    node._on_twist(walk)
    assert swing(152, odometry=False) < 0.05  # nobody measures what comes of it


def test_blind_it_decides_nothing(node: Any) -> None:
    tell(node, PERIOD_NS)
    assert not node.commands and node.health().level == ERROR
    steps(node, 2, 2)
    heard = len(node.commands)
    for step in range(4, 60):  # the IMU is silent
        tell(node, step * PERIOD_NS)
    assert heard <= len(node.commands) < heard + 15
    assert node.health().level == ERROR and 'imu' in node.health().message
    steps(node, 60, 1)
    assert node.health().level == OK


def test_silence_of_the_joints_is_told(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.health().message == 'no joint states yet'
    steps(node, 1, 2)
    assert node.health().level == OK
    late_s = time.monotonic() + 3.0
    monkeypatch.setattr(walking_controller.time, 'monotonic', lambda: late_s)
    assert node.health().level == ERROR and 'no joint states for' in node.health().message


def test_after_a_fall_it_keeps_its_posture_until_time_begins_anew(node: Any) -> None:
    steps(node, 10, 2)
    feel(node, 12 * PERIOD_NS, ON_ITS_SIDE)
    bent = {**HOME, 'left_knee_joint': 1.0}
    tell(node, 12 * PERIOD_NS, bent)
    assert last(node)['left_knee_joint'] == 1.0 and 'fallen' in node.health().message
    steps(node, 13, 1)
    assert last(node)['left_knee_joint'] == 1.0
    steps(node, 1, 2)
    assert last(node)['left_knee_joint'] != 1.0 and node.health().level == OK


@pytest.mark.parametrize('spoil', ['velocity', 'joint', 'imu', 'twist'])
def test_what_is_no_measurement_is_refused(node: Any, spoil: str) -> None:
    steps(node, 1, 1)
    if spoil == 'velocity':
        node._on_joints(JointState(name=list(HOME), position=list(HOME.values())))
    elif spoil == 'joint':
        tell(node, 2 * PERIOD_NS, {n: p for n, p in HOME.items() if n != 'left_knee_joint'})
    elif spoil == 'imu':
        feel(node, 2 * PERIOD_NS, (float('nan'), 0.0, 0.0, 1.0))
    else:
        twist = Twist()
        twist.linear.x = float('inf')
        node._on_twist(twist)
    assert node.health().level == WARN and node.health().values['messages_rejected'] == 1
    steps(node, 3, 1)
    assert np.isfinite(list(last(node).values())).all()


def test_a_robot_that_slides_has_none(make: Callable[[str], Any]) -> None:
    assert make('humanoid').trigger_configure() != TransitionCallbackReturn.SUCCESS
