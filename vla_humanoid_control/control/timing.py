"""Time limits of the graph that follow from how often a policy is asked and how long it takes.

A slow policy needs patience, and patience lets a robot act on what it saw long ago: so there is an
end to it. Whoever sets one of these limits in a parameter file has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.support.errors import UserError

NodeParameters = Mapping[str, Mapping[str, float]]
"""Node to parameter to value."""
OLDEST_S = 2.0
"""No frame that is older may be acted on; the upper bound of safety's own limit [s]."""
FASTEST_HZ = 100.0
"""The most proposals in a second [Hz]."""
_JITTER_S = 0.2  # cameras, transport and schedulers, at their worst


@dataclass(frozen=True)
class Timing:
    """Time limits for one policy.

    Attributes:
        rate_hz: Proposals per second [Hz].
        hang_timeout_s: An inference that takes longer counts as hung [s].
        stale_after_s: Proposals without a new frame behind them for longer are stale [s].
        proposal_timeout_s: Safety stops when the newest frame behind a proposal is so old [s].
        max_stamp_age_s: Safety refuses proposals whose stamp is older [s].
    """

    rate_hz: float = 1.0 / CHUNK_DT_S
    hang_timeout_s: float = 1.0
    stale_after_s: float = 0.5
    proposal_timeout_s: float = 0.4
    max_stamp_age_s: float = 0.5

    @staticmethod
    def of(spec: ControlSpec, who: str = 'The policy') -> Timing:
        """Those of a policy; none is shorter than for our own.

        Args:
            spec: What the policy says of itself.
            who: The policy, for messages.

        Raises:
            UserError: It is too slow, or too fast.
        """
        # Of the frame that is acted on, just before the next answer.
        oldest_s = spec.latency_s + spec.period_s
        if oldest_s + _JITTER_S > OLDEST_S:
            raise UserError(
                f'{who} is asked every {1.0 / spec.rate_hz:.2g} s and takes '
                f'{spec.latency_s:.2g} s to answer, so that the robot would act on what it saw '
                f'{oldest_s:.2g} s ago. At most {OLDEST_S - _JITTER_S:.2g} s are allowed: run it '
                'on a faster machine, or correct rate_hz and latency_s where the policy says '
                'them.')
        if spec.rate_hz > FASTEST_HZ:
            raise UserError(f'{who} wants to be asked {spec.rate_hz:g} times a second, at most '
                            f'{FASTEST_HZ:g} are possible.')
        least = Timing()
        return Timing(
            max(least.rate_hz, spec.rate_hz), max(least.hang_timeout_s, 10.0 * spec.latency_s),
            max(least.stale_after_s, spec.period_s + 2 * _JITTER_S),
            max(least.proposal_timeout_s, oldest_s + _JITTER_S),
            max(least.max_stamp_age_s, oldest_s + _JITTER_S + 0.1))

    def parameters(self) -> NodeParameters:
        """Node to its parameters that are not those of the code."""
        return {
            'vla_controller': {'rate_hz': self.rate_hz, 'hang_timeout_s': self.hang_timeout_s},
            'confidence_monitor': {'gate.stale_after_s': self.stale_after_s},
            'safety_monitor': {'safety.proposal_timeout_s': self.proposal_timeout_s,
                               'safety.max_stamp_age_s': self.max_stamp_age_s}}
