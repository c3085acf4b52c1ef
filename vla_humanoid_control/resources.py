"""Where the package's own files lie: installed share directory, or the source tree."""

from __future__ import annotations

import sys
from pathlib import Path

from vla_humanoid_control.errors import UserError

PACKAGE = 'vla_humanoid_control'


def share_dir() -> Path:
    """Directory that holds `config/`, `resource/` and `launch/`.

    Returns:
        The source tree for an editable install, else `share/vla_humanoid_control` below the
        install prefix (`colcon` and `pip` lay it out alike).

    Raises:
        UserError: The package's files are nowhere to be found.
    """
    source = Path(__file__).resolve().parent.parent
    prefixes = [p for p in Path(__file__).resolve().parents if (p / 'share' / PACKAGE).is_dir()]
    candidates = [source, *(p / 'share' / PACKAGE for p in prefixes),
                  Path(sys.prefix) / 'share' / PACKAGE]
    for candidate in candidates:
        if (candidate / 'config' / 'robots').is_dir():
            return candidate
    raise UserError(f'{PACKAGE}: config/ not found beside the package or below '
                    f'{sys.prefix}/share. Install the package again.')


def config_path(*parts: str) -> Path:
    """A file below `config/`."""
    return share_dir().joinpath('config', *parts)


def resource_path(*parts: str) -> Path:
    """A file below `resource/` (robot model, default checkpoint)."""
    return share_dir().joinpath('resource', *parts)
