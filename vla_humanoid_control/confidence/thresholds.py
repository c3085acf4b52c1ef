"""The thresholds of the gate that a calibration asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vla_humanoid_control.confidence.gate import LOWEST_THRESHOLD, GateConfig
from vla_humanoid_control.confidence.score import ALPHA, SIGNALS, Combinations
from vla_humanoid_control.support.errors import UserError

HYSTERESIS = 0.1
"""An open gate closes below its threshold by this share."""


def calibrated_gate(folder: Path, signals: Sequence[str] = SIGNALS, alpha: float = ALPHA
                    ) -> GateConfig:
    """The gate that a checkpoint asks for: its conformal threshold, with hysteresis.

    Args:
        folder: Where `statistics.json` with the calibration is. Without a calibration in it, the
            gate gets the defaults of `GateConfig`.
        signals: What the policy's confidence is made of.
        alpha: Share of successful episodes that the gate may stop, in (0, 1).

    Raises:
        UserError: The checkpoint's `statistics.json` cannot be read.
    """
    combinations = read_combinations(folder)
    if not combinations.by_signals:
        return GateConfig()
    # The promise is about never falling below the threshold, so it opens there and closes below.
    value = max(LOWEST_THRESHOLD, combinations.choose(signals).threshold(alpha))
    return GateConfig(open_threshold=value,
                      close_threshold=max(LOWEST_THRESHOLD, value * (1 - HYSTERESIS)))


def read_combinations(folder: Path) -> Combinations:
    """What a checkpoint's confidence is made of; empty where it was never calibrated.

    Raises:
        UserError: The checkpoint's `statistics.json` cannot be read.
    """
    path = folder / 'statistics.json'
    try:
        confidence = json.loads(path.read_text(encoding='utf-8'))['confidence']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} cannot be read ({error}). Give the folder of a checkpoint.') \
            from error
    return Combinations.from_list(confidence, str(path))
