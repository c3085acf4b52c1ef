"""What is found in a camera image: objects that have a name, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeenObject:
    """One object in view.

    Attributes:
        colour: One of `vocabulary.COLOURS`.
        shape: One of `vocabulary.SHAPES`.
        bearing_rad: From straight ahead of the base, to the left [rad].
        distance_m: From the base to the object's centre, along the floor [m].
        box: Left, top, right and bottom in the image, as shares of its width and height.
        on_table: Whether it stands on a table rather than on the floor.
        score: How certain it is, 0 to 1.
    """

    colour: str
    shape: str
    bearing_rad: float
    distance_m: float
    box: tuple[float, float, float, float]
    on_table: bool
    score: float


class ObjectFinder(Protocol):
    """Finds the objects that have a name in an image of a robot's head camera."""

    def find(self, image: NDArray[np.uint8], joints: dict[str, float]) -> tuple[SeenObject, ...]:
        """The objects in view, the most certain one first.

        Args:
            image: RGB uint8 [H, W, 3].
            joints: Joint name to position [rad], of at least those that the camera moves with.
        """
