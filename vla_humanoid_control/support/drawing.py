"""Variables that choose how MuJoCo draws: left over from another project, they must not surprise.

MuJoCo reads them when it is imported, so the package's `__init__` calls `prepare` before that.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import MutableMapping

BACKEND, DEVICE, BINDINGS = 'MUJOCO_GL', 'MUJOCO_EGL_DEVICE_ID', 'PYOPENGL_PLATFORM'
OFF_SCREEN = 'egl'
_WINDOW = ('glfw', 'glx', 'enable', 'enabled', 'on', 'true', '1')
_OFF = ('disable', 'disabled', 'off', 'false', '0')
_DRIVER = ('EGL_', '__EGL_', '__GLX_', 'LIBGL_', 'MESA_', 'GALLIUM_')
"""What OpenGL's drivers and their dispatcher listen to begins so."""
_PLAIN = f'set {BACKEND}={OFF_SCREEN}, or unset it'
_refused: list[str] = []


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Have MuJoCo draw off screen unless a person says otherwise; an empty variable says nothing.

    MuJoCo cannot be imported with a backend that cannot, and the safety gate, which never draws,
    needs it all the same: then the default takes its place, and drawing is refused.
    """
    for name in [n for n in environ if _chooses(n) and not environ[n].strip()]:
        del environ[name]
    given = environ.setdefault(BACKEND, OFF_SCREEN)
    backend = given.lower().strip()
    if backend not in (OFF_SCREEN, 'osmesa', *_WINDOW, *_OFF):
        _refused.append(f'{BACKEND}={given} is no way to draw that MuJoCo knows: {_PLAIN}.')
        environ[BACKEND] = OFF_SCREEN
    elif backend == 'osmesa' and not _loads('libOSMesa.so', 'libOSMesa.so.8', 'libOSMesa.so.6'):
        _refused.append(f'{BACKEND}={given} needs libOSMesa.so, which is not here: {_PLAIN}.')
        environ[BACKEND] = OFF_SCREEN


def setting_problem() -> str | None:
    """Why the variables as they are let nothing be drawn, with the remedy; None where they may."""
    if _refused:
        return _refused[0]
    given = os.environ.get(BACKEND, OFF_SCREEN)
    backend = given.lower().strip()
    if backend in _OFF:
        return f'{BACKEND}={given} switches drawing off: {_PLAIN}.'
    if backend in _WINDOW:
        if not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
            return f'{BACKEND}={given} draws through a display, and there is none: {_PLAIN}.'
        return None
    bindings = os.environ.get(BINDINGS, backend)
    if bindings.lower() != backend:
        return (f'{BINDINGS}={bindings} does not go with {BACKEND}={given}: set '
                f'{BINDINGS}={backend}, or unset it.')
    device = os.environ.get(DEVICE, '0').strip()
    if backend == OFF_SCREEN and not (device.isascii() and device.isdigit()):
        return (f'{DEVICE}={device} must be the number of a device of EGL: set {DEVICE}=0, or '
                'unset it.')
    return None


def explained(error: Exception) -> str:
    """What to do about an error in making a drawing context: it may be any variable's fault."""
    reason = ' '.join(str(error).split()).rstrip('.') or type(error).__name__
    names = chosen()
    if not names:
        return (f'Cannot draw off screen ({reason}). Install EGL with a driver: '
                'sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri')
    given = ' '.join(f'{name}={os.environ[name]}' for name in names)
    remedy = _PLAIN if names == [BACKEND] else \
        f'set {DEVICE}=0, or unset it' if names == [DEVICE] else f'unset {", ".join(names)}'
    return f'Cannot draw off screen with {given} ({reason}): {remedy}.'


def chosen() -> list[str]:
    """Variables that a person has set, and not to what would be so anyway."""
    return sorted(name for name, value in os.environ.items() if _chooses(name) and not (
        name in (BACKEND, BINDINGS) and value.lower().strip() == OFF_SCREEN))


def _chooses(name: str) -> bool:
    return name in (BACKEND, DEVICE, BINDINGS) or name.startswith(_DRIVER)


def _loads(*libraries: str) -> bool:
    for library in libraries:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False
