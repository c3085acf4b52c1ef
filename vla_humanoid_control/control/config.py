"""Settings of the controller and of a task: declared once, with bounds and a description."""

from __future__ import annotations

from dataclasses import dataclass

from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.language.plan import Quantity, Unit
from vla_humanoid_control.support.bounds import bounded, check_bounds
from vla_humanoid_control.types import CONTROL_PERIOD_S


@dataclass(frozen=True)
class ControllerConfig:
    """How often a controller proposes, and what it does not act on.

    Attributes:
        rate_hz: Proposals per second; a policy may want to be asked less often [Hz].
        ensembling: Weight decay m of temporal ensembling; see `ChunkPlayback`.
        joints_max_age_s: Older joint states are not acted on [s].
        odometry_max_age_s: Older odometry, where the robot file lists it, is not acted on [s].
        hang_timeout_s: An inference that takes longer counts as hung [s].
        stop_delay_s: From the proposal of a hold until the base begins to brake. A base that
            follows late comes too far where this is too short, on 'walk forward two metres' [s].
        detour_s: On its way to an object the base steps around what it would meet within this
            time, and what it goes to is what it slows down before; 0 for never [s].
    """

    rate_hz: float = bounded(1.0 / CHUNK_DT_S, 1.0, 100.0, at_start=True)
    ensembling: float = bounded(0.01, -2.0, 2.0, at_start=True)
    joints_max_age_s: float = bounded(0.3, 0.02, 5.0)
    odometry_max_age_s: float = bounded(0.5, 0.02, 5.0)
    hang_timeout_s: float = bounded(1.0, 0.1, 60.0)
    stop_delay_s: float = bounded(2 * CONTROL_PERIOD_S, 0.0, 1.0)
    detour_s: float = bounded(0.8, 0.0, 3.0)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class TaskConfig:
    """Limits of one task; of each step, where an instruction has several.

    Attributes:
        time_limit_s: From the command to FAILED, held time included [s].
        slowest_mps: How fast a slow base gets on, pauses included: 'walk forward two metres' has
            the time limit, and as long as two metres take at this speed [m/s].
        slowest_radps: The same of a turn [rad/s].
        max_retries: Retries with another wording before FAILED.
        hold_timeout_s: A gate that stays closed this long leads to a retry [s].
        settle_s: A start whose gate is still closed after this long shows as HELD [s].
        done_threshold: Progress from which the policy means 'done'.
        done_ticks: Consecutive inferences that must say so.
        rest_threshold: Progress from which a policy that has come to rest means 'done', too.
        rest_s: How long it must be at rest [s].
        answer_timeout_s: How long a question waits for its answer [s].

    Raises:
        ValueError: A value is outside its bounds.
    """

    time_limit_s: float = bounded(30.0, 0.1, 3600.0)
    slowest_mps: float = bounded(0.1, 0.01, 10.0)
    slowest_radps: float = bounded(0.2, 0.01, 10.0)
    max_retries: int = bounded(3, 0, 20)
    hold_timeout_s: float = bounded(2.0, 0.05, 60.0)
    settle_s: float = bounded(0.5, 0.01, 60.0)
    done_threshold: float = bounded(0.85, 0.05, 1.0)
    done_ticks: int = bounded(6, 1, 100)
    rest_threshold: float = bounded(0.45, 0.05, 1.0)
    rest_s: float = bounded(2.0, 0.5, 60.0)
    answer_timeout_s: float = bounded(30.0, 1.0, 3600.0)

    def __post_init__(self) -> None:
        check_bounds(self)

    def limit_s(self, quantity: Quantity | None) -> float:
        """Time limit of a step: so much longer as its quantity takes a slow robot [s]."""
        if quantity is None:
            return self.time_limit_s
        slowest = self.slowest_mps if quantity.unit is Unit.METRES else self.slowest_radps
        return self.time_limit_s + quantity.value / slowest
