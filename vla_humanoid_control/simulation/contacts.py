"""What touches an object: which hands hold it, and whether anything else bears it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.world import World

_OPPOSED = -0.2
"""Cosine of the angle between two contact normals from which on they are of two sides."""


def held_by(world: World, index: int) -> tuple[str, ...]:
    """Hands that hold an object of the scene: they touch it, and nothing else does.

    Args:
        world: The world.
        index: Of the object in `World.objects`.
    """
    return () if borne(world, index) else hands_at(world, index)


def hands_at(world: World, index: int) -> tuple[str, ...]:
    """Hands that touch an object of the scene."""
    bodies, _ = _touching(world, index)
    return tuple(side for side in world.robot.grasps
                 if not _hand(world, side).isdisjoint(bodies))


def borne(world: World, index: int) -> bool:
    """Whether anything but a hand touches an object: the table, the floor, another object."""
    bodies, _ = _touching(world, index)
    hands = frozenset().union(*(_hand(world, side) for side in world.robot.grasps))
    return bool(set(bodies) - hands)


def grasped_by(world: World, index: int) -> str:
    """The hand that has an object between its fingers, and touches it from two sides; else ''."""
    bodies, normals = _touching(world, index)
    for side in world.robot.grasps:
        hand = _hand(world, side)
        own = normals[[body in hand for body in bodies]]
        if len(own) and float((own @ own.T).min()) < _OPPOSED:
            return side
    return ''


def _touching(world: World, index: int) -> tuple[list[int], NDArray[np.float64]]:
    """Bodies that touch an object, and the normals there, out of the object [contacts, 3]."""
    data, model = world.data, world.model
    body = model.body(f'object_{world.objects[index].slot}').id
    pairs = model.geom_bodyid[data.contact.geom[:data.ncon]].reshape(-1, 2)
    normals = np.array(data.contact.frame[:data.ncon]).reshape(-1, 9)[:, :3]
    first, second = pairs[:, 0] == body, pairs[:, 1] == body
    outward = np.concatenate([normals[first], -normals[second]])
    return [*pairs[first, 1].tolist(), *pairs[second, 0].tolist()], outward


def _hand(world: World, side: str) -> frozenset[int]:
    """Bodies of a hand: what carries its grasp point, and the fingers on it."""
    model = world.model
    palm = int(model.site(world.robot.end_effectors[side].site).bodyid[0])
    found = {palm}
    for body in range(palm + 1, model.nbody):  # a parent comes before its children
        if int(model.body_parentid[body]) in found:
            found.add(body)
    return frozenset(found)
