"""Image novelty: whether an image can be a view of the world that a policy was measured in.

    view      how far it lies from the views of episodes that succeeded, log of a distance
    picture   whether it is no view of this world at all, learnt from views and from pictures of
              anything else (`learning/pictures.py`): 0 for views, log odds for pictures

The two err on different images: a smooth grey picture lies in the midst of all views, and a street
with sky and houses looks like a place where a robot could be. Both look at features of the image
at two depths of a small convolutional network, which was trained on other things and is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.signals.density import Arrays, Density, Perceptron
from vla_humanoid_control.interfaces import IMAGE_SIZE
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.support.resources import resource_path

if TYPE_CHECKING:
    from torch import Tensor

PLAIN = 304
"""Features that say little of where in the image something is; a density of all would know next to
nothing."""
_BANDS, _GRID = (3, 1), (3, 4)
"""Parts of the image that are averaged apart: floor, furniture and walls have their places."""
_HIDDEN, _EPOCHS = 128, 30


class ViewFeatures:
    """Features of images: means and deviations of two layers, and means of parts, [N, F].

    Args:
        arrays: Weights of the layers by name.
    """

    def __init__(self, arrays: Arrays) -> None:
        import torch
        self.arrays = arrays
        self._weights = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}

    @staticmethod
    def shipped() -> ViewFeatures:
        """The first layers of the default policy's image encoder."""
        with np.load(resource_path('view_features.npz')) as file:
            return ViewFeatures({name: file[name] for name in file.files})

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Images, RGB uint8 [H, W, 3] of any size, to features [N, F]."""
        import torch
        from torch.nn import functional
        w = self._weights
        small = np.stack([resize_image(image, IMAGE_SIZE, 'stretch') for image in images])
        with torch.inference_mode():
            x = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1
            x = functional.pixel_unshuffle(x, 2)
            x = first = functional.relu(functional.conv2d(x, w['a.weight'], w['a.bias'],
                                                          padding=1))
            x = functional.conv2d(x, w['b.weight'], w['b.bias'], stride=2, padding=1)
            x = functional.relu(_norm(x, w['b.scale'], w['b.shift']))
            y = functional.relu(functional.conv2d(x, w['c.weight'], w['c.bias'], padding=1))
            y = functional.conv2d(y, w['d.weight'], w['d.bias'], padding=1)
            second = x + functional.relu(_norm(y, w['d.scale'], w['d.shift']))
            placed = [functional.adaptive_avg_pool2d(second, shape).flatten(1)
                      for shape in (_BANDS, _GRID)]
            parts = [*_moments(first), *_moments(second), *placed]
            return np.asarray(torch.cat(parts, dim=1).numpy(), np.float32)


@dataclass(frozen=True)
class ViewSignals:
    """`view` and `picture` of one camera.

    Attributes:
        known: Of views of episodes that succeeded.
        other: Tells other pictures from all views.
    """

    known: Density
    other: Perceptron

    @staticmethod
    def fit(views: NDArray[np.float32], succeeded: NDArray[np.bool_],
            pictures: NDArray[np.float32], seed: int) -> ViewSignals:
        """Learn from features.

        Args:
            views: Of all views, [N, F].
            succeeded: [N], those of episodes that did.
            pictures: Of pictures of anything else, [M, F].
            seed: Of all chance.
        """
        y = np.concatenate([np.zeros(len(views)), np.ones(len(pictures))])
        weight = np.where(y > 0.5, 1.0, min(1.0, len(pictures) / len(views)))
        return ViewSignals(
            Density.fit(views[succeeded, :PLAIN]),
            Perceptron.fit(np.concatenate([views, pictures]), y, weight, seed, _HIDDEN, _EPOCHS))

    def measure(self, features: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Signals, [N] each, of features [N, F]."""
        return {'view': np.log(self.known.distance(features[:, :PLAIN]) + 1e-3),
                # How sure it is of what is a view for sure says nothing.
                'picture': np.logaddexp(0.0, self.other.log_odds(features))}

    @property
    def arrays(self) -> Arrays:
        """For a file."""
        return {f'{part}.{name}': value for part, one in (('known', self.known),
                                                          ('other', self.other))
                for name, value in one.arrays.items()}

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> ViewSignals:
        """The inverse of `arrays`."""
        parts = {part: {n.removeprefix(f'{part}.'): v for n, v in arrays.items()
                        if n.startswith(f'{part}.')} for part in ('known', 'other')}
        return ViewSignals(Density(**parts['known']), Perceptron(**parts['other']))


def _norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer normalisation over channels, [N, C, h, w]."""
    from torch.nn import functional
    return functional.layer_norm(x.permute(0, 2, 3, 1), scale.shape, scale, shift
                                 ).permute(0, 3, 1, 2)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((2, 3)), x.std((2, 3))
