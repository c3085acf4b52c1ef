"""`vla models`: which architectures there are; with `show NAME`, one of them as a drawing.

Each is one file in config/models/: parts by name, at the published size and at one that learns on
two cores. `vla train --model NAME` trains it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vla_humanoid_control.support.errors import UserError

if TYPE_CHECKING:
    from vla_humanoid_control.models.streams import Space


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('what', nargs='*', metavar='show NAME',
                        help='draw a model: its name, or the path of a YAML file')
    parser.add_argument('--demo', action='store_true',
                        help='show: at the size that learns on two cores, for our robot')


def run(arguments: argparse.Namespace) -> int:
    """List the models, or draw one.

    Raises:
        UserError: There is no such model, or its file is wrong.
    """
    from vla_humanoid_control.models.config import load_model_config, model_names
    from vla_humanoid_control.models.drawing import count, draw, in_words, on_paper
    if not arguments.what:
        print(f'{"":20} {"published":>10} {"demo":>7}  actions  source')
        for name in model_names():
            config, demo = load_model_config(name), load_model_config(name, demo=True)
            space = config.space
            print(f'{name:20} {in_words(count(on_paper(config))):>10} '
                  f'{in_words(count(on_paper(demo, _robot_space(demo.space)))):>7}  '
                  f'{f"{space.horizon} x {space.channels}":>7}  {config.source}')
        print('\nDraw one: vla models show NAME. Train one: vla train --model NAME --data ...')
        return 0
    if len(arguments.what) != 2 or arguments.what[0] != 'show':
        raise UserError('Give nothing, or: vla models show NAME')
    config = load_model_config(arguments.what[1], demo=arguments.demo)
    space = _robot_space(config.space) if arguments.demo else config.space
    print('\n'.join([config.source, '', *draw(config, space)]))
    return 0


def _robot_space(space: Space) -> Space:
    from dataclasses import replace

    from vla_humanoid_control.interfaces import IMAGE_SIZE
    from vla_humanoid_control.robot.reader import load_robot
    robot = load_robot('humanoid')
    return replace(space, images=dict.fromkeys(space.images, IMAGE_SIZE),
                   joints=len(robot.joint_names), channels=len(robot.action_channels))
