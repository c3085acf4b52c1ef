"""A trained checkpoint as a policy, and what it says itself of its answers.

    head         its prediction of failure, a logit
    image        how far the image lies from what training saw, log of a Mahalanobis distance
    instruction  how far the instruction lies from training's, likewise
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.signals.answers import log_distance
from vla_humanoid_control.interfaces import (
    ActionChunk,
    Observation,
    Prompt,
    UnreadableError,
)
from vla_humanoid_control.language.encoder import SentenceEncoder, default_encoder
from vla_humanoid_control.models.checkpoint import Checkpoint, load_checkpoint
from vla_humanoid_control.models.spec import policy_spec
from vla_humanoid_control.models.transforms import (
    normalise_images,
    normalise_joints,
    normalise_time,
    restore_actions,
)
from vla_humanoid_control.models.vla import ModelInput, ModelOutput


class CheckpointPolicy:
    """Runs `VlaModel` on one observation at a time, on the CPU, in float32.

    Attributes:
        spec: What it needs and gives.
    """

    def __init__(self, checkpoint: Checkpoint, encoder: SentenceEncoder) -> None:
        self.spec = policy_spec(checkpoint.spec)
        self._model = checkpoint.model.channels_last().eval()
        self._statistics = checkpoint.statistics
        self._encoder = encoder
        self._words: tuple[torch.Tensor, torch.Tensor] | None = None

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
        policy.reset(Prompt('stop'))
        blank = {f.role: np.zeros((1, f.size[1], f.size[0], 3), np.uint8)
                 for f in policy.spec.images}
        rest = {s.name: np.zeros((1, len(s.channels))) for s in policy.spec.states}
        policy.infer(Observation(0, blank, rest))
        policy._words = None
        return policy

    def unreadable(self, text: str) -> str:
        """Why a text cannot be read to its end; empty where it can."""
        return self._encoder.too_long(text)

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction, in plain English.

        Raises:
            UnreadableError: It is longer than the encoder reads.
        """
        if problem := self.unreadable(prompt.text):
            raise UnreadableError(problem)
        tokens, mask = self._encoder.encode([prompt.text])
        length = max(1, int(mask.sum()))
        self._words = (torch.from_numpy(tokens[:, :length]), torch.from_numpy(mask[:, :length]))

    def infer(self, observation: Observation) -> ActionChunk:
        """One forward pass.

        Args:
            observation: As `spec` says.

        Raises:
            RuntimeError: `reset` was not called.
            ValueError: The camera or a state is missing, or has another shape.
        """
        inputs = self._checked_inputs(observation)
        with torch.inference_mode():
            return self._chunk(self._model(inputs))

    def close(self) -> None:
        """Nothing is held but memory."""

    def fork(self) -> CheckpointPolicy:
        """Another policy with the same weights, which knows nothing of this one's instruction."""
        twin = copy.copy(self)
        twin._words = None
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
        rows = [policy._checked_inputs(seen) for policy, seen in zip(policies, observations,
                                                                     strict=True)]
        with torch.inference_mode():
            output = policies[0]._model(_joined(rows))
            return [policy._chunk(_row(output, i)) for i, policy in enumerate(policies)]

    def _checked_inputs(self, observation: Observation) -> ModelInput:
        if self._words is None:
            raise RuntimeError('CheckpointPolicy.infer: call reset with an instruction first')
        return self._inputs(observation, *self._words)

    def _inputs(self, observation: Observation, words: torch.Tensor, mask: torch.Tensor
                ) -> ModelInput:
        feature, *_ = self.spec.images
        width, height = feature.size
        image = _of(observation.images, f'camera {feature.role!r}', feature.role,
                    (1, height, width, 3), np.dtype(np.uint8))
        joints, travelled, elapsed = (
            torch.from_numpy(_of(observation.state, f'state {state.name!r}', state.name,
                                 (1, len(state.channels)), None).astype(np.float32))
            for state in self.spec.states)
        images = normalise_images(torch.from_numpy(image)).contiguous(
            memory_format=torch.channels_last)
        return ModelInput(images, torch.zeros(1, dtype=torch.long),
                          normalise_joints(joints, self._statistics),
                          normalise_time(elapsed[0], travelled), words, mask)

    def _chunk(self, output: ModelOutput) -> ActionChunk:
        model = self._model
        actions = restore_actions(model.action_head.predict(output.actions),
                                  self._statistics)[0].numpy()
        image, instruction = model.novelty(output.features)
        signals = {'head': -float(model.confidence(output)[0]),
                   'image': log_distance(float(image[0])),
                   'instruction': log_distance(float(instruction[0]))}
        return ActionChunk(actions, float(model.progress_head.predict(output.progress)[0]),
                           {name: np.array(value) for name, value in signals.items()})


def _joined(rows: Sequence[ModelInput]) -> ModelInput:
    """Inputs of one row each as a batch; short instructions are padded with no tokens."""
    longest = max(row.words.shape[1] for row in rows)

    def padded(values: torch.Tensor) -> torch.Tensor:
        missing = longest - values.shape[1]
        return torch.cat([values, values.new_zeros(1, missing, *values.shape[2:])], dim=1)
    return ModelInput(
        torch.cat([row.images for row in rows]).contiguous(memory_format=torch.channels_last),
        torch.arange(len(rows)), torch.cat([row.joints for row in rows]),
        torch.cat([row.time for row in rows]), torch.cat([padded(row.words) for row in rows]),
        torch.cat([padded(row.mask) for row in rows]))


def _row(output: ModelOutput, place: int) -> ModelOutput:
    """One row of a batch, as a batch; the grounding is for training, and stays as it is."""
    one = slice(place, place + 1)
    return replace(output, actions=output.actions[one], progress=output.progress[one],
                   instruction=output.instruction[one], evidence=output.evidence[one],
                   features=output.features[one])


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
