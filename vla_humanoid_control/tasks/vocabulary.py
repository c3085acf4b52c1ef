"""Names of everything that can be asked: families, arguments, keys. Each stands here alone.

A task key is `family:argument...`, for instance `move:left` or `go_to:red:box`. Trained models and
data sets rely on the order of everything here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from vla_humanoid_control.support.errors import UserError

COLOURS = ('red', 'green', 'blue', 'yellow')
SHAPES = ('box', 'ball', 'cup', 'cone')
MOVES = {'forward': (1.0, 0.0), 'backward': (-1.0, 0.0), 'left': (0.0, 1.0), 'right': (0.0, -1.0)}
"""Direction to unit vector in the frame of the base: x ahead, y left."""
MOVE_M = 0.70
"""How far the scripted expert and the scripted policy move [m]."""
TURN_RAD = {'left': math.pi / 2, 'right': -math.pi / 2, 'around': math.pi}
"""Direction to the angle that the scripted expert and the scripted policy turn by [rad]."""
TURNS = tuple(TURN_RAD)
WAVE_S = 6.0
"""For how long the scripted expert and the scripted policy wave [s]."""
GESTURES = ('wave', 'raise_left', 'raise_right', 'look_left', 'look_right', 'look_up', 'look_down')

FAMILIES = ('move', 'turn', 'stop', 'go_to', 'reach', 'gesture')
OBJECT_FAMILIES = ('go_to', 'reach')
"""Families whose arguments name an object."""
HAND_FAMILIES = ('pick', 'place')
"""Families for robots whose hands have fingers. Trained models know none of them."""
WHICH = {'go_to': ('left', 'right', 'near', 'far'), 'reach': ('left', 'right')}
"""Family to what tells one of several objects of one colour and shape from the others, as the
robot sees them at the start: the leftmost, rightmost, nearest, farthest. On a table all are as
near."""
OUT_OF_SCOPE = 'out_of_scope'
"""In the place of a family: what the robot cannot do and must not try. For evaluation only."""
STEPS, QUANTITY = 'steps', 'quantity'
"""In the place of a family: several tasks in one instruction; so much of one task. For evaluation
only."""

ARGUMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    'move': {'direction': tuple(MOVES)}, 'turn': {'direction': TURNS}, 'stop': {},
    **{family: {'colour': COLOURS, 'shape': SHAPES} for family in OBJECT_FAMILIES},
    'gesture': {'gesture': GESTURES}, OUT_OF_SCOPE: {},
    'pick': {'colour': COLOURS, 'shape': SHAPES},
    'place': {'colour': COLOURS, 'shape': SHAPES, 'by_colour': COLOURS, 'by_shape': SHAPES}}
"""Family to its arguments, in order, and the values of each."""


def keys_of(family: str) -> tuple[str, ...]:
    """Every task key of a family, the last argument changing fastest."""
    return tuple(':'.join((family, *values))
                 for values in itertools.product(*ARGUMENTS[family].values()))


TASK_KEYS: tuple[str, ...] = tuple(key for family in FAMILIES for key in keys_of(family))
"""All 47 task keys, in a fixed order."""


def family_of(task_key: str) -> str:
    """The family of a task key; UserError if there is no such task."""
    if task_key not in TASK_KEYS:
        raise UserError(f'Unknown task {task_key!r}. Tasks are {", ".join(TASK_KEYS[:8])}, ... '
                        '(family:argument, see tasks/vocabulary.py).')
    return task_key.split(':')[0]
