"""`vla explain`: where in an image a policy looks for each word, as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_humanoid_control.support.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--policy', default='default', metavar='WHAT',
                        help='a policy of this package: its name, or the folder of a checkpoint')
    parser.add_argument('--image', type=Path, required=True, metavar='FILE',
                        help='what its camera shows')
    parser.add_argument('--instruction', required=True, metavar='TEXT')
    parser.add_argument('--out', type=Path, default=Path('out/explanation.png'), metavar='FILE',
                        help='where the picture goes (default: %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Write the picture.

    Raises:
        UserError: The image cannot be read, or the policy is none of this package's models.
    """
    import cv2
    import numpy as np

    from vla_humanoid_control.evaluation.explanation_page import draw_explanation
    from vla_humanoid_control.policy.explanation import explain
    from vla_humanoid_control.policy.native import CheckpointPolicy
    from vla_humanoid_control.policy.registry import load_policy
    from vla_humanoid_control.robot.reader import load_robot
    image = cv2.imread(str(arguments.image))
    if image is None:
        raise UserError(f'--image {arguments.image} cannot be read. Give a PNG or JPEG file.')
    robot = load_robot('humanoid')
    policy = load_policy(arguments.policy, robot).policy
    if not isinstance(policy, CheckpointPolicy):
        raise UserError(f'{arguments.policy} is no model of this package: gradients of others are '
                        'not known. Give the folder of a checkpoint.')
    explanation = explain(policy, np.ascontiguousarray(image[..., ::-1], np.uint8),
                          arguments.instruction, robot.home)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    draw_explanation(explanation, f'{arguments.policy}: "{arguments.instruction}"', arguments.out)
    print(arguments.out)
    return 0
