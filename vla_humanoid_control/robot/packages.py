"""Files that come with the robot's own Python packages, such as a model or a walking policy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path

SCHEME = 'package://'


def _target(package: str) -> str:
    """What `make` installs a package with."""
    return {'holosoma': 't1'}.get(package, 'g1')


def located(name: str) -> Path:
    """The file of a name: below `resource/`, or `package://PACKAGE/PATH` of a Python package.

    Raises:
        UserError: There is no such file, or its package is not installed; says what to do.
    """
    if not name.startswith(SCHEME):
        path = resource_path(name)
        if not path.is_file():
            raise UserError(f'{path} does not exist')
        return path
    package, _, inside = name.removeprefix(SCHEME).partition('/')
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f'{inside or name} comes with the Python package {package}, which is not '
                        f'installed: make {_target(package)} installs what the robots with legs '
                        'need')
    path = Path(spec.submodule_search_locations[0], inside)
    if not path.is_file():
        raise UserError(f'{path} does not exist: another version of {package} is installed; '
                        f'make {_target(package)} installs the right one')
    return path
