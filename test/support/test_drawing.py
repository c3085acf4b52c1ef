"""Variables that choose how MuJoCo draws: none of them ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_humanoid_control.cli.prerequisites import rendering_problem
from vla_humanoid_control.support import drawing

pytest.importorskip('mujoco')

ROOT = Path(__file__).resolve().parents[2]
DRAW = ('from vla_humanoid_control.support.errors import UserError\n'
        'from vla_humanoid_control.simulation.camera import Camera, check_drawing\n'
        'from vla_humanoid_control.simulation.world import World\n'
        'from vla_humanoid_control.robot.reader import load_robot\n'
        'try:\n'
        '    check_drawing()\n'
        '    World(load_robot("humanoid")).render("head", 32, 24)\n'
        'except UserError as error:\n'
        '    print(error)\n'
        '    raise SystemExit(2)\n')


def plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items()
            if name not in ('DISPLAY', 'WAYLAND_DISPLAY') and not drawing._chooses(name)}


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=False, env={**plain(), 'PYTHONPATH': str(ROOT), **variables})


@pytest.mark.slow
@pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')
@pytest.mark.parametrize('name', ['MUJOCO_GL', 'MUJOCO_EGL_DEVICE_ID', 'PYOPENGL_PLATFORM',
                                  'EGL_PLATFORM', 'LIBGL_DRIVERS_PATH', 'GALLIUM_DRIVER'])
def test_an_empty_variable_counts_as_none(name: str) -> None:
    """Regression: an empty MUJOCO_GL chose a window, and an empty device was no number."""
    done = run(DRAW, **{name: ' '})
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


@pytest.mark.slow
@pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')
@pytest.mark.parametrize('given', [
    'MUJOCO_GL=foo', 'MUJOCO_GL=glx', 'MUJOCO_GL=disable', 'MUJOCO_EGL_DEVICE_ID=99',
    'MUJOCO_EGL_DEVICE_ID=cuda:0', 'PYOPENGL_PLATFORM=glx', 'LIBGL_DRIVERS_PATH=/nowhere',
    'MESA_GL_VERSION_OVERRIDE=1.0', '__EGL_VENDOR_LIBRARY_FILENAMES=/nowhere.json'])
def test_a_variable_is_named_with_what_to_set(given: str) -> None:
    """Regression: a traceback, or the advice to install EGL where it works."""
    name, _, value = given.partition('=')
    done = run(DRAW, **{name: value})
    if done.returncode == 0 and name.startswith(('LIBGL', 'MESA')):
        return  # a driver that does not listen to it
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stderr and 'apt-get' not in done.stdout
    assert given in done.stdout and 'unset' in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1


@pytest.mark.parametrize('backend', ['foo', 'osmesa', 'disable', 'glfw'])
def test_what_never_draws_does_not_mind(backend: str) -> None:
    """Regression: the posture check of safety could not be loaded with a backend like these."""
    done = run('import vla_humanoid_control.safety.posture, mujoco\n'
               'mujoco.MjModel.from_xml_string("<mujoco/>")', MUJOCO_GL=backend)
    assert done.returncode == 0, done.stderr


def test_a_display_is_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MUJOCO_GL', 'glfw')
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert 'MUJOCO_GL=egl' in str(drawing.setting_problem())
    monkeypatch.setenv('DISPLAY', ':0')
    assert drawing.setting_problem() is None
