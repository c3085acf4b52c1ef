"""Several objects of one colour and shape: which of them is meant, and whether one can tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.scene import Placed
from vla_humanoid_control.support.geometry import rotate, wrap
from vla_humanoid_control.tasks.task import Task

APART_RAD = 0.20
"""Left and right of each other are objects whose bearings differ by so much."""
APART_M = 0.50
"""Nearer and farther are objects whose distances differ by so much [m]."""


def named_by(objects: tuple[Placed, ...], task: Task) -> tuple[int, ...]:
    """Indices of the objects that have the task's colour and shape."""
    return tuple(i for i, p in enumerate(objects) if (p.colour, p.shape) == task.arguments)


def meant(objects: tuple[Placed, ...], start: NDArray[np.float64],
          task: Task) -> tuple[int, ...]:
    """Indices of the objects that will do for a task, none if the scene has none.

    Args:
        objects: Those of the scene.
        start: float64 [3], the base's pose at the start, from where left and near are told.
        task: One with an object. Where it does not say which, all that it names will do.
    """
    named = named_by(objects, task)
    if task.which is None or not named:
        return named
    bearings, distances = _seen_from(objects, start, named)
    order = {'left': -bearings, 'right': bearings, 'near': distances, 'far': -distances}
    return (named[int(np.argmin(order[task.which]))],)


def can_tell(objects: tuple[Placed, ...], start: NDArray[np.float64], task: Task) -> bool:
    """Whether the one that a task means stands apart; all of them, where it leaves that open."""
    bearings, distances = _seen_from(objects, start, named_by(objects, task))
    if task.which in ('near', 'far'):
        gaps, least = np.diff(np.sort(distances)), APART_M
    else:
        gaps, least = np.diff(np.sort(bearings)), APART_RAD
    gaps = {'right': gaps[:1], 'near': gaps[:1], 'left': gaps[-1:], 'far': gaps[-1:],
            None: gaps}[task.which]
    return bool(np.all(gaps >= least))


def _seen_from(objects: tuple[Placed, ...], start: NDArray[np.float64],
               indices: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bearings to the left [rad] and distances [m] of objects, float64 [indices] each."""
    offsets = [locate_from(start, objects[i].position) for i in indices]
    return (np.array([wrap(np.arctan2(y, x)) for x, y in offsets]),
            np.array([np.hypot(x, y) for x, y in offsets]))


def locate_from(pose: NDArray[np.float64],
                position: NDArray[np.float64]) -> tuple[float, float]:
    """A place of the world as seen from a base: how far ahead and how far left [m]."""
    ahead, left = position[:2] - pose[:2]
    return rotate(ahead, left, -pose[2])
