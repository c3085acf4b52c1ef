"""A crude policy of keywords and dead reckoning: no learning, no sight. For trying out the graph.

It moves, turns, and takes postures of the robot file: it looks, raises a hand, waves. Where it
does not know a command, or the robot not the posture, its confidence is low, so the gate stays
closed. Objects are beyond it, because it looks at no image.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import (
    CHUNK_DT_S,
    CHUNK_HORIZON,
    CONFIDENCE,
    ELAPSED,
    TRAVELLED,
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    Observation,
    PolicySpec,
    Prompt,
    StateFeature,
)
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.tasks.vocabulary import MOVE_M, MOVES, TURN_RAD, WAVE_S
from vla_humanoid_control.types import BASE_CHANNELS

MOVE_MPS = 0.3
TURN_RADPS = 0.6
POSTURE_S = 2.5
WAVE_HZ = 0.8

_LOOKS = ('left', 'right', 'up', 'down')
_PLAIN = {'ahead': 'forward', 'forwards': 'forward', 'back': 'backward', 'backwards': 'backward',
          'walk': 'move', 'go': 'move', 'step': 'move', 'rotate': 'turn', 'spin': 'turn',
          'lift': 'raise', 'gaze': 'look', 'upwards': 'up', 'downwards': 'down', 'arm': 'hand'}
_FILLERS = frozenset(('please', 'now', 'a', 'the', 'your', 'to', 'bit', 'little', 'hand', 'hello',
                      'robot', 'head', 'and'))


def understand(instruction: str) -> tuple[str, str] | None:
    """Verb and argument, such as ('turn', 'left'); None where the words are not known.

    Every word must be known: 'go left of the table' is not 'go left'.
    """
    words = [_PLAIN.get(w, w) for w in re.findall(r"[\w']+", instruction.casefold())]
    words = [w for w in words if w not in _FILLERS]
    if words == ['wave']:
        return 'wave', ''
    arguments: dict[str, Collection[str]] = {
        'move': MOVES, 'turn': TURN_RAD, 'look': _LOOKS, 'raise': ('left', 'right')}
    if len(words) == 2 and words[1] in arguments.get(words[0], ()):
        return words[0], words[1]
    return None


class ScriptedPolicy:
    """Keywords to motion, by `elapsed_s` and `travelled` alone.

    Args:
        robot: A posture or joint that it lacks is left out; such gestures are not confident.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._home = {j.name: j.home for j in robot.controlled}
        self._gestures = robot.gestures
        groups = [ActionGroup('base', ActionKind.BASE_TWIST, BASE_CHANNELS)]
        if self._home:
            groups.append(ActionGroup('joints', ActionKind.JOINT_POSITION, tuple(self._home)))
        self.spec = PolicySpec(
            (), (StateFeature(TRAVELLED, ('x', 'y', 'yaw')), StateFeature(ELAPSED, ('seconds',))),
            ActionSpace(tuple(groups), CHUNK_HORIZON, CHUNK_DT_S), gives=frozenset({CONFIDENCE}))
        self._task: tuple[str, str] | None = None

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction."""
        self._task = understand(prompt.text)

    def infer(self, observation: Observation) -> ActionChunk:
        """What the keywords ask for, given how far it went and for how long."""
        rows, progress, known = [], 0.0, self._is_known()
        travelled = observation.state[TRAVELLED][-1]
        elapsed_s = float(observation.state[ELAPSED][-1, 0])
        for step in range(self.spec.actions.horizon):
            ahead_s = step * self.spec.actions.dt_s
            twist, joints, done = self._act(travelled, elapsed_s, ahead_s)
            known = known and all(name in self._home for name in joints)
            progress = done if step == 0 else progress
            target = {**self._home, **joints}
            rows.append([*twist, *(target[c] for c in self._home)])
        return ActionChunk(np.array(rows, dtype=np.float32), progress,
                           {CONFIDENCE: np.array(0.9 if known else 0.05)})

    def close(self) -> None:
        """Nothing is held."""

    def _act(self, travelled: NDArray[np.float64], elapsed_s: float, ahead_s: float
             ) -> tuple[tuple[float, float, float], dict[str, float], float]:
        """Base twist, joint targets and progress, `ahead_s` after the observation."""
        verb, argument = self._task or ('', '')
        elapsed_s += ahead_s
        still = (0.0, 0.0, 0.0)
        if verb == 'move':
            x, y = MOVES[argument]
            left_m = MOVE_M - (x * travelled[0] + y * travelled[1])
            speed = float(np.clip(1.5 * left_m - MOVE_MPS * ahead_s, 0.0, MOVE_MPS))
            straight = float(np.clip(-travelled[2], -0.3, 0.3))
            return (speed * x, speed * y, straight), {}, _progress(left_m < 0.06, left_m / MOVE_M)
        if verb == 'turn':
            goal = TURN_RAD[argument]
            left_rad = (goal - travelled[2]) * np.sign(goal)
            rate = float(np.clip(1.5 * left_rad - TURN_RADPS * ahead_s, 0.0, TURN_RADPS))
            return ((0.0, 0.0, rate * float(np.sign(goal))), {},
                    _progress(left_rad < 0.08, left_rad / abs(goal)))
        if verb in ('look', 'raise'):
            return still, self._posture(verb, argument), _over(elapsed_s, POSTURE_S)
        if verb == 'wave':
            joints, phase = self._posture('wave', ''), np.sin(2 * np.pi * WAVE_HZ * elapsed_s)
            joints |= {name: joints[name] - amplitude * float(phase)
                       for name, amplitude in self._gestures.swing.items() if name in joints}
            return still, joints, _over(elapsed_s, WAVE_S)
        return still, {}, 0.0

    def _is_known(self) -> bool:
        """Whether the words were understood and the robot has the posture that they name."""
        return self._task is not None and (self._task[0] in ('move', 'turn')
                                           or bool(self._posture(*self._task)))

    def _posture(self, verb: str, argument: str) -> dict[str, float]:
        """Joints that leave home; none where the robot does not know that gesture."""
        name = f'{verb}_{argument}' if argument else verb
        return dict(self._gestures.postures.get(name, {}))


def _over(elapsed_s: float, duration_s: float) -> float:
    return _progress(elapsed_s >= duration_s, 1.0 - elapsed_s / duration_s)


def _progress(done: bool, left: float | NDArray[np.float64]) -> float:
    """1 when done, else up to 0.9 by the share that is left."""
    return 1.0 if done else 0.9 * float(np.clip(1.0 - left, 0.0, 1.0))
