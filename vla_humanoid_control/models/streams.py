"""What flows between the parts of a model, and what a model is given and taught.

A stream is `Tokens`, or what a part says of its own: `of: vision.tokens` in a configuration names
the field `tokens` of what the part `vision` gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

TIME_FEATURES = 16
"""Of the stream `time`; see `transforms.time_features`."""


@dataclass(frozen=True)
class Shape:
    """What a stream is before there is one.

    Attributes:
        width: Of every token, D.
        tokens: How many, N; None where that depends on the input.
        grid: Rows and columns, where tokens are the cells of an image, row by row.
        frames: Into how many frames, oldest first, the tokens of a history fall.
    """

    width: int
    tokens: int | None = 1
    grid: tuple[int, int] | None = None
    frames: int = 1


@dataclass(frozen=True)
class Tokens:
    """A stream.

    Attributes:
        values: float32 [B, N, D].
        mask: bool [B, N], which exist; None for all.
    """

    values: Tensor
    mask: Tensor | None = None

    def to(self, device: torch.device) -> Tokens:
        """The same on a device."""
        return Tokens(self.values.to(device), _to(self.mask, device))

    @property
    def vector(self) -> Tensor:
        """[B, D]: the one token, or the mean of those that exist."""
        if self.values.shape[1] == 1:
            return self.values[:, 0]
        if self.mask is None:
            return self.values.mean(1)
        weight = self.mask[..., None].to(self.values.dtype)
        return (self.values * weight).sum(1) / weight.sum(1).clamp(min=1)

    @property
    def exists(self) -> Tensor:
        """The mask, bool [B, N], where there is none too."""
        if self.mask is not None:
            return self.mask
        return torch.ones(self.values.shape[:2], dtype=torch.bool, device=self.values.device)

    @staticmethod
    def of(vector: Tensor) -> Tokens:
        """A vector [B, D] as one token."""
        return Tokens(vector[:, None])

    @staticmethod
    def join(streams: Sequence[Tokens]) -> Tokens:
        """One after the other, [B, sum of N, D]."""
        mask = None if all(s.mask is None for s in streams) else \
            torch.cat([s.exists for s in streams], dim=1)
        return Tokens(torch.cat([s.values for s in streams], dim=1), mask)


@dataclass(frozen=True)
class Frames:
    """Images of one camera.

    Attributes:
        pixels: float32 [F, T, 3, H, W], about -1 to 1; T frames of history, oldest first.
        frame: int64 [B], the row of `pixels` that each row of the batch looks at: many
            instructions may be about one image, which is then encoded once.
    """

    pixels: Tensor
    frame: Tensor


@dataclass(frozen=True)
class Inputs:
    """A batch, normalised by `models/transforms.py`. What no part asks for may be absent.

    Attributes:
        images: Role of a camera to float32 [F, T, 3, H, W], about -1 to 1.
        frame: int64 [B], see `Frames`.
        joints: float32 [B, J], normalised.
        time: float32 [B, 16], see `transforms.time_features`.
        words: float32 [B, L, 384], token features of the instruction, and which exist.
        text: The instructions themselves, B of them.
    """

    images: Mapping[str, Tensor] = field(default_factory=dict)
    frame: Tensor | None = None
    joints: Tensor | None = None
    time: Tensor | None = None
    words: Tokens | None = None
    text: tuple[str, ...] | None = None

    def rows(self, index: Tensor) -> Inputs:
        """Some rows of the batch, int64 [R], with the images that they look at."""
        images, frame, words = self.images, self.frame, self.words
        if frame is not None:
            used, frame = frame[index].unique(return_inverse=True)
            images = {role: pixels[used] for role, pixels in images.items()}
        return Inputs(
            images, frame, _rows(self.joints, index), _rows(self.time, index),
            words and Tokens(words.values[index], _rows(words.mask, index)),
            self.text and tuple(self.text[i] for i in index.tolist()))

    def to(self, device: torch.device) -> Inputs:
        """The same on a device."""
        return Inputs(
            {role: pixels.to(device) for role, pixels in self.images.items()},
            _to(self.frame, device), _to(self.joints, device), _to(self.time, device),
            self.words and self.words.to(device), self.text)


@dataclass(frozen=True)
class Targets:
    """What a batch is to teach. A head that is taught needs its own.

    Attributes:
        actions: float32 [B, H, A], normalised.
        channel_weight: float32 [A], how much each channel of the actions counts.
        progress: float32 [B], in [0, 1].
        target: float32 [B, 4]: visible, u, v, distance [m]; NaN where there is no target object.
        labels: int64 [B, S], answers to `INSTRUCTION_SLOTS`; -1 where not asked.
        success: float32 [B], 0 or 1.
        answers: Texts that a language model is to say, B of them.
    """

    actions: Tensor | None = None
    channel_weight: Tensor | None = None
    progress: Tensor | None = None
    target: Tensor | None = None
    labels: Tensor | None = None
    success: Tensor | None = None
    answers: tuple[str, ...] | None = None

    def rows(self, index: Tensor) -> Targets:
        """Some rows of the batch, int64 [R]."""
        return Targets(
            _rows(self.actions, index), self.channel_weight, _rows(self.progress, index),
            _rows(self.target, index), _rows(self.labels, index), _rows(self.success, index),
            self.answers and tuple(self.answers[i] for i in index.tolist()))

    def to(self, device: torch.device) -> Targets:
        """The same on a device."""
        return Targets(
            _to(self.actions, device), _to(self.channel_weight, device),
            _to(self.progress, device), _to(self.target, device), _to(self.labels, device),
            _to(self.success, device), self.answers)


@dataclass(frozen=True)
class Space:
    """What a model is made for.

    Attributes:
        images: Role of a camera to width and height [px]; the first is the stream `image`.
        joints: Number of joint positions, J.
        channels: Action channels, A.
        horizon: Rows of an action chunk, H.
        frames: Frames of history, T.
    """

    images: Mapping[str, tuple[int, int]]
    joints: int
    channels: int
    horizon: int
    frames: int = 1


def _to(value: Tensor | None, device: torch.device) -> Tensor | None:
    return None if value is None else value.to(device)


def _rows(value: Tensor | None, index: Tensor) -> Tensor | None:
    return None if value is None else value[index]
