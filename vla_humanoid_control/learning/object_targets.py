"""What the network that finds objects is to answer for a picture, and how wrong an answer is.

Parts of pictures are learnt from, mostly those with an object: of a whole picture nearly all is
floor and wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.data.object_views import COLUMNS
from vla_humanoid_control.learning.corruptions import CORRUPTIONS
from vla_humanoid_control.perception.object_network import CELL_PX, UNIT_PX, Answers
from vla_humanoid_control.simulation.seeing import IN_VIEW, LEAST_PX, SIZE

PART = (160, 128)
"""Width and height of a part [px]."""
_BROKEN = ('black', 'saturated', 'plain', 'noise', 'clouds', 'stripes', 'blurred', 'negative',
           'shuffled', 'shapes')
"""Corruptions that leave no object that could be found, or none where it was."""
_SHARE, _COLOUR, _SHAPE, _TABLE, _PIXELS = (COLUMNS.index(n) for n in (
    'share', 'colour', 'shape', 'on_table', 'pixels'))
_BOX = slice(COLUMNS.index('left'), COLUMNS.index('bottom') + 1)
_CENTRE = slice(COLUMNS.index('u'), COLUMNS.index('v') + 1)


@dataclass(frozen=True)
class Targets:
    """What is right, for parts of pictures; a cell is of the object that it is nearest to.

    Attributes:
        heat: float32 [B, h, w], 1 in the middle of an object, falling around it.
        counts: float32 [B, h, w], 0 where nobody may say whether there is an object.
        cell: int64 [C, 3], picture, row and column of cells near the middle of an object.
        kind: int64 [C, 3], of each its colour, shape and whether it stands on a table.
        place: float32 [C, 6], of each its box and centre, as in `Answers`.
        weight: float32 [C], of each, so that every object counts as much, near or far.
    """

    heat: Tensor
    counts: Tensor
    cell: Tensor
    kind: Tensor
    place: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Part:
    """A part of a picture.

    Attributes:
        image: uint8 [128, 160, 3].
        objects: float32 [M, 14], of `COLUMNS`, boxes and centres in its own pixels.
        asked: bool [M], whether each can be asked to be found; else it does not count.
    """

    image: NDArray[np.uint8]
    objects: NDArray[np.float32]
    asked: NDArray[np.bool_]


def take_part(image: NDArray[np.uint8], objects: NDArray[np.float32],
              rng: np.random.Generator) -> Part:
    """A part of a picture, varied: where, how large, mirrored, how bright, how sharp, how noisy.

    Args:
        image: RGB uint8 [240, 320, 3].
        objects: float32 [M, 14], of `COLUMNS`, as in a file of pictures.
        rng: Source of chance.
    """
    rows = objects.copy()
    rows[:, _BOX] *= np.tile(SIZE, 2)
    rows[:, _CENTRE] *= SIZE
    scale = rng.uniform(0.8, 1.25) if rng.random() < 0.5 else 1.0
    wide, high = (min(round(side / scale), whole) for side, whole in zip(PART, SIZE))
    middle = rng.uniform((0, 0), SIZE)
    if len(rows) and rng.random() < 0.85:
        left, top, right, bottom = rows[int(rng.integers(len(rows))), _BOX]
        middle = np.array([left + right, top + bottom]) / 2 + rng.normal(0, (30, 24))
    x, y = (int(np.clip(m - side / 2, 0, whole - side))
            for m, side, whole in zip(middle, (wide, high), SIZE))
    part = np.ascontiguousarray(image[y:y + high, x:x + wide])
    if (wide, high) != PART:
        how = cv2.INTER_AREA if wide > PART[0] else cv2.INTER_LINEAR
        part = np.asarray(cv2.resize(part, PART, interpolation=how), np.uint8)
    factors = np.array([PART[0] / wide, PART[1] / high])
    rows[:, _CENTRE] = (rows[:, _CENTRE] - (x, y)) * factors
    whole_boxes = (rows[:, _BOX] - (x, y, x, y)) * np.tile(factors, 2)
    if rng.random() < 0.5:
        part = np.ascontiguousarray(part[:, ::-1])
        rows[:, _CENTRE.start] = PART[0] - rows[:, _CENTRE.start]
        whole_boxes[:, [0, 2]] = PART[0] - whole_boxes[:, [2, 0]]
    rows[:, _BOX] = np.clip(whole_boxes, 0, np.tile(PART, 2))
    rows[:, _SHARE] *= _area(rows[:, _BOX]) / np.maximum(_area(whole_boxes), 1e-3)
    rows = rows[_area(rows[:, _BOX]) > 0]
    asked = (rows[:, _SHARE] >= IN_VIEW) & (rows[:, _PIXELS] >= LEAST_PX)
    if rng.random() < 0.05:
        name = _BROKEN[int(rng.integers(len(_BROKEN)))]
        return Part(CORRUPTIONS[name](part, rng), rows[:0], asked[:0])
    return Part(_varied(part, rng), rows, asked)


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def _varied(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another light and another camera; what is what stays visible."""
    pixels = image.astype(np.float32)
    if rng.random() < 0.2:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 2.5)), np.float32)
    light = rng.uniform(0.25, 0.6) if rng.random() < 0.2 else rng.uniform(0.6, 1.3)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * np.float32(rng.uniform(0.8, 1.2))
    pixels *= (light * rng.uniform(0.95, 1.05, 3)).astype(np.float32)
    spread = rng.uniform(5, 25) if rng.random() < 0.15 else rng.uniform(0, 3)
    noise = rng.standard_normal(image.shape, np.float32)
    return np.clip(pixels + np.float32(spread) * noise, 0, 255).astype(np.uint8)


def to_pictures(images: NDArray[np.uint8]) -> Tensor:
    """Images uint8 [B, H, W, 3] as the network takes them, float32 [B, 3, H, W]."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return tensor.div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)


def targets_of(parts: list[Part]) -> Targets:
    """What is right for some parts."""
    high, wide = PART[1] // CELL_PX, PART[0] // CELL_PX
    rows, columns = np.mgrid[:high, :wide].astype(np.float32)
    at = np.stack([columns + 0.5, rows + 0.5]) * CELL_PX  # [2, h, w], middles of cells [px]
    heat, counts = np.zeros((len(parts), high, wide), np.float32), np.ones(
        (len(parts), high, wide), np.float32)
    cells, kinds, places, weights = [], [], [], []
    for number, part in enumerate(parts):
        for box in part.objects[~part.asked, _BOX]:
            counts[number][(at[0] > box[0] - 4) & (at[0] < box[2] + 4)
                           & (at[1] > box[1] - 4) & (at[1] < box[3] + 4)] = 0
        found = part.objects[part.asked]
        if not len(found):
            continue
        hills = np.stack([_hill(at, row[_BOX]) for row in found])  # [M, h, w]
        whose = hills.argmax(axis=0)
        heat[number] = hills.max(axis=0)
        near = np.argwhere(heat[number] > 0.55)
        owner = whose[near[:, 0], near[:, 1]]
        own = found[owner]
        weights.append(1 / np.bincount(owner, minlength=len(found))[owner])
        middle = at[:, near[:, 0], near[:, 1]].T  # [C, 2]
        box, centre = own[:, _BOX], own[:, _CENTRE]
        cells.append(np.c_[np.full(len(near), number), near])
        kinds.append(own[:, [_COLOUR, _SHAPE, _TABLE]])
        places.append(np.c_[middle - box[:, :2], box[:, 2:] - middle, centre - middle] / UNIT_PX)
        counts[number] = np.maximum(counts[number], heat[number] > 0.55)
    return Targets(torch.from_numpy(heat), torch.from_numpy(counts),
                   torch.from_numpy(np.concatenate([np.zeros((0, 3)), *cells]).astype(np.int64)),
                   torch.from_numpy(np.concatenate([np.zeros((0, 3)), *kinds]).astype(np.int64)),
                   torch.from_numpy(np.concatenate([np.zeros((0, 6)), *places]
                                                   ).astype(np.float32)),
                   torch.from_numpy(np.concatenate([np.zeros(0), *weights]).astype(np.float32)))


def _hill(at: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 in the cell in which a box has its middle, falling to nothing at its edges."""
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    cell = (np.floor(middle / CELL_PX) + 0.5) * CELL_PX
    spread = np.maximum((box[2:] - box[:2]) / 6, 0.6 * CELL_PX)
    away = ((at - cell[:, None, None]) / spread[:, None, None]) ** 2
    return np.exp(-away.sum(axis=0) / 2).astype(np.float32)


def losses(answers: Answers, targets: Targets) -> dict[str, Tensor]:
    """How wrong the answers are: heat (focal), kind and place, each per object."""
    heat, right = answers.heat[:, 0].float(), targets.heat
    sure = functional.logsigmoid(heat)
    unsure = functional.logsigmoid(-heat)
    share = torch.sigmoid(heat)
    top = (right > 0.999).float()
    focal = -(top * (1 - share) ** 2 * sure
              + (1 - top) * (1 - right) ** 4 * share ** 2 * unsure) * targets.counts
    result = {'heat': focal.sum() / top.sum().clamp(min=1.0)}
    number, row, column = targets.cell.T
    if not len(number):
        return result
    colour, shape, table, box, centre = (part[number, :, row, column].float()
                                         for part in answers[1:])
    each = {
        'colour': functional.cross_entropy(colour, targets.kind[:, 0], reduction='none'),
        'shape': functional.cross_entropy(shape, targets.kind[:, 1], reduction='none'),
        'table': functional.binary_cross_entropy_with_logits(
            table[:, 0], targets.kind[:, 2].float(), reduction='none'),
        'box': functional.smooth_l1_loss(box, targets.place[:, :4], beta=0.1,
                                         reduction='none').mean(1),
        'centre': functional.smooth_l1_loss(centre, targets.place[:, 4:], beta=0.1,
                                            reduction='none').mean(1)}
    objects = targets.weight.sum()
    return result | {name: (value * targets.weight).sum() / objects
                     for name, value in each.items()}
