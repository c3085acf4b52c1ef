"""Leg motion to go with the base's: a stand-in for a robot's own walking controller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HOME = {'hip_yaw': 0.0, 'hip_roll': 0.0, 'hip_pitch': -0.15, 'knee': 0.30, 'ankle_pitch': -0.15,
         'ankle_roll': 0.0}
STEP_RATE_HZ = 1.4


class Gait:
    """Legs swing in proportion to the commanded speed, and stand when it is zero."""

    def __init__(self) -> None:
        self._phase = 0.0
        self._amplitude = 0.0

    def targets(self, twist: NDArray[np.float64], duration_s: float) -> dict[str, float]:
        """Leg joint targets [rad] after `duration_s` more of a base twist [3]."""
        speed = abs(twist[0]) / 0.5 + abs(twist[1]) / 0.4 + abs(twist[2]) / 1.2
        wanted = 0.28 * min(1.0, speed)
        blend = min(1.0, duration_s / 0.15)
        self._amplitude += (wanted - self._amplitude) * blend
        if wanted > 0 or self._amplitude > 0.02:
            self._phase += 2 * np.pi * STEP_RATE_HZ * duration_s
        forward = -1.0 if twist[0] < -0.02 else 1.0
        result = {}
        for side, offset in (('left', 0.0), ('right', np.pi)):
            swing = self._amplitude * np.sin(self._phase + offset)
            lift = self._amplitude * max(0.0, np.cos(self._phase + offset)) * 2.2
            joints = dict(_HOME)
            joints['hip_pitch'] += -forward * swing - lift * 0.5
            joints['knee'] += lift
            joints['ankle_pitch'] += forward * swing - lift * 0.5
            result.update({f'{side}_{name}': value for name, value in joints.items()})
        return result
