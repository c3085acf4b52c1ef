"""Measures the signals of a policy beside it. They travel with its actions.

    coverage      how many words of the instruction have no place in any task that is known here
    implausible   1 where an image can be a view of nothing (`perception/plausibility.py`): a veto
    agreement     how far an answer contradicts the one before it      (`answers.py`)
    reversals     how often its motion turns round                     (`answers.py`)
    claim         the policy's own confidence, as log odds of failure
    spread        of the samples that a policy draws, log
    entropy       of the tokens that it chooses, mean
    embedding     distance in its own embedding, log of a distance     (`density.py`)
    view, picture whether an image is one of this world                (`views.py`)
    words, scope  whether an instruction is one that it knows          (`words.py`)
    outcome       a network's log odds of failure, learnt from recorded outcomes
    another name  what else the policy says itself, a single number in its evidence

What needs to be learnt comes from the policy's trust artifact; without one the others are
measured. What they are worth is the confidence monitor's business (`confidence/combine.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from vla_humanoid_control.confidence.combine import IMPLAUSIBLE
from vla_humanoid_control.confidence.signals.answers import AnswerSignals, log_distance
from vla_humanoid_control.confidence.signals.learnt import Description, LearntSignals
from vla_humanoid_control.confidence.signals.views import PLAIN
from vla_humanoid_control.confidence.signals.words import sentence_vectors
from vla_humanoid_control.interfaces import CONFIDENCE, EMBEDDING, SAMPLES, TOKEN_ENTROPY
from vla_humanoid_control.language.encoder import WIDTH
from vla_humanoid_control.language.reader import read
from vla_humanoid_control.perception.plausibility import implausible
from vla_humanoid_control.types import RobotChunk, RobotObservation

_SURE = 1e-6  # claims that are nearer to 0 or 1 are alike


@dataclass
class SignalMeter:
    """Measures the signals of one policy, answer by answer.

    Attributes:
        cameras: Role to camera, of those that it looks through.
        gives: What evidence it announced, `PolicySpec.gives`.
        scale: Channel of its actions to their usual deviation; 1 where none is given.
        learnt: What signals have learnt.
    """

    cameras: Mapping[str, str]
    gives: Collection[str] = ()
    scale: Mapping[str, float] = field(default_factory=dict)
    learnt: LearntSignals = field(default_factory=LearntSignals)

    def __post_init__(self) -> None:
        self._answers = AnswerSignals(self.scale)
        self._sentence = np.zeros(0, np.float32)
        self._unplaced = 0.0

    def begin(self, instruction: str) -> None:
        """A new attempt at an instruction."""
        self._answers.begin()
        self._unplaced = float(len(read(instruction).unplaced))
        if self.learnt.needs_words:
            self._sentence = sentence_vectors([instruction])[0]

    def problem(self, joints: int, channels: int) -> str:
        """What other things signals have learnt of than the policy has; '' where they fit.

        Args:
            joints: Of the robot, J.
            channels: Of the policy's actions on it, D.
        """
        if set(self.learnt.views) - set(self.cameras):
            return 'other cameras'
        words = WIDTH if self.learnt.needs_words else 0
        body = joints + 3 + 2 + 2 * channels  # see `describe`
        size = PLAIN * len(self.learnt.views) + words + body
        networks = (self.learnt.outcome, self.learnt.progress)
        return 'other joints' if any(n is not None and len(n.mean) != size for n in networks) \
            else ''

    def measure(self, seen: RobotObservation, chunk: RobotChunk) -> dict[str, float]:
        """Signals of an answer.

        Args:
            seen: What the policy was asked about.
            chunk: What it answered.
        """
        return self.signals(self.describe(seen, chunk))

    def signals(self, described: Description) -> dict[str, float]:
        """The same of an answer that is described already."""
        return {**described.plain, **self.learnt.measure(described)}

    def describe(self, seen: RobotObservation, chunk: RobotChunk) -> Description:
        """What the signals of an answer are made of; arguments as of `measure`."""
        bad = any(implausible(seen.images[camera]) for camera in self.cameras.values())
        plain = {IMPLAUSIBLE: float(bad), 'coverage': self._unplaced,
                 **self._answers.measure(chunk, seen.stamp_ns), **own_signals(chunk, self.gives)}
        features = self.learnt.features
        views = {} if features is None else {
            role: features([seen.images[camera]])[0] for role, camera in self.cameras.items()}
        std = np.array([self.scale.get(c, 1.0) for c in chunk.channels])
        body = np.concatenate([
            seen.joint_positions, seen.travelled, [seen.elapsed_s, chunk.progress],
            chunk.actions[0] / std, np.abs(chunk.actions - chunk.actions[0]).max(axis=0) / std])
        embedding = np.asarray(chunk.evidence.get(EMBEDDING, ()), np.float32).ravel()
        return Description(plain, views, self._sentence, body.astype(np.float32), embedding)


def own_signals(chunk: RobotChunk, gives: Collection[str]) -> dict[str, float]:
    """What a policy says itself, as signals.

    Args:
        chunk: Its answer.
        gives: What evidence it announced.
    """
    found = {name: float(value) for name, value in chunk.evidence.items()
             if name in gives and np.ndim(value) == 0 and name != CONFIDENCE}
    if CONFIDENCE in chunk.evidence:
        found['claim'] = _log_odds_of_failure(chunk.confidence)
    if SAMPLES in chunk.evidence:
        found['spread'] = log_distance(float(np.std(chunk.evidence[SAMPLES], axis=0).mean()))
    if TOKEN_ENTROPY in chunk.evidence:
        found['entropy'] = float(np.mean(chunk.evidence[TOKEN_ENTROPY]))
    return found


def _log_odds_of_failure(claim: float) -> float:
    if not 0.0 <= claim <= 1.0:
        return math.nan
    claim = min(max(claim, _SURE), 1.0 - _SURE)
    return math.log(1.0 - claim) - math.log(claim)
