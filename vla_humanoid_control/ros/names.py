"""Names of topics and services in the namespace of one robot: the one place that joins them."""

from __future__ import annotations

import re

from vla_humanoid_control.support.errors import UserError

_NAMESPACE = re.compile(r'(/[A-Za-z_]\w*)+', re.ASCII)


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
    """Name of a topic or service in a namespace: '/robot1/vla_command' of '/vla_command'.

    Args:
        name: As it is without a namespace; begins with '/'.
        namespace: As `read_namespace` gives it.
    """
    return f'{namespace}{name}'
