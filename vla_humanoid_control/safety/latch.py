"""What stays until a person says otherwise: emergency stop, lost heartbeat, requested stop."""

from __future__ import annotations

from collections.abc import Iterator

from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.states import ESTOP, HOLD, STOP, Cause


class Latch:
    """Emergency stop and its reset.

    After a reset the robot holds until a command without motion was seen: a command that stood
    before the reset, or a controller that never noticed the stop, moves nothing.
    """

    def __init__(self, config: SafetyConfig) -> None:
        self.config = config
        self.reason = 'comes up latched; reset to begin' if config.start_latched else ''
        self._pressed_by: dict[str, None] = {}  # in order of pressing
        self._lies = False
        self._requested = ''
        self._heartbeat_s: float | None = None
        self._needs_new_command = False

    def press(self, pressed: bool, source: str) -> None:
        """The emergency stop of one source is pressed, or no longer."""
        if pressed:
            self._pressed_by[source] = None
            self.reason = f'emergency stop ({source})'
        else:
            self._pressed_by.pop(source, None)

    def lies(self, problem: str) -> None:
        """Why the robot counts as lying, or '' where it is upright; a fall latches."""
        if problem and not self._lies:
            self.reason = problem
        self._lies = bool(problem)

    def on_heartbeat(self, now_s: float) -> None:
        """The operator is there; whoever was away for too long before has latched all the same."""
        self._latch_lost_heartbeat(now_s)
        self._heartbeat_s = now_s

    def heartbeat_age_s(self, now_s: float) -> float:
        """Time since the operator was last heard; infinite before the first time [s]."""
        return float('inf') if self._heartbeat_s is None else max(now_s - self._heartbeat_s, 0.0)

    def request_stop(self, reason: str) -> None:
        """Stop without latching, until taken back with an empty reason."""
        self._requested = reason

    def on_command(self, is_motion: bool) -> None:
        """A valid command arrived; one without motion arms the robot again."""
        if not is_motion:
            self._needs_new_command = False

    def reset(self, motion_command_stands: bool, now_s: float) -> tuple[bool, str]:
        """Clear the latch, or say why not."""
        if self._pressed_by:
            return False, f'Refused: the emergency stop is still pressed ({self._sources}).'
        if self._lies:
            return False, 'Refused: the robot lies. Set it on its feet first.'
        if self._heartbeat_lost(now_s):
            return False, 'Refused: the operator heartbeat is still lost.'
        if self._heartbeat_missing:  # it may be what latched the process before this one
            return False, 'Refused: the operator heartbeat is missing.'
        if motion_command_stands:
            return False, 'Refused: a motion command stands. Say stop first.'
        was_latched = bool(self.reason)
        self.reason, self._requested = '', ''
        self._needs_new_command = was_latched
        return True, 'Reset; waiting for a new command.' if was_latched else 'Nothing was latched.'

    def causes(self, now_s: float) -> Iterator[Cause]:
        """What the latch demands now. A lost heartbeat latches here."""
        self._latch_lost_heartbeat(now_s)
        if self._heartbeat_missing:
            yield Cause('missing', STOP, 'operator heartbeat missing')
        if self.reason:
            yield Cause('latched', ESTOP, self.reason)
        if self._requested:
            yield Cause('requested', STOP, self._requested)
        if self._needs_new_command:
            yield Cause('reset', HOLD, 'reset: waiting for the command before it to end')

    def _latch_lost_heartbeat(self, now_s: float) -> None:
        if self._heartbeat_lost(now_s) and not self.reason:
            timeout_s = self.config.heartbeat_timeout_s
            self.reason = f'operator heartbeat lost for more than {timeout_s:g} s'

    @property
    def _sources(self) -> str:
        return ', '.join(self._pressed_by)

    @property
    def _heartbeat_missing(self) -> bool:
        """It is asked for, and was never heard."""
        return self.config.heartbeat_timeout_s > 0 and self._heartbeat_s is None

    def _heartbeat_lost(self, now_s: float) -> bool:
        timeout_s = self.config.heartbeat_timeout_s
        return timeout_s > 0 and self._heartbeat_s is not None \
            and now_s - self._heartbeat_s > timeout_s
