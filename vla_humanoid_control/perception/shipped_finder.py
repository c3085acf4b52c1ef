"""The finder of objects that comes with the package, where it can be used."""

from __future__ import annotations

from vla_humanoid_control.perception.objects import about_network, load_finder
from vla_humanoid_control.perception.seen import ObjectFinder
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path


def shipped_finder(robot: RobotSpec) -> tuple[ObjectFinder | None, str]:
    """A finder for a robot's head camera; where there is none, None and the reason.

    Words are read without one, too: as if nothing could be looked for.
    """
    path = resource_path('objects', 'network.safetensors')
    if not path.is_file():
        return None, 'no network that finds objects comes with this package'
    try:
        if robot.name not in (known := about_network(path)['robots']):
            return None, ('the network that finds objects knows the views of '
                          f'{", ".join(known)}, and not those of {robot.name}')
        return load_finder(robot), ''
    except UserError as error:
        return None, str(error)
