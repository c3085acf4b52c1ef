"""Weights that others have trained, into a system of ours.

A system is known by the kind of its action head. Its file says which of our names each of the
original's tensors has; there is no second model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.weights import act, smolvla
from vla_humanoid_control.support.errors import UserError

FILE = 'model.safetensors'


@dataclass(frozen=True)
class Source:
    """Where the weights of a system can be from.

    Attributes:
        name: What a person calls it.
        renamed: The original's tensors under our names, for a system.
        robot: Beginnings of our names, after that of the head or part, whose shape depends on the
            robot: on its joints, on its actions or on how many rows of them there are.
    """

    name: str
    renamed: Callable[[Mapping[str, Tensor], System], dict[str, Tensor]]
    robot: Callable[[System], tuple[str, ...]]


SOURCES: Mapping[str, Source] = {
    'cvae': Source("LeRobot's ACT", act.renamed, act.of_the_robot),
    'flow': Source("LeRobot's SmolVLA", smolvla.renamed, smolvla.of_the_robot),
}
"""By the kind of the action head."""


def load_weights(system: System, source: Path | Mapping[str, Tensor]) -> tuple[str, ...]:
    """Give a system the weights of an original.

    Args:
        system: Changed in place.
        source: The folder of a checkpoint, with `model.safetensors`, or its tensors.

    Returns:
        Names of tensors that stay as they were, as they are of another robot's shape.

    Raises:
        UserError: No such weights are known, they cannot be read, or they are of other sizes.
    """
    found = system.head('action')
    kind = '' if found is None else system.config.parts[found[0]].kind
    if kind not in SOURCES:
        raise UserError(f'For a model with an action head {kind!r} no weights from elsewhere are '
                        f'known. There are some for {", ".join(SOURCES)}.')
    origin, where = SOURCES[kind], 'of the original'
    if isinstance(source, Path):
        where, source = str(source), _read(source)
    try:
        tensors = origin.renamed(source, system)
    except KeyError as error:
        raise UserError(f'The weights {where} are not those of {origin.name}: there is no '
                        f'{error.args[0]}. Give another folder.') from error
    own = system.state_dict()
    wrong = [n for n in own.keys() | tensors.keys()
             if n not in own or n not in tensors or own[n].shape != tensors[n].shape]
    left = tuple(sorted(n for n in wrong if n in own and n.startswith(origin.robot(system))))
    if other := sorted(set(wrong) - set(left)):
        raise UserError(f'The weights {where} are of another size than the model, at '
                        f'{", ".join(other[:4])}. Change the model: its published size, '
                        'published: true, is that of the original.')
    system.load_state_dict({n: own[n] if n in left else t.to(own[n].dtype)
                            for n, t in (own | tensors).items()})
    return left


def _read(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / FILE)
    except (OSError, SafetensorError) as error:
        raise UserError(f'Weights {folder / FILE} cannot be read: {error}. Give the folder of a '
                        'checkpoint with such a file.') from error
