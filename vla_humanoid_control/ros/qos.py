"""Quality of service of every topic, in one place. Depth 1 where only the newest counts."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, reliable: bool, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                    else DurabilityPolicy.VOLATILE),
    )


SENSOR_INPUT = _profile(1, reliable=False)
"""Subscriptions to sensors: matches every publisher, and a backlog of old readings cannot form."""

SENSOR_OUTPUT = _profile(1, reliable=True)
"""Publishers of sensors: matches every subscriber. A writer never waits."""

STREAM = _profile(1, reliable=True)
"""Proposals, gated proposals, commands to the robot: only the newest counts, and after a pause of
the receiver no burst of old ones follows."""

EVENT = _profile(10, reliable=True)
"""Words of a person, diagnostics: each one counts."""

BUTTON = _profile(1000, reliable=True)
"""Emergency stop: while the receiver is busy, what is said after a press does not push it out."""

BUTTON_AT_BEST = _profile(1000, reliable=False)
"""A second subscription to it, as it must be heard from publishers of every kind."""

BUTTON_LATCHED = _profile(1000, reliable=True, latched=True)
"""A third one, which hears what latched publishers said before."""

STATE = _profile(1, reliable=True, latched=True)
"""Task and safety state: a late joiner learns the present one."""
