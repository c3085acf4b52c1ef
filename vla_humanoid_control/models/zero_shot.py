"""Which object in view a phrase names, by a model that tells how alike images and texts are.

    image ─► a crop for each box ─► embeddings ─┐
                                                ├─► cosines ─► probability of each object
    'a red box' ─────────────────► embedding ───┘

As CLIP chooses among classes that it was not trained for (Radford et al., 2021, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_humanoid_control.models.parts.heads.contrastive import ContrastiveHead
from vla_humanoid_control.models.streams import Inputs
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.transforms import as_frames, normalise_images
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.support.errors import UserError

_MARGIN = 0.15
"""Around a box, as a share of its sides: what an object stands on tells its size."""

Box = Sequence[float]
"""Left, top, right and bottom, as shares of an image's width and height."""


def crop(image: NDArray[np.uint8], box: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What is in a box of an image, with a little around it.

    Args:
        image: RGB uint8 [H, W, 3].
        box: In it.
        size: Width and height of the crop [px]; what has another shape is padded with black.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box
    across, down = _MARGIN * (right - left), _MARGIN * (bottom - top)
    x0 = min(max(0, int((left - across) * width)), width - 1)
    y0 = min(max(0, int((top - down) * height)), height - 1)
    x1, y1 = int(np.ceil((right + across) * width)), int(np.ceil((bottom + down) * height))
    return resize_image(image[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1)], size, 'pad')


def crop_inputs(model: System, crops: NDArray[np.uint8], phrases: Sequence[str]) -> Inputs:
    """Crops uint8 [N, H, W, 3] and as many phrases, as a model is given them."""
    role, images = next(iter(model.space.images)), torch.from_numpy(crops)
    shown = normalise_images(images).repeat_interleave(model.space.frames, 0)
    return Inputs({role: as_frames(shown, model.space.frames)}, torch.arange(len(crops)),
                  text=tuple(phrases))


@torch.inference_mode()
def choose_object(model: System, image: NDArray[np.uint8], boxes: Sequence[Box],
                  phrases: Sequence[str]) -> Tensor:
    """Probability of each object for each phrase, [P, N].

    Args:
        model: In eval mode; with a head that learns alignment, such as `clip`.
        image: RGB uint8 [H, W, 3].
        boxes: Of the N objects in it.
        phrases: Such as 'a red box', P of them.

    Raises:
        UserError: The model has no such head.
    """
    found = model.head('alignment')
    if found is None:
        raise UserError('The model does not tell how alike images and texts are. Use one with a '
                        'contrastive head, such as clip.')
    name, head = found
    assert isinstance(head, ContrastiveHead)
    seen, said = model.config.parts[name].of[:2]
    size = next(iter(model.space.images.values()))
    crops = np.stack([crop(image, box, size) for box in boxes])
    # Each tower is asked for itself: there are not as many phrases as objects.
    shown = model(crop_inputs(model, crops, [phrases[0]] * len(crops)))[seen].vector
    told = model(Inputs(text=tuple(phrases)))[said].vector
    return head.choose(shown, told)
