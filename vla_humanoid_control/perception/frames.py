"""Which camera frames may be trusted, and which belong together. Pure: times are arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.bounds import bounded, check_bounds

_YEAR_S = 365.25 * 86400
_OTHER_TIME_S = 0.1 * _YEAR_S  # no clock is off by so much that is of the same kind
_OTHER_TIME = ('it counts from another beginning. Set use_sim_time in all nodes or in none, and '
               "have the camera driver stamp with the system's clock")
_SYNCHRONISE = 'Synchronise them with chrony or PTP'


@dataclass(frozen=True)
class FrameLimits:
    """When a frame is refused.

    Attributes:
        max_age_s: Stamps older than this against the robot's clock are refused [s].
        max_ahead_s: Stamps further ahead of the robot's clock are refused [s].
        max_skew_s: Frames of several cameras further apart are no pair [s].
        frozen_after_s: Identical pixels for this long while the base moves mean that the camera
            hangs [s].
        frozen_at_rest: They mean that too while the base stands. For cameras with noise, as real
            ones have; others may honestly repeat themselves then.

    Raises:
        ValueError: A limit is outside its bounds.
    """

    max_age_s: float = bounded(1.0, 0.01, 5.0)
    max_ahead_s: float = bounded(0.5, 0.01, 5.0)
    max_skew_s: float = bounded(0.1, 0.01, 1.0)
    frozen_after_s: float = bounded(0.4, 0.01, 5.0)
    frozen_at_rest: bool = False

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Frame:
    """One accepted camera frame.

    Attributes:
        stamp_ns: When it was taken, in the robot's clock [ns].
        arrival_s: When it came, on the steady clock [s].
        pixels: RGB, uint8 [H, W, 3].
    """

    stamp_ns: int
    arrival_s: float
    pixels: NDArray[np.uint8]


@dataclass
class _Camera:
    newest: Frame | None = None
    seen_s: float = 0.0  # when the last frame with a good stamp came
    frozen_s: float = 0.0  # for how long the pixels did not change although they should have
    frozen: bool = False
    problem: str = ''
    rejected: int = 0
    accepted: int = 0


@dataclass
class FrameStore:
    """Keeps the newest good frame of each camera and hands out matching sets.

    A zero stamp is refused: without a time of capture nobody can tell how old a frame is.

    Args:
        cameras: Names of the cameras.
        limits: May be replaced while running.
    """

    cameras: Iterable[str]
    limits: FrameLimits = field(default_factory=FrameLimits)

    def __post_init__(self) -> None:
        self._cameras = {name: _Camera() for name in self.cameras}

    def add(self, camera: str, pixels: NDArray[np.uint8], stamp_ns: int, robot_now_ns: int,
            now_s: float, moving: bool = False) -> str:
        """Take a frame.

        Args:
            camera: Its camera.
            pixels: RGB, uint8 [H, W, 3]; kept, so not to be written to.
            stamp_ns: Time of capture, in the robot's clock [ns].
            robot_now_ns: The robot's clock [ns].
            now_s: Steady clock [s].
            moving: Whether the robot moves, so that the picture has to change.

        Returns:
            Why it was refused; '' if it was accepted.
        """
        state = self._cameras[camera]
        problem = self._stamp_problem(stamp_ns, robot_now_ns)
        if not problem:
            if not _same(state.newest, pixels):
                state.frozen_s, state.frozen = 0.0, False
            elif moving or self.limits.frozen_at_rest:
                state.frozen_s += now_s - state.seen_s
            frozen_s = state.frozen_s
            state.seen_s = now_s
            # Once frozen, only another picture clears it: the robot is at rest by then.
            state.frozen = state.frozen or frozen_s > self.limits.frozen_after_s
            if state.frozen:
                problem = f'the picture has not changed for {frozen_s:.1f} s'
        if problem:
            return self.reject(camera, problem)
        state.newest = Frame(stamp_ns, now_s, pixels)
        state.problem = ''
        state.accepted += 1
        return ''

    def reject(self, camera: str, problem: str) -> str:
        """Count a frame that could not even be decoded; gives the problem back."""
        state = self._cameras[camera]
        state.problem = f'camera {camera}: {problem}'
        state.rejected += 1
        return state.problem

    def matching(self, now_s: float) -> tuple[dict[str, Frame], str]:
        """The newest frame of every camera, or why there is no such set.

        Returns:
            Camera name to frame and '', or an empty mapping and the reason.
        """
        frames: dict[str, Frame] = {}
        for name, state in self._cameras.items():
            if state.newest is None:
                return {}, state.problem or f'camera {name}: no frame yet'
            age_s = now_s - state.newest.arrival_s
            if age_s > self.limits.max_age_s:
                return {}, state.problem or f'camera {name}: no frame for {age_s:.1f} s'
            frames[name] = state.newest
        stamps = [f.stamp_ns for f in frames.values()]
        skew_s = (max(stamps) - min(stamps)) * 1e-9 if stamps else 0.0
        if skew_s > self.limits.max_skew_s:
            return {}, f'cameras are {skew_s:.2f} s apart'
        return frames, ''

    @property
    def problem(self) -> str:
        """What was wrong with the newest frame of any camera; '' where nothing was."""
        return '; '.join(s.problem for s in self._cameras.values() if s.problem)

    @property
    def counts(self) -> dict[str, int]:
        """Frames accepted and rejected, by camera."""
        result = {}
        for name, state in self._cameras.items():
            result[f'{name}.accepted'] = state.accepted
            result[f'{name}.rejected'] = state.rejected
        return result

    def _stamp_problem(self, stamp_ns: int, robot_now_ns: int) -> str:
        if robot_now_ns <= 0:
            return 'its age is unknown: use_sim_time is set, and no time has come on /clock'
        if stamp_ns <= 0:
            return 'the stamp is zero: its driver has to say when a frame was taken'
        age_s = (robot_now_ns - stamp_ns) * 1e-9
        if age_s > self.limits.max_age_s:
            return f'the stamp is {_said(age_s)} old: ' + (
                _OTHER_TIME if age_s > _OTHER_TIME_S else 'the frame took so long, or the '
                f"camera's clock is behind this machine's. {_SYNCHRONISE}")
        if age_s < -self.limits.max_ahead_s:
            return f'the stamp is {_said(-age_s)} ahead: ' + (
                _OTHER_TIME if -age_s > _OTHER_TIME_S else "the camera's clock is ahead of this "
                f"machine's. {_SYNCHRONISE}")
        return ''


def _said(time_s: float) -> str:
    return f'{time_s:.2f} s' if time_s < _OTHER_TIME_S else f'{time_s / _YEAR_S:.1f} years'


def _same(frame: Frame | None, pixels: NDArray[np.uint8]) -> bool:
    if frame is None or frame.pixels.shape != pixels.shape:
        return False
    # A row decides nearly always, and spares comparing the rest.
    middle = pixels.shape[0] // 2
    return bool(np.array_equal(frame.pixels[middle], pixels[middle])
                and np.array_equal(frame.pixels, pixels))
