"""A model as text: its parts, what they are built on, and how many tokens they give."""

from __future__ import annotations

import torch

from vla_humanoid_control.models.config import ModelConfig
from vla_humanoid_control.models.parts.part import Head, Part
from vla_humanoid_control.models.streams import Shape, Space
from vla_humanoid_control.models.system import System


def on_paper(config: ModelConfig, space: Space | None = None) -> System:
    """A model without numbers, however large, to count and to draw it."""
    with torch.device('meta'):
        return System(config, space or config.space)


def count(system: System, part: str = '') -> int:
    """Parameters of a part or module by its path; of all that its published total counts."""
    found = sum(p.numel() for p in system.get_submodule(part).parameters())
    return found if part else found - sum(count(system, p) for p in system.config.uncounted
                                          if p in system.config.parts)


def in_words(number: int) -> str:
    """A count of parameters: 35.3 M, 7.5 B."""
    for unit, size in (('B', 1e9), ('M', 1e6), ('k', 1e3)):
        if number >= size:
            return f'{number / size:.3g} {unit}'
    return str(number)


def draw(config: ModelConfig, space: Space | None = None) -> list[str]:
    """Lines that draw a model, from camera to action.

    Args:
        config: The model.
        space: What it is made for; the published robot by default.
    """
    system = on_paper(config, space)
    made = system.space
    cameras = ', '.join(f'{role} {w}x{h}' for role, (w, h) in made.images.items())
    history = f', {made.frames} frames' if made.frames > 1 else ''
    lines = [f'sees    {cameras}{history}; reads {", ".join(sorted(system.needs()))}',
             f'gives   {made.horizon} x {made.channels} actions',
             f'holds   {count(system):,} parameters'
             + (f' without {", ".join(config.uncounted)}' if config.uncounted else ''), '']
    width = max(len(name) for name in config.parts)
    kinds = max(len(part.kind) for part in config.parts.values())
    for name, part in config.parts.items():
        module = system.part(name, Part)
        gives = _shape(module.gives) or \
            f'answers {module.learns if isinstance(module, Head) else "one number"}'
        lines.append(f'{name:{width}}  {part.kind:{kinds}}  {in_words(count(system, name)):>6}  '
                     f'{" + ".join(part.of)} ─► {gives}')
    return lines


def _shape(shape: object) -> str:
    if isinstance(shape, Shape):
        size = f'[{"N" if shape.tokens is None else shape.tokens}, {shape.width}]'
        if shape.grid is None:
            return size
        frames = [shape.frames] if shape.frames > 1 else []
        return f'{size} = {" x ".join(map(str, [*frames, *shape.grid]))} cells'
    if isinstance(shape, dict):
        return ', '.join(f'{name} {_shape(one)}' for name, one in shape.items())
    return ''
