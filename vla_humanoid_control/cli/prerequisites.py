"""What a machine must have. Needs nothing installed: `make setup` asks before it installs."""

from __future__ import annotations

import ctypes
import sys

_LIBRARIES = {'libEGL.so.1': 'libegl1 libegl-mesa0 libgl1-mesa-dri', 'libGL.so.1': 'libgl1',
              'libgthread-2.0.so.0': 'libglib2.0-0'}
"""Library to its Debian packages; the last two are what OpenCV's wheel wants."""


def system_problem() -> str | None:
    """What the machine lacks, with the package that brings it; None where nothing is missing."""
    if sys.version_info < (3, 10):  # noqa: UP036 - runs under whatever python3 a machine has
        return (f'Python {sys.version.split()[0]} is too old: 3.10 or newer is needed '
                '(Debian package python3; make setup PYTHON=python3.11 chooses another).')
    if sys.platform != 'linux':
        return f'This runs on Linux, not on {sys.platform}.'
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return ('Python cannot make virtual environments: install the Debian package '
                f'python3.{sys.version_info.minor}-venv (sudo apt-get install python3-venv).')
    return rendering_problem()


def rendering_problem() -> str | None:
    """Why there could be no camera image; None where the libraries are there."""
    for library, packages in _LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            return (f'{library} is missing, without which there is no camera image: '
                    f'install the Debian package{"s" if " " in packages else ""} {packages} '
                    f'(sudo apt-get install {packages}).')
    return None


def installed_problem() -> str | None:
    """Why the installed environment does not work; None where it does."""
    import importlib
    for module, extra in (('rclpy', 'ros'), ('mujoco', 'sim'), ('torch', 'train'), ('cv2', 'ros')):
        try:
            importlib.import_module(module)
        except ImportError as error:
            return (f'{module} does not load ({error}). Run make setup, or install the extra: '
                    f"pip install -e '.[{extra}]'.")
    return None


def main() -> int:
    """Check, say one sentence, exit with 2 where something is missing."""
    check = {'system': system_problem, 'installed': installed_problem}[sys.argv[1]]
    problem = check()
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
