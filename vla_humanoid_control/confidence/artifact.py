"""The trust artifact: what was measured of one policy, in a folder of its own.

    trust.json    whose it is, its signals, and how they make a confidence
    signals.npz   what signals have learnt
    held_out.npz  signals of the rollouts that it was fitted on, for other choices of signals

It lies beside a policy, not inside: any policy can have one.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_humanoid_control.confidence.combine import ALPHA, Combination, Confidence
from vla_humanoid_control.confidence.gate import LOWEST_THRESHOLD, GateConfig, Standing
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import write_atomically

if TYPE_CHECKING:
    from vla_humanoid_control.confidence.fitting import HeldOut
    from vla_humanoid_control.confidence.signals.learnt import LearntSignals

FORMAT = 1
ALL = ('all',)
"""Choice of every signal that an artifact has."""
HYSTERESIS = 0.1
"""An open gate closes below its threshold by this share, or where no successful episode of those
that set the threshold ever was: where a confidence says little, the share would never close it."""
_ARRAYS = ('labels', 'episode', 'time_s', 'able', 'part', 'folds')
_SIGNAL, _BROKEN = 'signal', 'broken'


@dataclass(frozen=True)
class TrustArtifact:
    """What was measured of a policy.

    Attributes:
        folder: Where it is.
        fingerprint: Of the policy; see `policy/registry.py`.
        scale: Channel of its actions to their usual deviation; see `confidence/signals/meter.py`.
        combination: How all of its signals make a confidence.
    """

    folder: Path
    fingerprint: str
    scale: Mapping[str, float]
    combination: Combination

    @staticmethod
    def load(folder: Path) -> TrustArtifact:
        """Read one; UserError where it is missing or damaged."""
        path = folder / 'trust.json'
        try:
            data = json.loads(path.read_text(encoding='utf-8'))
            if data['format'] != FORMAT:
                raise ValueError(f'format {data["format"]!r}')
            scale = {str(name): float(value) for name, value in data['scale'].items()}
            if not all(math.isfinite(v) and v > 0 for v in scale.values()):
                raise ValueError('deviations must be positive')
            fingerprint, combination = str(data['fingerprint']), data['combination']
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f'Trust artifact {path} cannot be read ({error!r}). Copy its folder '
                            'again, or measure again: vla trust') from error
        return TrustArtifact(folder, fingerprint, scale,
                             Combination.from_dict(combination, str(path)))

    def save(self, held_out: HeldOut, learnt: LearntSignals | None = None) -> None:
        """Write it with what it was fitted on; each file appears whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / 'signals.npz').unlink(missing_ok=True)
        if learnt is not None:
            learnt.save(self.folder / 'signals.npz')
        arrays = {name: getattr(held_out, name) for name in _ARRAYS}
        arrays |= {f'{_SIGNAL}/{name}': values.astype(np.float32)
                   for name, values in held_out.values.items()}
        for kind, parts in held_out.broken.items():
            arrays[f'share/{kind}'] = np.array(held_out.shares[kind])
            arrays |= {f'{_BROKEN}/{kind}/{part}/{name}': values.astype(np.float32)
                       for part, signals in enumerate(parts) for name, values in signals.items()}
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        write_atomically(self.folder / 'held_out.npz', packed.getvalue())
        data = {'format': FORMAT, **self._content}
        write_atomically(self.folder / 'trust.json', json.dumps(data, indent=1).encode())

    @cached_property
    def identity(self) -> int:
        """What tells it from any other, 48 bits: a double holds it exactly."""
        told = json.dumps(self._content, sort_keys=True).encode()
        return int.from_bytes(hashlib.sha256(told).digest()[:6], 'big')

    @property
    def _content(self) -> dict[str, Any]:
        return {'fingerprint': self.fingerprint, 'scale': dict(self.scale),
                'combination': self.combination.to_dict()}

    @cached_property
    def learnt(self) -> LearntSignals:
        """What its signals have learnt; UserError where that is damaged."""
        path = self.folder / 'signals.npz'
        # Imported when needed: a monitor measures nothing.
        from vla_humanoid_control.confidence.signals.learnt import LearntSignals
        return LearntSignals.load(path) if path.exists() else LearntSignals()

    @cached_property
    def held_out(self) -> HeldOut:
        """Signals of the rollouts that it was fitted on; UserError where they are damaged."""
        path = self.folder / 'held_out.npz'
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            return _held_out(arrays)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f'Trust artifact {path} cannot be read ({error!r}). Copy its folder '
                            'again, or measure again: vla trust') from error

    def choose(self, signals: Sequence[str] = ALL) -> Combination:
        """How some of its signals make a confidence: fitted now, but for all of them.

        Raises:
            UserError: One of them is unknown, or there is none.
        """
        known = self.combination.signals
        wanted = known if tuple(signals) == ALL else tuple(n for n in known if n in signals)
        unknown = [n for n in signals if n not in known and tuple(signals) != ALL]
        if unknown or not wanted:
            raise UserError(f'Confidence signals must be {ALL[0]}, or one or more of '
                            f'{", ".join(known)}; got {", ".join(map(repr, signals)) or "none"}.')
        if wanted == known:
            return self.combination
        return self.held_out.combine(wanted)[0]


@dataclass(frozen=True)
class Monitoring:
    """What a confidence monitor goes by.

    Attributes:
        gate: When its gate opens and closes.
        standing: Whether there is a confidence to go by.
        combination: How signals make one; None where it was never measured.
        trust: `TrustArtifact.identity` of the artifact; 0 for none.
        alone: For an evaluation: each signal by itself.
    """

    gate: GateConfig = field(default_factory=GateConfig)
    standing: Standing = Standing.CALIBRATED
    combination: Combination | None = None
    trust: int = 0
    alone: Mapping[str, Combination] = field(default_factory=dict)

    def judge(self, alone: str = '') -> Confidence:
        """A confidence that begins anew; that of one signal `alone`, where it is named."""
        return Confidence(self.alone[alone] if alone else self.combination, self.trust)

    @staticmethod
    def of(artifact: TrustArtifact | None, signals: Sequence[str] = ALL, alpha: float = ALPHA,
           allow_uncalibrated: bool = False, with_each: bool = False) -> Monitoring:
        """What an artifact asks for: its conformal threshold, with hysteresis.

        Args:
            artifact: None where the policy was never measured: the gate has its defaults then,
                and passes nothing unless that is allowed.
            signals: What the confidence is made of.
            alpha: Share of successful episodes that the gate may stop, in (0, 1).
            allow_uncalibrated: Let a policy act that was never measured.
            with_each: Whether `alone` is wanted.

        Raises:
            UserError: A signal is unknown, or the artifact is damaged.
        """
        if artifact is None:
            return Monitoring(standing=Standing.of(False, allow_uncalibrated))
        combination = artifact.choose(signals)
        # The promise is about never falling below the threshold: it opens there and closes below.
        value = max(LOWEST_THRESHOLD, combination.threshold(alpha))
        lowest = combination.lowest[0] if combination.lowest else 0.0
        gate = GateConfig(open_threshold=value, close_threshold=min(value, max(
            LOWEST_THRESHOLD, value * (1 - HYSTERESIS), lowest)))
        names = combination.signals if with_each else ()
        return Monitoring(gate, Standing.CALIBRATED, combination, artifact.identity,
                          {name: artifact.choose((name,)) for name in names})


def _held_out(arrays: Mapping[str, Any]) -> HeldOut:
    def named(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(f'{prefix}/'): values.astype(np.float64)
                for name, values in arrays.items() if name.startswith(f'{prefix}/')}
    shares = {kind: float(share) for kind, share in named('share').items()}
    broken = {kind: (named(f'{_BROKEN}/{kind}/0'), named(f'{_BROKEN}/{kind}/1'))
              for kind in shares}
    # Imported when needed: a monitor needs it for other choices of signals alone.
    from vla_humanoid_control.confidence.fitting import HeldOut
    return HeldOut(values=named(_SIGNAL), broken=broken, shares=shares,
                   **{name: arrays[name] for name in _ARRAYS})
