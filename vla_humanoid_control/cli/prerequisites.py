"""What a machine must have. Needs nothing installed: `make setup` asks before it installs."""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import platform
import re
import subprocess
import sys

_LIBRARIES = (
    (('libEGL.so.1',), 'libegl1'),
    (('libEGL_mesa.so.0', 'libEGL_nvidia.so.0'), 'libegl-mesa0'),  # a driver behind it, any one
    (('libGL.so.1',), 'libgl1'),
    (('libOpenGL.so.0',), 'libopengl0'),
    (('libgthread-2.0.so.0',), 'libglib2.0-0'),
)
"""Libraries, one of which must be there, and the Debian package that brings one. OpenCV's wheel
wants the third and the last."""
_MESA_DRIVERS = ('/usr/lib/*/dri/*_dri.so', 'libgl1-mesa-dri')
_DEBIAN = '/etc/debian_version'


def system_problem() -> str | None:
    """What the machine lacks, with the package that brings it; None where nothing is missing."""
    if sys.version_info < (3, 10):  # noqa: UP036 - runs under whatever python3 a machine has
        return (f'Python {sys.version.split()[0]} is too old: 3.10 or newer is needed '
                '(Debian package python3; make setup PYTHON=python3.11 chooses another).')
    if sys.platform != 'linux':
        return f'This runs on Linux, not on {sys.platform}.'
    if not ros_is_here():
        wheels = 'ROS 2 comes as Python wheels, which there are for'
        without = ("source a ROS 2 installation first, or go without ROS: python3 -m venv .venv "
                   "&& .venv/bin/pip install -e '.[sim,train]'")
        if platform.machine() not in ('x86_64', 'AMD64'):
            return f'{wheels} x86-64 only, and this is {platform.machine()}: {without}.'
        if sys.version_info >= (3, 14):
            return (f'{wheels} Python 3.10 to 3.13 only, and this is {sys.version.split()[0]}: '
                    f'make setup PYTHON=python3.13 chooses another; or {without}.')
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return ('Python cannot make virtual environments: install the Debian package '
                f'python3.{sys.version_info.minor}-venv (sudo apt-get install python3-venv).')
    return rendering_problem()


def ros_is_here() -> bool:
    """Whether ROS 2 was there before `make setup`, as where one is sourced.

    What an activated virtual environment holds is what `make setup` put there.
    """
    try:
        spec = importlib.util.find_spec('rclpy')
    except ValueError:  # something put a module there that did not come from a file
        return False
    if spec is None or spec.origin is None:
        return False
    return sys.prefix == sys.base_prefix or not spec.origin.startswith(sys.prefix + os.sep)


def ros_problem() -> str | None:
    """Why no node could run; None where ROS 2 is here. Asks another process, which may crash."""
    spec = importlib.util.find_spec('rclpy')
    if spec is None:
        return 'There is no ROS 2 here (no rclpy). Run make setup, or source a ROS 2 installation.'
    from vla_humanoid_control.graph.bringup import environment
    tried = subprocess.run([sys.executable, '-c', _USE_ROS], capture_output=True, text=True,
                           errors='replace', env={**os.environ, **environment()})
    if tried.returncode == 0:
        return None
    steps = [line.removeprefix('step: ') for line in tried.stdout.splitlines()
             if line.startswith('step: ')]
    said = (tried.stderr.strip().splitlines() or [f'exit status {tried.returncode}'])[-1]
    said = re.sub(r'^(\[[^]]*\] ?)+: ', '', said).rstrip('.')  # without what a logger puts first
    return _explain(steps[-1] if steps else '', said, os.path.dirname(spec.origin or ''))


_USE_ROS = """
print('step: rclpy', flush=True)
import rclpy.lifecycle
print('step: messages', flush=True)
import vla_humanoid_control.ros.messages
import vla_humanoid_control.ros.managed
print('step: middleware', flush=True)
rclpy.init(args=['--ros-args', '--disable-external-lib-logs'])
"""
"""What every node does first, one step after the other."""


def _explain(step: str, said: str, folder: str) -> str:
    """What went wrong in a step, and what to do."""
    if step == 'middleware' or 'rmw' in said.lower():
        name = os.environ.get('RMW_IMPLEMENTATION')
        if not name:
            return f'The middleware of ROS 2 does not load ({said}). Install it.'
        return (f'RMW_IMPLEMENTATION asks for {name}, which does not load ({said}). Install it, '
                'or unset RMW_IMPLEMENTATION.')
    here = '.'.join(map(str, sys.version_info[:2]))
    built = sorted({f'{tag[0]}.{tag[1:]}' for file in glob.glob(f'{folder}/*.so')
                    for tag in re.findall(r'\.cpython-(\d+)', file)})
    if step == 'rclpy' and ('_rclpy_pybind11' in said or (built and here not in built)):
        which = f'Python {" or ".join(built)}' if built else 'another one'
        return (f'The rclpy in {folder} does not load under this Python {here}, as it was built '
                f'for {which} ({said}). Open a shell in which that ROS 2 is not sourced, or use '
                'the Python that it was built for.')
    return (f'The ROS 2 in {os.path.dirname(folder)} is not complete, or not of one piece '
            f'({said}). Run make setup, or install what is missing.')


def rendering_problem() -> str | None:
    """Why there could be no camera image; None where the libraries are there."""
    missing = {libraries[0]: package for libraries, package in _LIBRARIES
               if not any(map(_loads, libraries))}
    pattern, package = _MESA_DRIVERS
    if os.path.exists(_DEBIAN) and not glob.glob(pattern) and not _loads('libEGL_nvidia.so.0'):
        missing[os.path.basename(pattern)] = package
    if not missing:
        return None
    packages, many = ' '.join(missing.values()), len(missing) > 1
    return (f'{", ".join(missing)} {"are" if many else "is"} missing, without which there is no '
            f'camera image: install the Debian package{"s" if many else ""} {packages} '
            f'(sudo apt-get install {packages}).')


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def installed_problem() -> str | None:
    """Why the installed environment does not work; None where it does."""
    for module, what in (('rclpy', '.[ros]'), ('mujoco', '.[sim]'), ('torch', '.[train]'),
                         ('cv2', '.')):
        try:
            importlib.import_module(module)
        except ImportError as error:
            return (f'{module} does not load ({error}). Run make setup, or install what brings '
                    f"it: pip install -e '{what}'.")
    return None


def main() -> int:
    """Check, say one sentence, exit with 2 where something is missing; or tell the Makefile."""
    told = {'extras': 'sim,train,servers,dev' if ros_is_here() else 'ros,sim,train,servers,dev',
            'venv': '--system-site-packages' if ros_is_here() else ''}
    if sys.argv[1] in told:
        print(told[sys.argv[1]])
        return 0
    check = {'system': system_problem, 'installed': installed_problem}[sys.argv[1]]
    problem = check()
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
