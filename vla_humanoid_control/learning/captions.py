"""Image-text pairs out of demonstrations: what the simulator's state says of each image.

Every sample about an object knows whether the object is in the image, where, and how far away.
That answers questions and makes captions:

    Q: is there a red box? A: yes
    Q: where is the blue cup? A: on the left
    Q: how far is the green ball? A: near
    a yellow cone on the right
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from vla_humanoid_control.data.shards import ShardSet, make_batch
from vla_humanoid_control.models.parts.language.prompts import QUESTION
from vla_humanoid_control.models.streams import Inputs, Targets
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.transforms import (
    Statistics,
    as_frames,
    normalise_images,
    normalise_joints,
    normalise_time,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import OBJECT_FAMILIES, TASK_KEYS, family_of

_SIDE, _NEAR_M = 0.33, 1.5  # of the image's half width, either side of the middle; and of the way


class Captions:
    """Pairs of the images of some shards.

    Args:
        shards: The demonstrations.

    Raises:
        UserError: None of them is about an object.
    """

    def __init__(self, shards: ShardSet) -> None:
        about = np.array([family_of(key) in OBJECT_FAMILIES for key in TASK_KEYS])
        samples = shards.samples
        self._shards = shards
        self._rows = np.flatnonzero(about[samples.task] & ~np.isnan(samples.target[:, 0]))
        if not len(self._rows):
            raise UserError('No demonstration is about an object, so that there is nothing to say '
                            'of an image. Set captions_per_batch to 0, or collect go_to.')

    def draw(self, model: System, count: int, statistics: Statistics, rng: np.random.Generator
             ) -> tuple[Inputs, Targets]:
        """A batch for the heads of a model that learn from texts: `heads_of`.

        Args:
            model: The model: where a head answers, it is asked; else images get captions.
            count: Of pairs.
            statistics: Normalisation.
            rng: Source of chance.
        """
        rows = rng.choice(self._rows, count)
        samples, space = self._shards.samples, model.space
        answers = any(model.heads('answer'))
        pairs = [self._pair(row, answers, rng) for row in rows]
        batch = make_batch(samples, rows)
        shown = self._shards.gather_histories(batch.frames, space.frames)
        images = normalise_images(torch.from_numpy(shown).flatten(0, 1))
        return (Inputs(
            {'head': as_frames(images, space.frames)}, torch.from_numpy(batch.frame_of_row),
            normalise_joints(torch.from_numpy(self._shards.joints[samples.frame[rows]]),
                             statistics),
            normalise_time(torch.zeros(count), torch.zeros(count, 3), torch.zeros(count)),
            text=tuple(text for text, _ in pairs)), Targets(
            answers=tuple(answer for _, answer in pairs) if answers else None))

    def _pair(self, row: int, answers: bool, rng: np.random.Generator) -> tuple[str, str]:
        """A question and its answer, or a caption and nothing."""
        samples = self._shards.samples
        name = ' '.join(TASK_KEYS[samples.task[row]].split(':')[1:])
        visible, u, _, distance = samples.target[row]
        if not answers:
            return (f'a {name} {side(u)}' if visible > 0.5 else f'no {name}'), ''
        kinds: list[Callable[[], tuple[str, str]]] = [
            lambda: (f'is there a {name}?', 'yes' if visible > 0.5 else 'no')]
        if visible > 0.5:
            kinds += [lambda: (f'where is the {name}?', side(u)),
                      lambda: (f'how far is the {name}?',
                               'near' if distance < _NEAR_M else 'far')]
        question, answer = kinds[int(rng.integers(len(kinds)))]()
        return f'{QUESTION} {question}', answer


def heads_of(model: System) -> list[str]:
    """Names of a model's heads that learn from such pairs."""
    return [*(name for name, _ in model.heads('answer')),
            *(name for name, _ in model.taught('alignment'))]


def side(u: float) -> str:
    """Where in the image something is, u in [-1, 1] to the right."""
    return 'on the left' if u < -_SIDE else 'on the right' if u > _SIDE else 'in the middle'
