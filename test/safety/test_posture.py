"""Self-collision and balance, on a small model and on the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_humanoid_control.robot.spec import JointSpec, MotionLimits, RobotSpec, SensorSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.posture import PostureChecker, convex_hull, distance_inside
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path

# Two arms that can hit each other or the trunk, and a heavy head on a boom that can lean out.
MODEL = """<mujoco><worldbody>
  <geom type="plane" size="5 5 0.1"/>
  <body name="trunk" pos="0 0 1">
    <joint name="base_x" type="slide" axis="1 0 0"/>
    <geom type="box" size="0.1 0.1 0.3" mass="10"/>
    <geom type="box" pos="0 0 0.2" size="0.12 0.12 0.05" mass="1"/>
    <body name="left_arm" pos="0 0.2 0.2"><joint name="left" axis="1 0 0"/>
      <geom type="capsule" fromto="0 0 -0.02 0 0 -0.4" size="0.04" mass="1"/>
      <body name="left_hand" pos="0 0 -0.45"><joint name="left_wrist" axis="1 0 0"/>
        <geom type="sphere" size="0.05" mass="0.5"/></body></body>
    <body name="boom" pos="0 0 0.35"><joint name="lean" axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 0 0 0 1" size="0.03" mass="20"/></body>
    <body name="left_foot" pos="0 0.1 -0.95">
      <geom type="box" size="0.1 0.05 0.03" mass="1"/></body>
    <body name="right_foot" pos="0 -0.1 -0.95"><geom type="box" size="0.1 0.05 0.03" mass="1"/>
      <joint name="step" type="slide" axis="0 0 1"/></body>
  </body>
</worldbody></mujoco>"""

NAMES = ('left', 'left_wrist', 'lean', 'step')


@pytest.fixture
def small() -> RobotSpec:
    motion = MotionLimits(1.0, 5.0, 50.0)
    joints = tuple(JointSpec(n, -3.0, 3.0, 0.0, motion, True) for n in NAMES)
    sensor = {'joint_states': SensorSpec('/joint_states', 0.2)}
    return RobotSpec('small', 'small.xml', joints, {}, 0.3, 0.5, 0.5, {}, sensor)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / 'small.xml'
    path.write_text(MODEL)
    return path


def posture(**joints: float) -> np.ndarray:
    return np.array([joints.get(name, 0.0) for name in NAMES])


def test_a_safe_posture(small: RobotSpec, model: Path) -> None:
    checker = PostureChecker(small, SafetyConfig(), model)
    assert checker.problem(posture(left=1.0), posture()) == ''


def test_self_collision_is_named(small: RobotSpec, model: Path) -> None:
    checker = PostureChecker(small, SafetyConfig(), model)
    assert checker.problem(posture(left=-0.5), posture()) == 'trunk would touch left hand'


def test_clearance_is_kept(small: RobotSpec, model: Path) -> None:
    """At -0.1 rad the hand is 9 cm - 4.5 cm from the trunk."""
    near = posture(left=-0.1)
    assert PostureChecker(small, SafetyConfig(), model).problem(near, posture()) == ''
    careful = PostureChecker(small, SafetyConfig(self_clearance_m=0.045), model)
    assert careful.problem(near, posture()) == 'trunk would touch left hand'


def test_what_touches_at_home_is_ignored(small: RobotSpec, model: Path) -> None:
    """The feet are inside each other's margin and the boom's foot inside the trunk."""
    touching = MODEL.replace('pos="0 0 0.35"', 'pos="0 0 0.28"').replace(
        'fromto="0 0 0 0 0 1"', 'fromto="0 0 -0.2 0 0 1"')
    model.write_text(touching)
    checker = PostureChecker(small, SafetyConfig(), model)
    assert checker.problem(posture(lean=0.02), posture()) == ''


def test_centre_of_mass_outside_the_feet(small: RobotSpec, model: Path) -> None:
    checker = PostureChecker(small, SafetyConfig(), model)
    assert checker.problem(posture(lean=0.1), posture()) == ''
    assert 'outside the feet' in checker.problem(posture(lean=0.8), posture())
    assert checker.balance_m(posture(lean=0.8)) < 0 < checker.balance_m(posture())


def test_balance_matches_a_computation_by_hand(small: RobotSpec, model: Path) -> None:
    checker = PostureChecker(small, SafetyConfig(), model)
    total = 10 + 1 + 1 + 0.5 + 20 + 2
    ahead = 20 * 0.5 * np.sin(0.2) / total
    assert checker.balance_m(posture(lean=0.2)) == pytest.approx(0.1 - ahead, abs=1e-6)


def test_balance_margin(small: RobotSpec, model: Path) -> None:
    checker = PostureChecker(small, SafetyConfig(balance_margin_m=0.08), model)
    assert 'from the edge' in checker.problem(posture(lean=0.15), posture())


@pytest.mark.parametrize(('here', 'there', 'safe'), [
    (posture(left=-0.3), posture(left=-0.25), True),
    (posture(left=-0.25), posture(left=-0.3), False),
    (posture(lean=0.8), posture(lean=0.7), True),
    (posture(lean=0.7), posture(lean=0.8), False),
    (posture(lean=0.8), posture(left=-0.5, lean=0.7), False)])
def test_an_unsafe_posture_can_be_left_but_not_made_worse(
        small: RobotSpec, model: Path, here: np.ndarray, there: np.ndarray, safe: bool) -> None:
    checker = PostureChecker(small, SafetyConfig(), model)
    assert (checker.problem(there, here) == '') is safe


def test_hull_and_distance() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    square = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
    hull = convex_hull(np.concatenate([noise, square]))
    assert len(hull) == 4
    assert distance_inside(hull, np.array([0.7, 0.1])) == pytest.approx(0.3)
    assert distance_inside(hull, np.array([0.0, 1.5])) == pytest.approx(-0.5)
    assert distance_inside(convex_hull(np.zeros((3, 2))), np.zeros(2)) == -np.inf


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ('name="lean"', 'name="other"', 'lacks the joint lean'),
    ('name="left_foot"', 'name="left_shoe"', 'lacks the body left_foot'),
    ('<worldbody>', '<worldbody', 'is no valid MJCF')])
def test_a_model_that_does_not_fit_is_refused(small: RobotSpec, model: Path, old: str, new: str,
                                              message: str) -> None:
    model.write_text(MODEL.replace(old, new))
    with pytest.raises(UserError, match=message):
        PostureChecker(small, SafetyConfig(), model)


def test_a_missing_model_is_refused(small: RobotSpec, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='does not exist'):
        PostureChecker(small, SafetyConfig(), tmp_path / 'none.xml')


# ---- the humanoid itself

needs_humanoid = pytest.mark.skipif(not resource_path('mjcf', 'humanoid.xml').is_file(),
                                    reason='the humanoid model is not there')


@needs_humanoid
def test_the_humanoid_at_home_is_safe(robot: RobotSpec) -> None:
    checker = PostureChecker(robot, SafetyConfig(), None)
    assert checker.problem(robot.home, robot.home) == ''
    assert checker.balance_m(robot.home) > 0.03


@needs_humanoid
def test_the_humanoid_cannot_reach_into_itself(robot: RobotSpec) -> None:
    checker = PostureChecker(robot, SafetyConfig())
    folded = robot.home
    for name, value in {'left_shoulder_yaw': -1.8, 'left_elbow': -1.6,
                        'left_shoulder_roll': -0.25}.items():
        folded[robot.joint_names.index(name)] = value
    problem = checker.problem(folded, robot.home)
    assert 'would touch' in problem
    assert 'left' in problem


@needs_humanoid
def test_a_crouch_without_balance_is_refused(robot: RobotSpec) -> None:
    """Hips folded and knees straight: the trunk hangs in front of the feet."""
    checker = PostureChecker(robot, SafetyConfig())
    bent = robot.home
    for side in ('left', 'right'):
        bent[robot.joint_names.index(f'{side}_hip_pitch')] = 0.5
        bent[robot.joint_names.index(f'{side}_knee')] = 0.0
    assert 'centre of mass' in checker.problem(bent, robot.home)
