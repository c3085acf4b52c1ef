"""A policy of one's own in a hundred lines, with no network: it walks to what has the colour.

    vla serve --policy examples.colour:ToColour &
    vla demo --interactive --policy openpi://localhost:8000 --allow-uncalibrated
    vla trust --policy openpi://localhost:8000 --episodes 300 --out out/colour

It understands "walk forward", "turn left" and "go to the red box", heeds colours and not shapes,
and knows nothing of how likely it is to succeed: that is measured from outside.
"""

from __future__ import annotations

import math
from copy import copy

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import (
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    Observation,
    PolicySpec,
    Prompt,
    StateFeature,
    UnreadableError,
)
from vla_humanoid_control.robot.spec import RobotSpec

HUES = {'red': 0, 'crimson': 0, 'scarlet': 0, 'yellow': 26, 'golden': 26, 'green': 62,
        'emerald': 62, 'blue': 108, 'navy': 108}
"""Of OpenCV, in [0, 180)."""
_HUE_WIDTH, _LEAST_SATURATION, _LEAST_PIXELS = 12, 90, 12
_HALF_HEIGHT = math.tan(math.radians(75) / 2)  # of the image, at a distance of 1
_CAMERA_M, _NEAR_M = 1.1, 0.55  # above what it looks for; where it stops
_ROWS, _DT_S = 8, 0.1


class ToColour:
    """Turns to the largest patch of a colour, and walks until it is near."""

    def __init__(self, robot: RobotSpec) -> None:
        self.spec = PolicySpec(
            images=(ImageFeature('head', (160, 120)),),
            states=(StateFeature('neck', ('neck_pitch',)),
                    StateFeature('travelled', ('x', 'y', 'yaw')),
                    StateFeature('elapsed', ('seconds',))),
            actions=ActionSpace((
                ActionGroup('base', ActionKind.BASE_TWIST, ('base/linear_x', 'base/angular_z')),
                ActionGroup('neck', ActionKind.JOINT_POSITION, ('neck_pitch',))), _ROWS, _DT_S))
        self._home = float(robot.home[robot.joint_names.index('neck_pitch')])

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction. Raises UnreadableError where it has none of the words."""
        words = set(prompt.text.lower().replace(',', ' ').replace('.', ' ').split())
        self._hue = next((hue for colour, hue in HUES.items() if colour in words), None)
        self._turn = 1.0 if 'left' in words else -1.0 if 'right' in words else 0.0
        self._is_turn = bool(words & {'turn', 'rotate'})
        forward = words & {'forward', 'forwards', 'ahead'}
        if self._hue is None and not (self._is_turn and self._turn) and not forward:
            raise UnreadableError('it says neither a colour, nor forward, nor where to turn')

    def infer(self, observation: Observation) -> ActionChunk:
        """What to do now, the same in all rows."""
        pitch = float(observation.state['neck'][-1, 0])
        x, _, yaw = observation.state['travelled'][-1]
        if self._hue is not None:
            return self._approach(_patch(observation.images['head'][-1], self._hue), pitch)
        if self._is_turn:
            left = math.pi / 2 - yaw * self._turn
            return self._chunk(0.0, self._turn * min(0.7, 1.5 * left), self._home, left < 0.1,
                               1 - left / 1.6)
        return self._chunk(min(0.35, 1.5 * (0.9 - x)), -yaw, self._home, x > 0.8, x / 0.9)

    def fork(self) -> ToColour:
        """One more of it, with an instruction of its own, for a second robot."""
        return copy(self)

    def close(self) -> None:
        """Nothing is held."""

    def _approach(self, patch: tuple[float, float] | None, pitch: float) -> ActionChunk:
        if patch is None:  # look around
            return self._chunk(0.0, 0.6, 0.35, False, 0.0)
        right, down = patch
        below = pitch + math.atan(down * _HALF_HEIGHT)  # the horizon [rad]
        distance_m = _CAMERA_M / math.tan(max(below, 0.05))
        near = distance_m < _NEAR_M and abs(right) < 0.3
        left_m = max(0.0, distance_m - _NEAR_M + 0.1)
        forward = 0.0 if abs(right) > 0.5 else min(0.35, 0.8 * left_m)
        return self._chunk(0.0 if near else forward, -0.9 * right,
                           min(0.9, max(0.0, pitch + 0.6 * down)), near,
                           min(1.0, _NEAR_M / distance_m))

    def _chunk(self, forward: float, turning: float, pitch: float, done: bool, progress: float
               ) -> ActionChunk:
        row = np.array([forward, turning, pitch], np.float32)
        return ActionChunk(np.tile(row, (_ROWS, 1)),
                           1.0 if done else min(0.9, max(0.0, progress)))


def _patch(image: NDArray[np.uint8], hue: int) -> tuple[float, float] | None:
    """Where the largest patch of a hue is: right and down of the middle, each in [-1, 1]."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
    away = np.abs((hsv[..., 0] - hue + 90) % 180 - 90)
    mask = ((away < _HUE_WIDTH) & (hsv[..., 1] > _LEAST_SATURATION) & (hsv[..., 2] > 40))
    count, _, about, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2 or about[1:, cv2.CC_STAT_AREA].max() < _LEAST_PIXELS:
        return None
    x, y = centres[1 + int(about[1:, cv2.CC_STAT_AREA].argmax())]
    height, width = mask.shape
    return 2 * float(x) / width - 1, 2 * float(y) / height - 1
