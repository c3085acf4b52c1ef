"""A trained checkpoint as a policy, and what it says itself of its answers.

    head         its prediction of failure, a logit
    image        how far the image lies from what training saw, log of a Mahalanobis distance
    instruction  how far the instruction lies from training's, likewise

Which of them it gives its configuration says under `signals`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.signals.answers import log_distance
from vla_humanoid_control.interfaces import (
    ActionChunk,
    Observation,
    PolicySpec,
    Prompt,
    UnreadableError,
)
from vla_humanoid_control.language.encoder import SentenceEncoder, default_encoder
from vla_humanoid_control.language.reader import why_unplaced
from vla_humanoid_control.models.checkpoint import Checkpoint, load_checkpoint
from vla_humanoid_control.models.deployment import ModelDeployment, device_named
from vla_humanoid_control.models.spec import policy_spec
from vla_humanoid_control.models.streams import Inputs, Tokens
from vla_humanoid_control.models.transforms import (
    as_frames,
    normalise_images,
    normalise_joints,
    normalise_time,
    restore_actions,
)


class CheckpointPolicy:
    """Runs a model on one observation at a time, as its deployment says.

    Attributes:
        spec: What it needs and gives.
        model: What it runs.
    """

    def __init__(self, checkpoint: Checkpoint, encoder: SentenceEncoder) -> None:
        self.spec = policy_spec(checkpoint.spec, checkpoint.model_config.signals)
        self._deployment = checkpoint.deployment
        self.model = self._deployment.deploy(checkpoint.model.channels_last())
        self._device = device_named(self._deployment.device)
        self._statistics = checkpoint.statistics
        self._encoder = encoder
        self._words: Tokens | None = None
        self._text = ''
        self._of_words = self.model.made_of('words', 'text')
        self._said: Mapping[str, Any] = {}  # what these parts made of the instruction

    @staticmethod
    def load(path: Path | str) -> CheckpointPolicy:
        """Load a checkpoint, and answer once, so that the first answer is no slower.

        Args:
            path: Its folder.

        Raises:
            UserError: The checkpoint is missing or damaged; or the sentence encoder is not
                installed.
        """
        policy = CheckpointPolicy(load_checkpoint(Path(path)), default_encoder())
        policy._warm_up()
        return policy

    def move(self, device: str) -> None:
        """Run on another device than the checkpoint says, and answer once there.

        Args:
            device: One of `models.deployment.DEVICES`.

        Raises:
            UserError: It is not there, or the precision is none for it.
        """
        self._deployment = ModelDeployment.from_dict(
            {**self._deployment.to_dict(), 'device': device}, '--device')
        self._device = device_named(device)
        self.model = self.model.to(self._device)
        self._warm_up()

    def _warm_up(self) -> None:
        self.reset(Prompt('stop'))
        self.infer(blank_observation(self.spec))
        self._words, self._said = None, {}

    def unreadable(self, text: str) -> str:
        """Why a text is not acted on, such as a word that has no place in any task; or ''."""
        return self._encoder.too_long(text) or why_unplaced(text)

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction, in plain English.

        Raises:
            UnreadableError: It is longer than the encoder reads.
        """
        if problem := self._encoder.too_long(prompt.text):
            raise UnreadableError(problem)
        tokens, mask = self._encoder.encode([prompt.text])
        length = max(1, int(mask.sum()))
        self._words = Tokens(torch.from_numpy(tokens[:, :length]),
                             torch.from_numpy(mask[:, :length]))
        self._text = self._encoder.correct(prompt.text)  # as training reads them
        self._said = {}

    def infer(self, observation: Observation) -> ActionChunk:
        """One forward pass; of what the words alone decide, only the first after `reset`.

        Args:
            observation: As `spec` says.

        Raises:
            RuntimeError: `reset` was not called.
            ValueError: The camera or a state is missing, or has another shape.
        """
        (chunk,), self._said = self._answers(self.inputs(observation), self._said)
        return chunk

    def close(self) -> None:
        """Nothing is held but memory."""

    def fork(self) -> CheckpointPolicy:
        """Another policy with the same weights, which knows nothing of this one's instruction."""
        twin = copy.copy(self)
        twin._words, twin._said = None, {}
        return twin

    @staticmethod
    def infer_many(policies: Sequence[CheckpointPolicy], observations: Sequence[Observation]
                   ) -> list[ActionChunk]:
        """One forward pass for several forks of one policy, each with its own instruction.

        Args:
            policies: Forks of one policy; `reset` was called on each.
            observations: One for each.

        Raises:
            RuntimeError, ValueError: As `infer`.
        """
        rows = [policy.inputs(seen) for policy, seen in zip(policies, observations, strict=True)]
        return policies[0]._answers(_joined(rows), {})[0]

    def inputs(self, observation: Observation) -> Inputs:
        """What its model is given, a batch of one row; raises as `infer`."""
        if self._words is None:
            raise RuntimeError('CheckpointPolicy.infer: call reset with an instruction first')
        feature, *_ = self.spec.images
        width, height = feature.size
        image = _of(observation.images, f'camera {feature.role!r}', feature.role,
                    (len(feature.times_s), height, width, 3), np.dtype(np.uint8))
        joints, travelled, elapsed = (
            torch.from_numpy(_of(observation.state, f'state {state.name!r}', state.name,
                                 (1, len(state.channels)), None).astype(np.float32))
            for state in self.spec.states)
        images = as_frames(normalise_images(torch.from_numpy(image)), len(image))
        return Inputs({feature.role: images}, torch.zeros(1, dtype=torch.long),
                      normalise_joints(joints, self._statistics),
                      normalise_time(elapsed[0], travelled), self._words, (self._text,))

    @torch.inference_mode()
    def _answers(self, inputs: Inputs, said: Mapping[str, Any]
                 ) -> tuple[list[ActionChunk], Mapping[str, Any]]:
        """One forward pass: the answer of each row, and what is made of the words alone.

        The latter is handed in again as `said` with the next inputs of the same words.
        """
        model = self.model
        with self._deployment.running(self._device):
            streams = model(inputs.to(self._device), said)
            # Of heads that draw, the same chance each time: what is seen and said decides alone.
            chance = torch.Generator().manual_seed(0)
            predicted = model.predict(streams, 'action', chance).float()
            progress = model.predict(streams, 'progress')
            certain = {name for name, _ in model.heads('confidence')}
            signals = {name: [-float(v) if stream in certain else log_distance(float(v))
                              for v in streams[stream]]
                       for name, stream in model.config.signals.items()}
        actions = restore_actions(predicted.cpu(), self._statistics).numpy()
        return [ActionChunk(actions[i], None if progress is None else float(progress[i]),
                            {name: np.array(values[i]) for name, values in signals.items()})
                for i in range(len(actions))], streams.made(self._of_words)


def blank_observation(spec: PolicySpec) -> Observation:
    """Black images, and zeros for all states."""
    return Observation(
        0, {f.role: np.zeros((len(f.times_s), f.size[1], f.size[0], 3), np.uint8)
            for f in spec.images},
        {s.name: np.zeros((len(s.times_s), len(s.channels))) for s in spec.states})


def _joined(rows: Sequence[Inputs]) -> Inputs:
    """Inputs of one row each as a batch; short instructions are padded with no tokens."""
    longest = max(_words(row).values.shape[1] for row in rows)

    def padded(values: torch.Tensor) -> torch.Tensor:
        missing = longest - values.shape[1]
        return torch.cat([values, values.new_zeros(1, missing, *values.shape[2:])], dim=1)

    def together(values: Iterable[torch.Tensor | None]) -> torch.Tensor:
        return torch.cat([v for v in values if v is not None])
    images = {role: together(row.images[role] for row in rows) for role in rows[0].images}
    return Inputs(
        {role: as_frames(values.flatten(0, 1), values.shape[1])
         for role, values in images.items()},
        torch.arange(len(rows)), together(row.joints for row in rows),
        together(row.time for row in rows),
        Tokens(torch.cat([padded(_words(row).values) for row in rows]),
               torch.cat([padded(_words(row).exists) for row in rows])),
        tuple(text for row in rows for text in row.text or ()))


def _words(row: Inputs) -> Tokens:
    assert row.words is not None
    return row.words


def _of(given: Mapping[str, NDArray[Any]], what: str, name: str, shape: tuple[int, ...],
        kind: np.dtype[Any] | None) -> NDArray[Any]:
    """One array of an observation; ValueError where it is missing or another."""
    if name not in given:
        raise ValueError(f'observation lacks {what}; it has {sorted(given)}')
    values = np.asarray(given[name])
    if values.shape != shape or kind not in (None, values.dtype):
        raise ValueError(f'{what} is {values.dtype} {list(values.shape)}, must be '
                         f'{kind or "float64"} {list(shape)}')
    return values
