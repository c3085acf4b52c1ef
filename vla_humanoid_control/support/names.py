"""Names of topics, services and nodes as ROS has them, and in the namespace of one robot."""

from __future__ import annotations

import re
from pathlib import Path

from vla_humanoid_control.support.errors import UserError

_NAME = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)
_NAMESPACE = re.compile(r'(/[A-Za-z_]\w*)+', re.ASCII)


def is_name(text: str) -> bool:
    """Whether ROS takes it as the name of a topic or service.

    With a slash in front it is a full name, the same for all robots; without one it is relative
    to the namespace of whoever uses it.
    """
    return _NAME.fullmatch(text) is not None


def read_namespace(text: str) -> str:
    """A namespace in its full form, such as '/robot1'; '' for none.

    Args:
        text: With or without a slash at either end.

    Raises:
        UserError: It is none that ROS takes.
    """
    name = text.strip().strip('/')
    if not name:
        return ''
    if not _NAMESPACE.fullmatch(f'/{name}'):
        raise UserError(f'Namespace {text!r} must be made of letters, digits and underscores, '
                        'such as robot1 or fleet/robot1, and no part may begin with a digit.')
    return f'/{name}'


def full_name(name: str, namespace: str) -> str:
    """Full name of a node, topic or service of the graph: '/robot1/vla_command'.

    Args:
        name: Relative to the namespace, such as 'vla_command'; a slash in front says nothing.
        namespace: As `read_namespace` gives it.
    """
    return f'{namespace}/{name.removeprefix("/")}'


def beside(topic: str, name: str) -> str:
    """Name of the topic beside another one: 'depth/camera_info' of 'depth/image_raw'."""
    folder, slash, _ = topic.rpartition('/')
    return f'{folder}{slash}{name}'


def folder_of(namespace: str, folder: Path) -> Path:
    """Where a robot's files go, so that robots side by side do not write over one another's.

    Args:
        namespace: As `read_namespace` gives it.
        folder: Where those of a robot without a namespace go.
    """
    return folder.joinpath(*filter(None, namespace.split('/')))
