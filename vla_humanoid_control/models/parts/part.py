"""What every part fulfils."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from vla_humanoid_control.models.streams import Shape, Targets

Shapes = Sequence[Any]
"""Of the streams that a part is built on: a `Shape`, or None where it is none of tokens."""


class Part(nn.Module):
    """Streams to a stream.

    A part is built by `Part(space, of, **settings)`: what the model is made for, the shapes of the
    streams that its configuration names, in that order, and its own settings. `forward` takes
    those streams.

    Attributes:
        gives: The shape of what it gives; by field, where it gives several; None for none.
    """

    gives: Shape | Mapping[str, Shape] | None = None

    def train(self, mode: bool = True) -> Part:
        """As `nn.Module.train`, but that what is frozen stays as it is: its statistics, too."""
        super().train(mode)
        for child in self.children():
            own = list(child.parameters())
            if own and not any(p.requires_grad for p in own):
                child.eval()
        return self


class Head(Part):
    """A part that is taught, and answers.

    `forward` gives raw outputs, or what `loss` and `predict` need to make them.

    Attributes:
        learns: What it learns and answers: 'action', 'progress', 'target', 'instruction',
            'confidence', 'alignment', 'answer'. The weights of losses go by these names.
        draws: Whether its loss depends on chance.
    """

    learns: ClassVar[str]
    draws: ClassVar[bool] = False

    def loss(self, output: Any, targets: Targets, generator: Generator | None = None) -> Tensor:
        """Of every row, [B]."""
        raise NotImplementedError

    def predict(self, output: Any, generator: Generator | None = None) -> Any:
        """Its answer; the same for the same state of the generator."""
        raise NotImplementedError


def wanted(value: Tensor | None, what: str) -> Tensor:
    """A target that must be there; ValueError where it is not."""
    if value is None:
        raise ValueError(f'the batch has no {what}, which this head is to learn')
    return value
