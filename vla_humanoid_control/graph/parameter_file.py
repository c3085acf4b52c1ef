"""Files of ROS parameters: which nodes they name, and what they say to one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vla_humanoid_control.support.errors import UserError, with_nearest
from vla_humanoid_control.support.resources import read_yaml

_KEY = 'ros__parameters'


def check_node_names(document: Any, nodes: Iterable[str], path: str | Path) -> None:
    """Refuse parameters that no node of a graph would take: ROS ignores them without a word.

    Args:
        document: What the file holds.
        nodes: Full names of the nodes, with their namespace, such as '/robot1/safety_monitor'.
        path: The file, for the message.

    Raises:
        UserError: It has another form, or a name in it matches none of the nodes.
    """
    nodes = tuple(nodes)
    for name, _ in _sections(document, path):
        if not any(matches(name, node) for node in nodes):
            # What ROS takes 'safety_monitor' for, too.
            known = [*nodes, *(n.rpartition('/')[2] for n in nodes if n.count('/') == 1)]
            raise UserError(f'Parameter file {path}: there is no node '
                            f'{with_nearest(name, known)} in this graph. There are '
                            f'{", ".join(nodes)}, and /** for all of them; /**/NAME is for a '
                            'node in any namespace.')


def parameters_of(document: Any, node: str, path: str | Path) -> dict[str, Any]:
    """What a file says to one node; dotted names, of several values the last.

    Args:
        document: What the file holds.
        node: Its full name.
        path: The file, for the message.

    Raises:
        UserError: It has another form.
    """
    found: dict[str, Any] = {}
    for name, parameters in _sections(document, path):
        if matches(name, node):
            found.update(_flat(parameters))
    return found


def read_parameter_file(path: Path) -> Any:
    """What the file holds.

    Raises:
        UserError: It cannot be read.
    """
    return read_yaml(path, 'Parameter file',
                     'Give the path of a YAML file like config/params/robot.yaml.')


def matches(pattern: str, node: str) -> bool:
    """Whether a name in a file is for a node, as ROS has it.

    Args:
        pattern: A name, relative ones to the root; * for any one part of it, ** for any number.
        node: A full name.
    """
    parts = [r'(/\w+)*' if part == '**' else r'/\w+' if part == '*' else '/' + re.escape(part)
             for part in pattern.removeprefix('/').split('/')]
    return re.fullmatch(''.join(parts), node, re.ASCII) is not None


def _sections(document: Any, path: str | Path, space: str = ''
              ) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each name in the file, with the namespaces that it is nested in, and its parameters."""
    if not isinstance(document, dict) or not document:
        raise UserError(f'Parameter file {path} must name nodes, each with {_KEY} below it, as in '
                        'config/params/robot.yaml.')
    for key, value in document.items():
        name = f'{space}{key}'
        if isinstance(value, dict) and isinstance(value.get(_KEY), dict) and len(value) == 1:
            yield name, value[_KEY]
        else:
            yield from _sections(value, path, f'{name}/')


def _flat(parameters: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value
