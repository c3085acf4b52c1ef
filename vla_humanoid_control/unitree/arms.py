"""Taking the arms from the robot's own controller, and giving them back: never at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_LONGEST_STEP_S = 0.1  # the weight goes no further in one step, however late it is
_LAST_WORDS_S = 0.5  # how long a weight of zero is still sent, so that it is heard


@dataclass(frozen=True)
class ArmCommand:
    """What to tell the robot.

    Attributes:
        targets: Joint to position [rad].
        weight: How much the robot is to follow them, 0 to 1.
    """

    targets: Mapping[str, float]
    weight: float


class ArmHandover:
    """The weight rises while commands and measurements are fresh, and falls when either is not.

    While it falls, the targets stay those that were heard last. Time is an argument, in seconds of
    a steady clock.

    Args:
        joints: All joints that the robot is told of. Until there is a target for one, it stays
            where it is when the weight leaves zero.
        ramp_s: Time from no weight to the whole, and back [s].
        timeout_s: Commands and measurements that are older are stale [s].
    """

    def __init__(self, joints: tuple[str, ...], ramp_s: float, timeout_s: float) -> None:
        self._joints, self._ramp_s, self._timeout_s = joints, ramp_s, timeout_s
        self._targets: dict[str, float] = {}
        self._kept: dict[str, float] = {}
        self._heard_s = self._measured_s = self._followed_s = float('-inf')
        self._measured: Mapping[str, float] = {}
        self._stepped_s: float | None = None
        self.weight = 0.0

    def on_targets(self, targets: Mapping[str, float], now_s: float) -> None:
        """Take a command: joint to position [rad]. Joints that it leaves out keep their target."""
        if self.weight == 0.0 and now_s - self._heard_s > self._timeout_s:
            self._targets = {}
        self._targets.update(targets)
        self._heard_s = now_s

    def on_measured(self, positions: Mapping[str, float], now_s: float) -> None:
        """Take a measurement of all joints [rad]."""
        self._measured, self._measured_s = positions, now_s

    def step(self, now_s: float, let_go: bool = False) -> ArmCommand | None:
        """What to tell the robot now; None where it is to be left alone.

        Args:
            now_s: The time [s].
            let_go: Whether the arms go back to the robot, however fresh the commands.
        """
        passed_s = min(now_s - self._stepped_s, _LONGEST_STEP_S) \
            if self._stepped_s is not None else 0.0
        self._stepped_s = now_s
        fresh = now_s - min(self._heard_s, self._measured_s) <= self._timeout_s
        follow = fresh and not let_go
        if follow and self.weight == 0.0:
            self._kept = {name: self._measured[name] for name in self._joints}
        change = passed_s / self._ramp_s * (1.0 if follow else -1.0)
        self.weight = min(max(self.weight + change, 0.0), 1.0)
        if follow or self.weight > 0.0:
            self._followed_s = now_s
        if now_s - self._followed_s > _LAST_WORDS_S:
            return None
        return ArmCommand({**self._kept, **self._targets}, self.weight)
