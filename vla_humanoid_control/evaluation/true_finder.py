"""A finder without error, in the simulator: what words do where every object is found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.perception.seen import SeenObject
from vla_humanoid_control.simulation.seeing import TrueView
from vla_humanoid_control.simulation.world import World


class TrueFinder:
    """Tells what a world's head camera has in view, whatever image it is given.

    Args:
        world: The world, which may be reset and moved on.
    """

    def __init__(self, world: World) -> None:
        self._view = TrueView(world)

    def find(self, image: NDArray[np.uint8], joints: dict[str, float]) -> tuple[SeenObject, ...]:
        """The objects in view, the largest in the image first."""
        return self._view.in_view()

    def close(self) -> None:
        """Free the drawing context."""
        self._view.close()
