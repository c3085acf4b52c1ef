"""What signals have learnt from rollouts of one policy, in one file of its trust artifact."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.calibration import sigmoid
from vla_humanoid_control.confidence.signals.density import Arrays, Density, Perceptron
from vla_humanoid_control.confidence.signals.views import PLAIN, ViewFeatures, ViewSignals
from vla_humanoid_control.confidence.signals.words import WordSignals
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import write_atomically


@dataclass(frozen=True)
class Description:
    """What the signals of an answer are made of.

    Attributes:
        plain: Signals that need nothing learnt.
        views: Role of a camera to features, float32 [F].
        sentence: float32 [E]; empty where no signal of words is wanted.
        body: float32 [B], joints, distance travelled, progress and the actions themselves.
        embedding: float32 [V], the policy's own; empty where it gives none.
    """

    plain: Mapping[str, float]
    views: Mapping[str, NDArray[np.float32]]
    sentence: NDArray[np.float32]
    body: NDArray[np.float32]
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class LearntSignals:
    """Each may be missing: then its signals are not measured.

    Attributes:
        features: What views are described by.
        views: Role of a camera to its signals.
        words: Signals of instructions.
        outcome: Log odds of failure from everything else, `outcome_inputs`.
        progress: How far the task has come, from the same, for policies that do not say.
        embedding: Of the policy's own embedding where it succeeded.
    """

    features: ViewFeatures | None = None
    views: Mapping[str, ViewSignals] = field(default_factory=dict)
    words: WordSignals | None = None
    outcome: Perceptron | None = None
    progress: Perceptron | None = None
    embedding: Density | None = None

    @property
    def needs_words(self) -> bool:
        """Whether an instruction must be encoded."""
        return self.words is not None or self.progress is not None

    def progress_of(self, one: Description) -> float:
        """How far the task has come, in [0, 1]; 0 where that was not learnt."""
        rows = {camera: features[None] for camera, features in one.views.items()}
        return float(self.progress_of_many(rows, one.sentence[None], one.body[None])[0])

    def progress_of_many(self, views: Mapping[str, NDArray[np.float32]],
                         sentences: NDArray[np.float32], bodies: NDArray[np.float32]
                         ) -> NDArray[np.float64]:
        """The same of N answers, [N]."""
        if self.progress is None:
            return np.zeros(len(bodies))
        odds = self.progress.log_odds(outcome_inputs(views, sentences, bodies))
        return sigmoid(odds)

    def measure(self, one: Description) -> dict[str, float]:
        """The signals of an answer."""
        rows = {camera: features[None] for camera, features in one.views.items()}
        found = self.measure_many(rows, one.sentence[None], one.body[None], one.embedding[None])
        return {name: float(values[0]) for name, values in found.items()}

    def measure_many(self, views: Mapping[str, NDArray[np.float32]],
                     sentences: NDArray[np.float32], bodies: NDArray[np.float32],
                     embeddings: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """The same of N answers, [N, ...] each; of several cameras the worst counts."""
        found: dict[str, NDArray[np.float64]] = {}
        for camera, signals in self.views.items():
            for name, values in signals.measure(views[camera]).items():
                found[name] = np.maximum(found.get(name, -np.inf), values)
        if self.words is not None:
            found |= self.words.measure(sentences)
        if self.outcome is not None:
            found['outcome'] = self.outcome.log_odds(outcome_inputs(views, sentences, bodies))
        if self.embedding is not None:
            found['embedding'] = np.log(self.embedding.distance(embeddings) + 1e-3)
        return found

    def save(self, path: Path) -> None:
        """Write it; the file appears whole or not at all."""
        parts: dict[str, Arrays] = {f'view/{camera}': signals.arrays
                                    for camera, signals in self.views.items()}
        for name in ('features', 'words', 'outcome', 'progress', 'embedding'):
            if (part := getattr(self, name)) is not None:
                parts[name] = part.arrays
        packed = io.BytesIO()
        arrays: dict[str, Any] = {f'{part}:{name}': value for part, arrays in parts.items()
                                  for name, value in arrays.items()}
        np.savez_compressed(packed, **arrays)
        write_atomically(path, packed.getvalue())

    @staticmethod
    def load(path: Path) -> LearntSignals:
        """The inverse of `save`; UserError where the file is damaged."""
        parts: dict[str, dict[str, NDArray[Any]]] = {}
        try:
            with np.load(path) as file:
                for key in file.files:
                    part, _, name = key.rpartition(':')
                    parts.setdefault(part, {})[name] = file[key]
            return LearntSignals(
                ViewFeatures(parts['features']) if 'features' in parts else None,
                {part.removeprefix('view/'): ViewSignals.of(arrays)
                 for part, arrays in parts.items() if part.startswith('view/')},
                WordSignals.of(parts['words']) if 'words' in parts else None,
                Perceptron(**parts['outcome']) if 'outcome' in parts else None,
                Perceptron(**parts['progress']) if 'progress' in parts else None,
                Density(**parts['embedding']) if 'embedding' in parts else None)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(f'Trust artifact {path} cannot be read ({error!r}). Copy its folder '
                            'again, or measure again: vla trust') from error


def outcome_inputs(views: Mapping[str, NDArray[np.float32]], sentences: NDArray[np.float32],
                   bodies: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `LearntSignals.outcome` and `progress` see, [N, I]."""
    return np.concatenate([*(views[camera][:, :PLAIN] for camera in sorted(views)), sentences,
                           bodies], axis=1)
