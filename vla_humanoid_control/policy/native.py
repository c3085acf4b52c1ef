"""A trained checkpoint as a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.score import SIGNALS, Combinations, Score, disagreement
from vla_humanoid_control.interfaces import PolicySpec, UnreadableError
from vla_humanoid_control.language.encoder import SentenceEncoder, default_encoder
from vla_humanoid_control.models.checkpoint import Checkpoint, load_checkpoint
from vla_humanoid_control.models.transforms import (
    normalise_images,
    normalise_joints,
    normalise_time,
    resize_image,
    restore_actions,
)
from vla_humanoid_control.models.vla import ModelInput, ModelOutput
from vla_humanoid_control.perception.plausibility import implausible
from vla_humanoid_control.policy.fit import check_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.types import ActionChunk, Observation


class CheckpointPolicy:
    """Runs `VlaModel` on one observation at a time, on the CPU, in float32.

    Attributes:
        spec: What it needs and gives.
    """

    def __init__(self, checkpoint: Checkpoint, encoder: SentenceEncoder, where: str,
                 signals: Sequence[str] = SIGNALS) -> None:
        self.spec: PolicySpec = checkpoint.spec
        self._model = checkpoint.model.channels_last().eval()
        self._statistics = checkpoint.statistics
        self._encoder = encoder
        combinations = Combinations.from_list(list(checkpoint.statistics.confidence), where)
        self._score = Score(combinations.choose(signals))
        self._alone = {name: Score(combinations.choose([name])) for name in SIGNALS} \
            if combinations.by_signals else {}
        self._before: tuple[int, NDArray[np.float32]] | None = None
        self._words: tuple[torch.Tensor, torch.Tensor] | None = None

    @staticmethod
    def load(path: Path | str, robot: RobotSpec, signals: Sequence[str] = SIGNALS
             ) -> CheckpointPolicy:
        """Load a checkpoint for a robot, and answer once, so that the first answer is no slower.

        Args:
            path: Its folder.
            robot: Whose joints and cameras it is to use.
            signals: What the confidence is made of, see `confidence/score.py`.

        Raises:
            UserError: The checkpoint is missing, damaged, or made for another robot; or the
                sentence encoder is not installed.
        """
        folder = Path(path)
        checkpoint = load_checkpoint(folder)
        check_robot(checkpoint.spec, robot, folder)
        policy = CheckpointPolicy(checkpoint, default_encoder(), str(folder / 'statistics.json'),
                                  signals)
        policy.reset('stop')
        width, height = policy.spec.image_size
        blank = {name: np.zeros((height, width, 3), np.uint8) for name in policy.spec.cameras}
        policy.infer(Observation(0, blank, robot.home))
        policy._words = None
        return policy

    def unreadable(self, text: str) -> str:
        """Why a text cannot be read to its end; empty where it can."""
        return self._encoder.too_long(text)

    def reset(self, instruction: str) -> None:
        """Begin a new instruction, in plain English.

        Raises:
            UnreadableError: It is longer than the encoder reads.
        """
        if problem := self.unreadable(instruction):
            raise UnreadableError(problem)
        tokens, mask = self._encoder.encode([instruction])
        length = max(1, int(mask.sum()))
        self._words = (torch.from_numpy(tokens[:, :length]), torch.from_numpy(mask[:, :length]))
        self._before = None
        for score in (self._score, *self._alone.values()):
            score.reset()

    def infer(self, observation: Observation) -> ActionChunk:
        """One forward pass. The confidence is 0 where the image cannot be a view of anything.

        Args:
            observation: With the image of `spec.cameras[0]` and all joints of `spec.joint_names`.

        Raises:
            RuntimeError: `reset` was not called.
            ValueError: The camera is missing, or images or joints have another shape.
        """
        if self._words is None:
            raise RuntimeError('CheckpointPolicy.infer: call reset with an instruction first')
        inputs = self._inputs(observation, *self._words)
        with torch.inference_mode():
            output = self._model(inputs)
            chunk = self._chunk(output, observation.stamp_ns)
        # A blind policy may well succeed in walking a metre, and says so: it must not try.
        if implausible(observation.images[self.spec.cameras[0]]):
            return replace(chunk, confidence=0.0)
        return chunk

    def _signals(self, output: ModelOutput, actions: NDArray[np.float32], stamp_ns: int
                 ) -> NDArray[np.float64]:
        """Values of `SIGNALS`, float64 [4]."""
        image, instruction = self._model.novelty(output.features)
        agreement = np.nan
        if self._before is not None:
            agreement = disagreement(self._before[1], actions, (stamp_ns - self._before[0]) / 1e9,
                                     self.spec.dt_s, self._statistics.action_std)
        self._before = stamp_ns, actions
        return np.array([float(self._model.confidence(output)[0]), float(image[0]),
                         float(instruction[0]), agreement])

    def _inputs(self, observation: Observation, words: torch.Tensor, mask: torch.Tensor
                ) -> ModelInput:
        camera = self.spec.cameras[0]
        if camera not in observation.images:
            raise ValueError(f'observation lacks camera {camera!r}; '
                             f'it has {sorted(observation.images)}')
        image = observation.images[camera]
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'camera {camera!r}: image is {image.dtype} {image.shape}, '
                             'must be uint8 [H, W, 3]')
        joints = np.asarray(observation.joint_positions, np.float32)
        if joints.shape != (len(self.spec.joint_names),):
            raise ValueError(f'joint positions are {joints.shape}, '
                             f'must be [{len(self.spec.joint_names)}]')
        small = torch.from_numpy(resize_image(image, self.spec.image_size))
        travelled = np.asarray(observation.travelled, np.float32)
        images = normalise_images(small[None]).contiguous(memory_format=torch.channels_last)
        return ModelInput(
            images, torch.zeros(1, dtype=torch.long),
            normalise_joints(torch.from_numpy(joints)[None], self._statistics),
            normalise_time(torch.tensor([observation.elapsed_s], dtype=torch.float32),
                           torch.from_numpy(travelled)[None]), words, mask)

    def _chunk(self, output: ModelOutput, stamp_ns: int) -> ActionChunk:
        model = self._model
        actions = restore_actions(model.action_head.predict(output.actions),
                                  self._statistics)[0].numpy()
        values, time_s = self._signals(output, actions, stamp_ns), stamp_ns / 1e9
        return ActionChunk(
            channels=self.spec.channels, actions=actions, dt_s=self.spec.dt_s,
            confidence=self._score.update(values, time_s),
            progress=float(model.progress_head.predict(output.progress)[0]),
            signals={name: score.update(values, time_s) for name, score in self._alone.items()})
