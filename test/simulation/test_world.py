"""The simulated body stands in for one robot; what it cannot do, it says in one sentence."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec, SensorSpec
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError

ROBOT = load_robot('humanoid')
HEAD = ROBOT.cameras['head']


@pytest.mark.parametrize(('robot', 'what'), [
    (replace(ROBOT, joints=(*ROBOT.joints, replace(ROBOT.joints[0], name='tail'))), 'joint tail'),
    (replace(ROBOT, cameras={**ROBOT.cameras, 'wrist': SensorSpec('/wrist', 1.0)}),
     'camera wrist'),
    (replace(ROBOT, simulation=None), 'no section simulation'),
    (replace(ROBOT, simulation=replace(ROBOT.simulation, trunk='hull')), 'no body hull'),
    (replace(ROBOT, simulation=replace(ROBOT.simulation, imu='gyro')), 'no site gyro'),
    (replace(ROBOT, end_effectors={'left': replace(ROBOT.end_effectors['left'], site='paw')}),
     'end_effectors.left names paw'),
    (replace(ROBOT, cameras={'head': replace(HEAD, optics=replace(HEAD.optics, body='hat'))}),
     'no body hat')])
def test_robot_that_the_body_does_not_fit_is_refused(robot: RobotSpec, what: str) -> None:
    """It used to end in a KeyError, or in a camera thread that died."""
    with pytest.raises(UserError, match=what):
        World(robot)


def test_a_camera_is_where_the_robot_file_has_it() -> None:
    """Turned to the left, it looks that way; on a wider image, it sees further aside."""
    turned = replace(HEAD, optics=replace(HEAD.optics, size=(640, 320),
                                          mount=(0.1, 0.0, 0.1, 0.0, 0.0, 1.5707963)))
    world = World(replace(ROBOT, cameras={'head': turned}))
    axes = world.data.cam('head').xmat.reshape(3, 3)
    yaw = world.base_pose()[2]
    assert -axes[:, 2] == pytest.approx([-np.sin(yaw), np.cos(yaw), 0], abs=0.2)  # nods a little
    assert world.aspect == 2.0
    world.close()


def test_without_a_driver_it_says_what_to_install() -> None:
    """EGL without a driver used to end in an ImportError from inside MuJoCo."""
    # Known to EGL alone, and not to Python: else the message would name the variable.
    script = ('import ctypes\n'
              'ctypes.CDLL(None).setenv(b"__EGL_VENDOR_LIBRARY_DIRS", b"/nonexistent", 1)\n'
              'from vla_humanoid_control.support.errors import UserError\n'
              'from vla_humanoid_control.robot.reader import load_robot\n'
              'from vla_humanoid_control.simulation.world import World\n'
              'try:\n'
              '    World(load_robot("humanoid")).render("head", 64, 48)\n'
              'except UserError as error:\n'
              '    print(error)\n')
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          timeout=60, env={**os.environ, 'PYTHONPATH': root, 'MUJOCO_GL': 'egl'})
    assert done.returncode == 0, done.stderr
    assert 'apt-get install libegl1 libegl-mesa0' in done.stdout


def test_triton_is_loaded_before_anything_is_drawn(tmp_path: Path) -> None:
    """After Mesa's LLVM it would crash when a policy is loaded (PyTorch's build for CUDA)."""
    (tmp_path / 'triton.py').write_text('print("LLVM is there:", "LLVM" in '
                                        'open("/proc/self/maps").read())\n')
    script = ('from vla_humanoid_control.robot.reader import load_robot\n'
              'from vla_humanoid_control.simulation.world import World\n'
              'World(load_robot("humanoid")).render("head", 64, 48)\n'
              'print("drawn")\n')
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          timeout=60, env={**os.environ, 'MUJOCO_GL': 'egl',
                                           'PYTHONPATH': f'{tmp_path}{os.pathsep}{root}'})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['LLVM is there: False', 'drawn']


def test_where_the_physics_comes_apart_all_stands_and_the_robot_counts_as_fallen(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """MuJoCo reset everything, time included, and wrote MUJOCO_LOG.TXT to the working folder."""
    monkeypatch.chdir(tmp_path)
    world = World(load_robot('humanoid'))
    world.reset(3)
    world.advance(0.1)
    joints, pose = world.joint_positions(), world.base_pose()
    assert not world.fallen
    world.data.qvel[20] = 1e12
    for now_s in (0.12, 0.14):
        world.advance(0.02)
        assert world.fallen and world.time_s == pytest.approx(now_s)
        assert (world.joint_positions() == joints).all() and (world.base_pose() == pose).all()
    assert 'unstable' in caplog.text and not list(tmp_path.iterdir())
    world.reset(3)
    world.advance(0.1)
    assert not world.fallen and (world.joint_positions() == joints).all()
    world.close()
