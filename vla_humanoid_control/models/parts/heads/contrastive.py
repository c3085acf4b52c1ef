"""Images and texts that belong together are alike, others are not: InfoNCE, as in CLIP.

Radford et al., 2021, https://arxiv.org/abs/2103.00020: section 2.3 and figure 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.part import Head, Shapes
from vla_humanoid_control.models.streams import Frames, Space, Targets, Tokens

_LARGEST = 100.0
"""Of the factor of similarities, as in CLIP: above it training was unstable."""


@dataclass(frozen=True)
class Pairs:
    """Embeddings of a batch, of length one.

    Attributes:
        images: [B, D].
        texts: [B, D].
        alike: bool [B, B], whether two rows are about one image or say the same.
    """

    images: Tensor
    texts: Tensor
    alike: Tensor


class ContrastiveHead(Head):
    """Picks from the batch the text of each image, and the image of each text.

    Rows of the batch that say the same, or are about one image, are not held to differ: among few
    tasks and captions they are frequent, which in CLIP's 32,768 pairs of a batch they are not.
    """

    learns = 'alignment'

    def __init__(self, space: Space, of: Shapes) -> None:
        """Build it on embeddings of images and of texts, the texts, and the images."""
        super().__init__()
        if of[0].width != of[1].width:
            raise ValueError(f'embeddings must be of one width: {of[0].width}, {of[1].width}')
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied by: one over the temperature."""
        return self.log_scale.exp()

    def forward(self, seen: Tokens, said: Tokens, text: Sequence[str], image: Frames) -> Pairs:
        """Embeddings [B, N, D] each, with what they are of."""
        images, texts = (functional.normalize(t.vector.float(), dim=-1) for t in (seen, said))
        which = torch.tensor([text.index(t) for t in text], device=images.device)
        frame = image.frame.to(images.device)
        return Pairs(images, texts, (which[:, None] == which) | (frame[:, None] == frame))

    def loss(self, output: Pairs, targets: Targets, generator: Generator | None = None) -> Tensor:
        """Cross-entropy among the texts and among the images of the batch, the mean; [B]."""
        with torch.no_grad():  # a clamp in the graph would never let it come back
            self.log_scale.clamp_(max=math.log(_LARGEST))
        logits = self.scale * output.images @ output.texts.T  # [images, texts]
        right = torch.arange(len(logits), device=logits.device)
        logits = logits.masked_fill(output.alike & ~(right[:, None] == right), -torch.inf)
        return (functional.cross_entropy(logits, right, reduction='none')
                + functional.cross_entropy(logits.T, right, reduction='none')) / 2

    def predict(self, output: Pairs, generator: Generator | None = None) -> Tensor:
        """How alike the image and the text of each row are, the cosine, [B]."""
        return (output.images * output.texts).sum(1)

    def choose(self, crops: Tensor, phrases: Tensor) -> Tensor:
        """Which object a phrase names, without training for these objects; see `named_object`."""
        return named_object(crops, phrases, self.scale)


def named_object(crops: Tensor, phrases: Tensor, scale: Tensor | float) -> Tensor:
    """Which of some objects a phrase names.

    Args:
        crops: Embeddings of crops of an image, one for each object, [N, D].
        phrases: Embeddings of phrases such as 'a red box', [P, D].
        scale: What similarities are multiplied by.

    Returns:
        Probability of each object for each phrase, [P, N].
    """
    crops, phrases = (functional.normalize(t.float(), dim=-1) for t in (crops, phrases))
    return (scale * phrases @ crops.T).softmax(dim=1)
