"""Every threshold of the safety gate: declared once, with bounds and a description."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import CONTROL_PERIOD_S


def _value(default: Any, lower: float, upper: float, description: str) -> Any:
    """A number, or an array of numbers of fixed size, within [lower, upper]."""
    return field(default=default, metadata={'description': description, 'lower': lower,
                                            'upper': upper})


def _switch(default: bool, description: str) -> Any:
    """True or false; switching off is refused while the robot moves."""
    return field(default=default, metadata={'description': description})


@dataclass(frozen=True)
class SafetyConfig:
    """Thresholds of the safety gate; limits of the body itself are in the robot file.

    Each field's metadata holds its description and, for numbers, its lower and upper bound. Values
    are checked when an instance is made.

    Raises:
        UserError: A value is of the wrong type or size, not finite, or outside its bounds.
    """

    rate_hz: float = field(default=1.0 / CONTROL_PERIOD_S, metadata={
        'description': 'Commands a second [Hz]', 'lower': 10.0, 'upper': 500.0, 'fixed': True})
    proposal_timeout_s: float = _value(
        0.4, 0.05, 2.0, 'Stop when the newest camera frame behind a proposal is so old [s]')
    max_stamp_age_s: float = _value(
        0.5, 0.05, 5.0, 'A reading or proposal with an older stamp is rejected [s]')
    max_stamp_ahead_s: float = _value(
        0.1, 0.0, 1.0, 'A reading or proposal stamped further in the future is rejected [s]')
    sensor_timeout_scale: float = _value(
        1.0, 0.1, 2.0, "Multiplies the robot file's sensor timeouts")
    recover_s: float = _value(
        0.3, 0.0, 10.0, 'Every cause of a stop must be gone for so long before motion resumes [s]')
    heartbeat_timeout_s: float = _value(
        0.0, 0.0, 10.0, 'Emergency stop after so long without operator heartbeat; 0: none [s]')
    require_listener: bool = _switch(
        True, 'Stop while no base listens to /cmd_vel, or the controller cannot hear it')
    start_latched: bool = _switch(False, 'Come up in emergency stop, so that a person must reset')

    watch_scan: bool = _switch(True, 'Watch /scan and avoid collisions, where the robot has one')
    watch_imu: bool = _switch(True, 'Watch the IMU and the tilt, where the robot has one')
    watch_odom: bool = _switch(True, 'Watch odometry, and whether the base follows, where the '
                               'robot has it')
    watch_depth: bool = _switch(True, 'Watch depth and avoid collisions, where the robot has it')
    watch_cameras: bool = _switch(False, 'Stop when a camera falls silent. Proposals carry the '
                                  'stamp of a camera frame, so their watchdog sees to that too')
    watch_frozen: bool = _switch(True, 'Inputs that repeat to the last bit count as stale')
    watch_posture: bool = _switch(True, 'Check self-collision and balance, where there is a model')
    frozen_after_s: float = _value(
        0.5, 0.1, 5.0, 'An input that repeats to the last bit for so long is frozen [s]')
    frozen_at_rest: bool = _switch(False, 'Also call an input frozen while the robot stands '
                                   'still; for sensors with noise, as real ones have')

    base_velocity_scale: tuple[float, float, float] = _value(
        (1.0, 1.0, 1.0), 0.01, 1.0, "Shares of the robot file's base velocity limits (x, y, yaw)")
    joint_velocity_scale: float = _value(
        1.0, 0.01, 1.0, "Share of the robot file's joint velocity limits")
    max_tracking_error: float = _value(
        0.5, 0.02, 3.0, 'Stop when a joint is further from its command [rad; m]')
    tracking_s: float = _value(0.4, 0.0, 5.0, '... for so long [s]')
    max_base_error: tuple[float, float] = _value(
        (0.1, 0.25), 0.02, 2.0, 'Stop when the base is off from its command by more, and by more '
        'than half of it (linear, angular) [m/s, rad/s]')
    base_tracking_s: float = _value(0.8, 0.1, 5.0, '... for so long [s]')
    base_lag_s: float = _value(
        0.5, 0.0, 2.0, 'So much later than a command the base may follow it [s]')

    slow_ttc_s: float = _value(1.5, 0.2, 10.0, 'Slow down below this time to collision [s]')
    stop_ttc_s: float = _value(0.4, 0.1, 5.0, 'Stop below this time to collision [s]')
    stop_margin_m: float = _value(0.05, 0.0, 1.0, 'Distance kept around the footprint [m]')
    min_points: int = _value(3, 1, 50, 'Fewer points than this are no obstacle')
    debounce_scans: int = _value(
        2, 1, 5, 'An obstacle must be in k of the last 2k - 1 scans: one bad scan decides nothing')
    reaction_s: float = _value(
        0.1, 0.0, 1.0, 'Delay from obstacle to braking that speed must leave room for [s]')
    min_valid_fraction: float = _value(
        0.5, 0.05, 1.0, 'A scan or depth image with a smaller share of measurements is rejected')

    self_clearance_m: float = _value(
        0.003, 0.0, 0.1, 'Distance that parts of the body keep from each other [m]')
    graze_m: float = _value(
        0.02, 0.0, 0.1, 'A target that reaches deeper into the body than this is refused; one '
        'that only grazes it is followed as far as nothing touches [m]')
    balance_margin_m: float = _value(
        0.01, 0.0, 0.2, 'Distance that the centre of mass keeps from the edge of the feet [m]')

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            value = _checked(entry, getattr(self, entry.name))
            object.__setattr__(self, entry.name, value)
        if not self.stop_ttc_s < self.slow_ttc_s:
            raise UserError(f'Safety parameter stop_ttc_s ({self.stop_ttc_s}) must be below '
                            f'slow_ttc_s ({self.slow_ttc_s}).')

    def replace(self, changes: Mapping[str, Any]) -> SafetyConfig:
        """A copy with some values changed.

        Raises:
            UserError: A name is unknown, or a value is not accepted.
        """
        known = {entry.name for entry in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise UserError(f'Safety parameter {name!r} does not exist. '
                                f'There are: {", ".join(sorted(known))}.')
        return dataclasses.replace(self, **changes)

    def change_problem(self, changes: Mapping[str, Any], at_rest: bool) -> str:
        """Why values must not change so while the gate runs; '' where they may.

        Args:
            changes: Names and new values.
            at_rest: Whether the robot is commanded to stand still.
        """
        try:
            config = self.replace(changes)
        except UserError as error:
            return str(error)
        if config.rate_hz != self.rate_hz:
            return 'Safety parameter rate_hz is fixed at start.'
        off = [name for name in changes
               if getattr(config, name) is False and getattr(self, name) is True]
        if self.heartbeat_timeout_s > 0 and config.heartbeat_timeout_s == 0:
            off.append('heartbeat_timeout_s')
        if off and not at_rest:
            return f'{", ".join(off)} cannot be switched off while the robot moves.'
        return ''


def _checked(entry: dataclasses.Field[Any], value: Any) -> Any:
    """`value` in the type of the field's default."""
    where, default = f'Safety parameter {entry.name}', entry.default
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UserError(f'{where} must be true or false, got {value!r}.')
        return value
    lower, upper = entry.metadata['lower'], entry.metadata['upper']
    if isinstance(default, tuple):
        if isinstance(value, (str, bytes)) or (not isinstance(value, Sequence) \
                and not hasattr(value, 'tolist')) or len(value) != len(default):
            raise UserError(f'{where} must be {len(default)} numbers, got {value!r}.')
        return tuple(_number(where, v, lower, upper) for v in value)
    number = _number(where, value, lower, upper)
    if isinstance(default, int):
        if number != int(number):
            raise UserError(f'{where} must be a whole number, got {value!r}.')
        return int(number)
    return number


def _number(where: str, value: Any, lower: float, upper: float) -> float:
    if hasattr(value, 'item') and getattr(value, 'ndim', None) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) \
            or not lower <= value <= upper:
        raise UserError(f'{where} must be a number in [{lower}, {upper}], got {value!r}.')
    return float(value)
