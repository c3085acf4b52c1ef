"""Where in the image a policy looks for each word of an instruction.

What a word does is how the actions change without it. The map of a word is the gradient of that
change with respect to the pixels; the map of the instruction is the gradient of the actions
themselves. Gradients are averaged over copies of the image with noise (SmoothGrad, Smilkov et
al., 2017, https://arxiv.org/abs/1706.03825), so that any model has such maps, with attention or
without. Where parts of a model attend to the cells of an image, their own maps stand beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.interfaces import Observation, Prompt
from vla_humanoid_control.models.attention_maps import attention_maps
from vla_humanoid_control.models.config import stem
from vla_humanoid_control.models.streams import Inputs, Targets, Tokens
from vla_humanoid_control.models.system import System
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.policy.native import CheckpointPolicy, blank_observation

_COPIES, _NOISE = 8, 0.1
_CELL = 8  # pixels that are summed up: single ones say little


@dataclass(frozen=True)
class Explanation:
    """Maps over the image that a policy was shown; each sums up to 1.

    Attributes:
        image: uint8 [H, W, 3], as the policy sees it.
        words: Of the instruction, n of them.
        whole: float32 [H, W], of the instruction.
        each: float32 [n, H, W], of every word.
        attention: Name of a module that attends to the cells of the image to its map, float32
            [H, W], the mean over heads and queries.
    """

    image: NDArray[np.uint8]
    words: tuple[str, ...]
    whole: NDArray[np.float32]
    each: NDArray[np.float32]
    attention: Mapping[str, NDArray[np.float32]]


def explain(policy: CheckpointPolicy, image: NDArray[np.uint8], instruction: str,
            joints: NDArray[np.float64] | None = None) -> Explanation:
    """Explain what a policy would do now.

    Args:
        policy: The policy; it begins the instruction.
        image: RGB uint8 [H, W, 3] of any size, through its first camera, for all of its history.
        instruction: What it is told.
        joints: Positions [J]; zero by default.

    Raises:
        UnreadableError: The instruction is longer than the policy reads.
    """
    feature = policy.spec.images[0]
    small = resize_image(image, feature.size, feature.fit)
    blank = blank_observation(policy.spec)
    told = {} if joints is None else {policy.spec.states[0].name: joints[None]}
    history = np.stack([small] * len(feature.times_s))
    shown = Observation(0, {**blank.images, feature.role: history}, {**blank.state, **told})
    words = tuple(re.findall(r"[\w']+", instruction))
    policy.reset(Prompt(instruction))
    asked = policy.inputs(shown)
    maps, attention = [_map(policy.model, asked, None)], _attention(policy.model, asked)
    for place in range(len(words)):
        policy.reset(Prompt(' '.join((*words[:place], *words[place + 1:]))))
        maps.append(_map(policy.model, asked, policy.inputs(shown)))
    return Explanation(small, words, maps[0], np.stack(maps[1:]) if words else
                       np.zeros((0, *maps[0].shape), np.float32), attention)


def _map(model: System, asked: Inputs, without: Inputs | None) -> NDArray[np.float32]:
    """Gradient of the actions, or of what they lose without a word, [H, W]."""
    role = next(iter(asked.images))
    generator = torch.Generator().manual_seed(0)
    shown = asked.images[role].expand(_COPIES, -1, -1, -1, -1)
    pixels = (shown + _NOISE * torch.randn(shown.shape, generator=generator)).requires_grad_()
    with torch.enable_grad():
        lost = _actions(model, _copies(asked, role, pixels))
        if without is not None:
            lost = lost - _actions(model, _copies(without, role, pixels))
        gradient, = torch.autograd.grad(lost.square().sum(), pixels)  # [copies, T, 3, H, W]
    total = gradient.abs().sum((0, 1, 2))
    cells = functional.avg_pool2d(total[None, None], _CELL, ceil_mode=True)
    smooth = functional.interpolate(cells, total.shape, mode='nearest')[0, 0]
    return (smooth / smooth.sum().clamp(min=1e-12)).numpy()


@torch.no_grad()
def _attention(model: System, asked: Inputs) -> dict[str, NDArray[np.float32]]:
    """What attends to the cells of an image, and to nothing else, [H, W] each."""
    with attention_maps(model) as maps:
        model.predict(model(asked), 'action', torch.Generator().manual_seed(0))
    size = next(iter(asked.images.values())).shape[-2:]
    found = {}
    for name, seen in maps.items():
        for stream in model.config.parts[stem(name)].of:
            shape = model.shape(stream)
            if shape is None or shape.grid is None or shape.tokens != seen.shape[3]:
                continue
            cells = seen.mean((0, 1, 2)).reshape(-1, *shape.grid).sum(0)  # of all frames
            whole = functional.interpolate(cells[None, None].float(), tuple(size))[0, 0]
            found[name] = (whole / whole.sum().clamp(min=1e-12)).numpy()
    return found


def _copies(one: Inputs, role: str, pixels: Tensor) -> Inputs:
    """A batch of one row as one for each image of a camera."""
    def rows(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.expand(len(pixels), *value.shape[1:])
    words = one.words and Tokens(
        one.words.values.expand(len(pixels), -1, -1), one.words.exists.expand(len(pixels), -1))
    images = {r: pixels if r == role else v.expand(len(pixels), -1, -1, -1, -1)
              for r, v in one.images.items()}
    return Inputs(images, torch.arange(len(pixels)), rows(one.joints), rows(one.time), words,
                  (one.text or ('',)) * len(pixels))


def _actions(model: System, inputs: Inputs) -> Tensor:
    """Actions that pass gradients on; of a head that chooses, how unlikely its choice is."""
    streams = model(inputs)
    actions: Tensor = model.predict(streams, 'action', torch.Generator().manual_seed(0))
    if actions.requires_grad:
        return actions
    found = model.head('action')
    assert found is not None
    name, head = found
    return head.loss(streams[name], Targets(actions=actions), torch.Generator().manual_seed(0))
