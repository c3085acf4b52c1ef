"""Contrastive pretraining on crops: an object in view, and the phrase that names it.

Pictures and boxes are those of `data/object_views.py`; the simulator's state says what each is.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vla_humanoid_control.data.object_views import COLUMNS, ObjectViews, read_object_views
from vla_humanoid_control.models.streams import Inputs, Targets
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.zero_shot import choose_object, crop, crop_inputs
from vla_humanoid_control.support.bounds import bounded, check_bounds
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

_LEAST_PIXELS = 40
"""An object with fewer, in a picture of 320 x 240, cannot be told [px]."""
_FRAME, _COLOUR, _SHAPE, _PIXELS = (COLUMNS.index(n) for n in ('frame', 'colour', 'shape',
                                                               'pixels'))
_HELD_OUT = 0.1
"""Share of the pictures, the last ones, on which is counted what was learnt."""
_BOX = slice(COLUMNS.index('left'), COLUMNS.index('bottom') + 1)


@dataclass(frozen=True)
class CropConfig:
    """How a contrastive head is trained on crops.

    Attributes:
        steps: How many.
        batch_size: Pairs in each.
        learning_rate: At the start; a cosine brings it to zero.
    """

    steps: int = bounded(600, 1, 10**7)
    batch_size: int = bounded(64, 2, 10**5)
    learning_rate: float = bounded(0.001, 1e-9, 10)

    def __post_init__(self) -> None:
        check_bounds(self)


class CropPairs:
    """Objects that can be told, and what they are called.

    Args:
        views: Pictures and the objects in them.

    Raises:
        UserError: None is large enough.
    """

    def __init__(self, views: ObjectViews) -> None:
        self._views = views
        self._objects = views.objects[views.objects[:, _PIXELS] >= _LEAST_PIXELS]
        if not len(self._objects):
            raise UserError('None of the objects in these pictures is large enough to be told.')

    def draw(self, model: System, count: int, rng: np.random.Generator) -> Inputs:
        """A batch of crops and phrases for a model's contrastive head."""
        size = next(iter(model.space.images.values()))
        rows = self._objects[rng.choice(len(self._objects), count)]
        crops = np.stack([crop(self._views.image(int(row[_FRAME])), row[_BOX].tolist(), size)
                          for row in rows])
        return crop_inputs(model, crops, [phrase(row[_COLOUR], row[_SHAPE]) for row in rows])


def phrase(colour: float, shape: float) -> str:
    """What an object is called, by its columns: 'a red box'."""
    return f'a {COLOURS[int(colour)]} {SHAPES[int(shape)]}'


def learn_crops(model: System, folder: Path, config: CropConfig, seed: int) -> None:
    """Pretrain a model on the pictures of a folder, and say what it learnt.

    Args:
        model: With a head that learns alignment.
        folder: Pictures that `collection/object_views.py` has made.
        config: How long, and how.
        seed: Source of chance.

    Raises:
        UserError: There are no such pictures, or the model has no such head.
    """
    views = read_object_views(folder)
    learnt = max(1, round((1 - _HELD_OUT) * len(views)))
    pretrain(model, CropPairs(views.part(0, learnt)), config, seed)
    found = judge_choices(model, views.part(learnt, len(views)))
    print(f'Of {found.asked} phrases, {found.right} name the right object in pictures that were '
          f'held out (by chance {found.chance * found.asked:.0f}).', file=sys.stderr)


def pretrain(model: System, pairs: CropPairs, config: CropConfig, seed: int) -> list[float]:
    """Train the contrastive head and what it is built on; leaves the model in eval mode.

    Args:
        model: With a head that learns alignment.
        pairs: What it learns from.
        config: How long, and how.
        seed: Source of chance.

    Returns:
        The loss of each step.

    Raises:
        UserError: The model has no such head.
    """
    found = model.head('alignment')
    if found is None:
        raise UserError('The model has no head that learns from image-text pairs. Use one that '
                        'has, such as clip, or leave the crops out.')
    name, head = found
    model.train()
    learnt = [p for _, p in model.cloned()]
    device = learnt[0].device
    optimizer = torch.optim.AdamW(learnt, lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    rng, losses, line = np.random.default_rng(seed), [], ProgressLine('crops')
    began_s = time.monotonic()
    for step in range(1, config.steps + 1):
        optimizer.zero_grad()
        inputs = pairs.draw(model, config.batch_size, rng).to(device)
        loss = head.loss(model(inputs)[name], Targets()).mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        pace_s = (time.monotonic() - began_s) / step
        line.show(step / config.steps, config.batch_size / pace_s, 'pairs',
                  (config.steps - step) * pace_s, f'alignment {losses[-1]:.3f}')
    line.close()
    model.eval()
    return losses


@dataclass(frozen=True)
class Choices:
    """How often a phrase named the right object.

    Attributes:
        asked: Phrases, each of one object among two or more of different kinds.
        right: Those for which that object was the most probable.
        chance: Mean share of objects that were right, as a guess would have it.
    """

    asked: int
    right: int
    chance: float


def judge_choices(model: System, views: ObjectViews) -> Choices:
    """Ask for each object that is the only one of its kind in a picture which one it is."""
    told = views.objects[views.objects[:, _PIXELS] >= _LEAST_PIXELS]
    right, chances = 0, []
    for frame in np.unique(told[:, _FRAME]):
        objects = told[told[:, _FRAME] == frame]
        kinds = [phrase(o[_COLOUR], o[_SHAPE]) for o in objects]
        asked = [i for i, kind in enumerate(kinds) if kinds.count(kind) == 1]
        if len(set(kinds)) < 2 or not asked:
            continue
        found = choose_object(model, views.image(int(frame)), objects[:, _BOX].tolist(),
                              [kinds[i] for i in asked])
        right += int((found.argmax(1) == torch.tensor(asked)).sum())
        chances += [1 / len(objects)] * len(asked)
    return Choices(len(chances), right, float(np.mean(chances)) if chances else 0.0)
