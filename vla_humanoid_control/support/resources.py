"""Where the package's own files lie: installed share directory, or the source tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.support.errors import UserError

PACKAGE = 'vla_humanoid_control'
CACHE_VARIABLE = 'VLA_CACHE_DIR'
"""Names another cache folder than the user's."""
# libyaml's safe loader, where PyYAML was built with it, is ten times faster.
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def share_dir() -> Path:
    """Directory that holds `config/`, `docs/`, `resource/` and `launch/`.

    Returns:
        The source tree for an editable install, else `share/vla_humanoid_control` below the
        install prefix (`colcon` and `pip` lay it out alike).

    Raises:
        UserError: The package's files are nowhere to be found.
    """
    source = Path(__file__).resolve().parents[2]
    prefixes = [p for p in Path(__file__).resolve().parents if (p / 'share' / PACKAGE).is_dir()]
    candidates = [source, *(p / 'share' / PACKAGE for p in prefixes),
                  Path(sys.prefix) / 'share' / PACKAGE]
    for candidate in candidates:
        if (candidate / 'config' / 'robots').is_dir():
            return candidate
    raise UserError(f'{PACKAGE}: config/ not found beside the package or below '
                    f'{sys.prefix}/share. Install the package again.')


def cache_dir() -> Path:
    """Where what takes long to make is kept: `VLA_CACHE_DIR`, or the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    root = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(root) / PACKAGE


def config_path(*parts: str) -> Path:
    """A file below `config/`."""
    return share_dir().joinpath('config', *parts)


def resource_path(*parts: str) -> Path:
    """A file below `resource/` (robot model, default checkpoint)."""
    return share_dir().joinpath('resource', *parts)


def docs_path(*parts: str) -> Path:
    """A page below `docs/`, for messages that name one: it is installed, too."""
    return share_dir().joinpath('docs', *parts)


def read_yaml(path: Path, what: str, advice: str, max_bytes: int | None = None) -> Any:
    """What a YAML file holds: plain data only.

    Args:
        path: The file.
        what: What it is for a person, such as 'Robot file'.
        advice: What to do where it cannot be read, a sentence.
        max_bytes: A larger file is refused.

    Raises:
        UserError: It cannot be read, is too large, is not valid YAML, or names a key twice; says
            where.
    """
    try:
        if max_bytes is not None and path.stat().st_size > max_bytes:
            raise UserError(f'{what} {path} is larger than {max_bytes // 10**6} MB.')
        text = path.read_text(encoding='utf-8')
        if (twice := _repeated_key(yaml.compose(text, Loader=_LOADER))) is not None:
            raise UserError(f'{what} {path} is not valid YAML: {twice}. Correct it there.')
        return yaml.load(text, Loader=_LOADER)
    except OSError as error:
        raise UserError(f'{what} {path}: {error.strerror}. {advice}') from error
    except (yaml.YAMLError, ValueError) as error:  # no UTF-8, or a date that does not exist
        problem = ' '.join(str(error).replace(' in "<unicode string>",', ' in').split())
        raise UserError(f'{what} {path} is not valid YAML: {problem}. Correct it there.') \
            from error


def _repeated_key(root: Any) -> str | None:
    """The first key that a mapping has twice, and where; the loader would take the last one.

    Args:
        root: Node of the document, as `yaml.compose` gives it; None where there is none.
    """
    todo, seen = [root] if root is not None else [], set()
    while todo:
        node = todo.pop()
        if node.id == 'scalar' or id(node) in seen:
            continue  # an alias leads to a node that was there before
        seen.add(id(node))
        if node.id == 'sequence':
            todo += node.value
            continue
        keys = set()
        for key, value in node.value:
            todo += (key, value)
            if key.id == 'scalar' and (key.tag, key.value) in keys:
                mark = key.start_mark
                return (f'the key {key.value!r} is there twice, again in line {mark.line + 1}, '
                        f'column {mark.column + 1}')
            if key.id == 'scalar':
                keys.add((key.tag, key.value))
    return None
