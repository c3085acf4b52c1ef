"""A gesture that is done more than once: up, down again, and up, as the joints tell.

A policy that has raised a hand leaves it there, and says at once that it is raised where it is
told so again. Between two of the same gesture the controller moves the joints that it needs back
to where they are at home; no policy is asked meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping

from vla_humanoid_control.robot.spec import RobotSpec

RETURNING = ('gesture:raise', 'gesture:look')
"""What ends elsewhere than it begins, and can be taken back."""
_SHARE = 0.7  # of the way to its posture: from there on a gesture counts
_BACK_SHARE, _BACK_LEAST = 0.2, 0.1  # of the way left, or so much [rad]: it is back


class GestureWatch:
    """Follows one of several repetitions of a gesture by the joints that it moves.

    Args:
        key: The task, such as 'gesture:raise_left'.
        robot: Whose joints they are.

    Raises:
        ValueError: The robot file does not say what the gesture looks like.

    Attributes:
        home: Name of each joint that it moves to where it is without the gesture [rad].
        is_shown: Whether the joints came to it, since the watch began.
        is_back: Whether they are at home.
    """

    def __init__(self, key: str, robot: RobotSpec) -> None:
        name = key.partition(':')[2]
        controlled = {j.name: j.home for j in robot.controlled}
        posture = {n: at for n, at in robot.gestures.postures.get(name, {}).items()
                   if n in controlled and at != controlled[n]}
        if not posture:
            raise ValueError(f'the robot file has no posture {name}, by which it could be counted')
        self.home = {n: controlled[n] for n in posture}
        self._ways = {n: at - controlled[n] for n, at in posture.items()}
        self._main = max(posture, key=lambda n: abs(self._ways[n]))
        least = robot.gestures.looks.get(name, {}).get(self._main)
        self._least = _SHARE if least is None else \
            (least - self.home[self._main]) / self._ways[self._main]
        self.is_shown = self.is_back = False
        self._now: dict[str, float] = {}

    def take(self, positions: Mapping[str, float]) -> None:
        """The joints are there now [rad]; of one that is missing, what was heard last holds."""
        self._now |= {n: at - self.home[n] for n, at in positions.items() if n in self.home}
        if len(self._now) < len(self.home):
            return
        self.is_shown |= self._now[self._main] / self._ways[self._main] >= self._least
        self.is_back = all(abs(off) <= max(_BACK_LEAST, _BACK_SHARE * abs(self._ways[n]))
                           for n, off in self._now.items())
