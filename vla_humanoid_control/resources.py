"""Where the package's own files lie: installed share directory, or the source tree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.errors import UserError

PACKAGE = 'vla_humanoid_control'
# libyaml's safe loader, where PyYAML was built with it, is ten times faster.
_SAFE: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


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
        return yaml.load(path.read_text(encoding='utf-8'), Loader=_Loader)
    except OSError as error:
        raise UserError(f'{what} {path}: {error.strerror}. {advice}') from error
    except (yaml.YAMLError, ValueError) as error:  # no UTF-8, or a date that does not exist
        problem = ' '.join(str(error).replace(' in "<unicode string>",', ' in').split())
        raise UserError(f'{what} {path} is not valid YAML: {problem}. Correct it there.') \
            from error


class _Loader(_SAFE):  # type: ignore[misc]  # what yaml has is known when this runs
    """Plain data, and no key twice: YAML forbids that, and the loader would take the last one."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is None:
            return None
        todo, seen = [node], set()
        while todo:
            part = todo.pop()
            if id(part) in seen or isinstance(part, yaml.ScalarNode):
                continue  # an alias leads to a node that was there before
            seen.add(id(part))
            if isinstance(part, yaml.MappingNode):
                _refuse_duplicates(part)
                todo += [child for pair in part.value for child in pair]
            else:
                todo += part.value
        return self.construct_document(node)


def _refuse_duplicates(mapping: yaml.MappingNode) -> None:
    keys = set()
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if (key.tag, key.value) in keys:
            raise yaml.constructor.ConstructorError(
                None, None, f'the key {key.value!r} is there twice', key.start_mark)
        keys.add((key.tag, key.value))
