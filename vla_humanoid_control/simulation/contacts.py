"""What touches an object: which hands hold it, and whether anything else bears it."""

from __future__ import annotations

from collections.abc import Mapping

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
    bodies, hands = {*_touching(world, index)[0]}, _hands(world)
    return _at(bodies, hands) if bodies <= frozenset().union(*hands.values()) else ()


def hands_at(world: World, index: int) -> tuple[str, ...]:
    """Hands that touch an object of the scene."""
    return _at({*_touching(world, index)[0]}, _hands(world))


def borne(world: World, index: int) -> bool:
    """Whether anything but a hand touches an object: the table, the floor, another object."""
    return not {*_touching(world, index)[0]} <= frozenset().union(*_hands(world).values())


def grasped_by(world: World, index: int) -> str:
    """The hand that has an object between its fingers, and touches it from two sides; else ''."""
    bodies, normals = _touching(world, index)
    for side, hand in _hands(world).items():
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


def _at(bodies: set[int], hands: Mapping[str, frozenset[int]]) -> tuple[str, ...]:
    """Hands of which a body is among these."""
    return tuple(side for side, hand in hands.items() if not hand.isdisjoint(bodies))


def _hands(world: World) -> Mapping[str, frozenset[int]]:
    """Bodies of each hand: what carries its grasp point, and the fingers on it."""
    model, hands = world.model, {}
    for side in world.robot.grasps:
        palm = int(model.site(world.robot.end_effectors[side].site).bodyid[0])
        found = {palm}
        for body in range(palm + 1, model.nbody):  # a parent comes before its children
            if int(model.body_parentid[body]) in found:
                found.add(body)
        hands[side] = frozenset(found)
    return hands
