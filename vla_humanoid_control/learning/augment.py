"""Augmentation of batches: lights, cameras and words differ a little; colours stay apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.models.streams import Tokens
from vla_humanoid_control.support.bounds import bounded, check_bounds


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly to vary.

    Attributes:
        brightness: Added to all channels, up to this (images are in [-1, 1]).
        contrast: Factor on the deviation from the mean, up to 1 +- this.
        saturation: Factor on the deviation from grey, up to 1 +- this.
        channel_gain: Gain of each channel, up to 1 +- this (a white balance).
        shift_px: Shift in both directions, up to this [px].
        noise: Deviation of pixel noise, up to this.
        blur_probability: Share of frames that are blurred a little.
        withhold_time: Share of samples, of tasks that do not need it, without time and travel.
        elapsed_jitter: Relative error of elapsed time, up to this.
        travelled_jitter: Deviation of dead reckoning [m, rad].
        word_noise: Deviation of noise on word features.
    """

    brightness: float = bounded(0.25, 0, 2)
    contrast: float = bounded(0.25, 0, 1)
    saturation: float = bounded(0.25, 0, 1)
    channel_gain: float = bounded(0.08, 0, 1)
    shift_px: int = bounded(2, 0, 64)
    noise: float = bounded(0.05, 0, 2)
    blur_probability: float = bounded(0.15, 0, 1)
    withhold_time: float = bounded(0.3, 0, 1)
    elapsed_jitter: float = bounded(0.05, 0, 1)
    travelled_jitter: float = bounded(0.01, 0, 10)
    word_noise: float = bounded(0.1, 0, 10)

    def __post_init__(self) -> None:
        check_bounds(self)


def augment_images(images: Tensor, config: AugmentConfig, generator: torch.Generator,
                   frames: int = 1) -> tuple[Tensor, Tensor]:
    """Vary normalised images.

    Args:
        images: float32 [F * T, 3, H, W] in [-1, 1].
        config: Strengths.
        generator: Source of chance, on the device of the images.
        frames: How many in a row are of one history, T, and are varied alike but for noise.

    Returns:
        Images of the same shape, and by how much each history was moved in u and v, [F, 2] (add it
        to image positions in [-1, 1]).
    """
    count, _, height, width = images.shape
    device = images.device

    def chance(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def draw(strength: float, *shape: int) -> Tensor:
        value = (chance(count // frames, *shape) * 2 - 1) * strength
        return value.repeat_interleave(frames, dim=0)

    # Brightness, contrast, saturation and white balance are one 3 x 3 matrix and an offset.
    grey = torch.full((3, 3), 1 / 3, device=device)
    saturation = 1 + draw(config.saturation, 1, 1)
    matrix = torch.eye(3, device=device) * saturation + grey * (1 - saturation)  # [F, 3, 3]
    gain = (1 + draw(config.contrast, 1)) * (1 + draw(config.channel_gain, 3))  # [F, 3]
    matrix = matrix * gain[:, :, None]
    mean = images.mean((2, 3))  # [F, 3]
    offset = mean - (matrix @ mean[:, :, None])[:, :, 0] + draw(config.brightness, 1)
    # A convolution with a group for each image is three times as fast as their matrix products.
    images = functional.conv2d(images.reshape(1, 3 * count, height, width),
                               matrix.reshape(-1, 3, 1, 1), offset.flatten(), groups=count)
    images = images.view(count, 3, height, width)

    blurred = chance(count // frames) < config.blur_probability
    blurred = blurred.repeat_interleave(frames)
    if bool(blurred.any()):
        kernel = torch.tensor([0.25, 0.5, 0.25], device=device)
        part = functional.pad(images[blurred], (1, 1, 1, 1), mode='replicate')
        weight = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
        images[blurred] = functional.conv2d(part, weight, groups=3)

    images, moved = _shift(images, config.shift_px, generator, frames)
    if config.noise:
        # One field of noise, rolled differently for each frame: drawing is the costly part.
        field = torch.randn(3, height * 2, width * 2, generator=generator, device=device)
        tops = torch.randint(0, height, (count,), generator=generator, device=device).tolist()
        lefts = torch.randint(0, width, (count,), generator=generator, device=device).tolist()
        levels = chance(count).mul(config.noise).tolist()
        for i, (top, left, level) in enumerate(zip(tops, lefts, levels, strict=True)):
            images[i].add_(field[:, top:top + height, left:left + width], alpha=level)
    return images.clamp(-1, 1), moved


def _shift(images: Tensor, limit: int, generator: torch.Generator, frames: int
           ) -> tuple[Tensor, Tensor]:
    """Move each image by whole pixels, repeating the border."""
    count, _, height, width = images.shape
    if limit == 0:
        return images, torch.zeros(count // frames, 2, device=images.device)
    steps = torch.randint(-limit, limit + 1, (count // frames, 2), generator=generator,
                          device=images.device)
    padded = functional.pad(images, (limit,) * 4, mode='replicate')
    result = torch.empty_like(images)
    each = steps.repeat_interleave(frames, dim=0).tolist()  # right, down
    for i, (right, down) in enumerate(each):
        top, left = limit - down, limit - right
        result[i] = padded[i, :, top:top + height, left:left + width]
    return result, steps * torch.tensor([2 / width, 2 / height], device=images.device)


def noisy_words(words: Tokens, level: float, generator: torch.Generator) -> Tokens:
    """Word features with noise of that deviation, where there are words."""
    noise = torch.randn(words.values.shape, generator=generator, device=words.values.device)
    noise = noise * words.exists[..., None]
    return Tokens(words.values.add(noise, alpha=level), words.mask)
