"""A model: parts that its configuration names, and the streams between them.

    image, text, words, joints, time ─► parts ─► heads ─► loss, predict

Streams are made when they are asked for: what words say needs no image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Generator, Tensor, nn

from vla_humanoid_control.language.encoder import WIDTH
from vla_humanoid_control.models.config import INPUTS, ModelConfig, stem
from vla_humanoid_control.models.parts import build, part_class
from vla_humanoid_control.models.parts.part import Head, Part
from vla_humanoid_control.models.streams import (
    TIME_FEATURES,
    Frames,
    Inputs,
    Shape,
    Space,
    Targets,
    Tokens,
)
from vla_humanoid_control.support.errors import UserError

M = TypeVar('M', bound=Part)


class System(nn.Module):
    """See the head of this module. Its parts are attributes by their names.

    Attributes:
        config: What it is made of.
        space: What it is made for.
    """

    def __init__(self, config: ModelConfig, space: Space) -> None:
        """Build it with random weights. Raises UserError where parts do not fit."""
        super().__init__()
        self.config, self.space = config, space
        shapes: dict[str, Any] = {'joints': Shape(space.joints), 'time': Shape(TIME_FEATURES),
                                  'words': Shape(WIDTH, None), 'text': None, 'image': None}
        for name, part in config.parts.items():
            where = f'Model: {name} ({part.kind})'
            of = [_shape(shapes, stream, where) for stream in part.of]
            kind = part_class(part.kind, where, part.head)
            if hasattr(self, name):
                raise UserError(f'{where} is no name that a part may have: a model has it.')
            self.add_module(name, build(kind, space, of, part.settings, where))
            shapes[name] = self.get_submodule(name).gives
        for stream in {s for p in config.parts.values() for s in p.of}:
            if stem(stream) == 'image' and stream.partition('.')[2] not in ('', *space.images):
                raise UserError(f'Model: a part looks at {stream}, and there is no such camera: '
                                f'{", ".join(space.images)}.')

    def forward(self, inputs: Inputs, made: Mapping[str, Any] | None = None) -> Streams:
        """What flows for a batch; each stream is made when it is first asked for.

        Args:
            inputs: The batch.
            made: What parts gave for the same inputs before, as `Streams.made` tells it.
        """
        return Streams(self, inputs, made)

    def heads(self, learns: str = '') -> Iterator[tuple[str, Head]]:
        """Its heads by name; those that learn one thing, where that is given."""
        for name, part in self.config.parts.items():
            if part.head and learns in ('', self.part(name, Head).learns):
                yield name, self.part(name, Head)

    def head(self, learns: str) -> tuple[str, Head] | None:
        """The first head that learns something and is not trained apart, if any, and its name."""
        return next(self.taught(learns), None)

    def taught(self, learns: str = '') -> Iterator[tuple[str, Head]]:
        """Those of its heads that behaviour cloning trains."""
        return ((n, h) for n, h in self.heads(learns) if not self.config.parts[n].apart)

    def part(self, name: str, kind: type[M]) -> M:
        """A part by its name, of a class."""
        found = self.get_submodule(name)
        assert isinstance(found, kind)
        return found

    def shape(self, stream: str) -> Shape | None:
        """Of what a part gives; None where a stream is from outside, or has no tokens."""
        name, _, attribute = stream.partition('.')
        if name in INPUTS:
            return None
        gives = self.part(name, Part).gives
        return gives.get(attribute) if isinstance(gives, Mapping) else gives

    def needs(self, *streams: str) -> set[str]:
        """Which streams from outside some streams are made of; by default all heads."""
        wanted = list(streams or self.config.parts)
        needed: set[str] = set()
        while wanted:
            stream = wanted.pop()
            if stem(stream) in INPUTS:
                needed.add(stream)
            else:
                wanted += self.config.parts[stem(stream)].of
        return needed

    def made_of(self, *inputs: str) -> frozenset[str]:
        """Parts that nothing else from outside changes, such as those that only see the words."""
        return frozenset(name for name in self.config.parts if self.needs(name) <= {*inputs})

    def loss(self, streams: Streams, targets: Targets, generator: Generator | None = None
             ) -> dict[str, Tensor]:
        """Of every head that behaviour cloning trains, by what it learns, [B] each."""
        return {head.learns: head.loss(streams[name], targets, generator)
                for name, head in self.taught()}

    def predict(self, streams: Streams, learns: str, generator: Generator | None = None) -> Any:
        """The answer of the head that learns something; None where there is no such head."""
        found = self.head(learns) or next(self.heads(learns), None)
        return None if found is None else found[1].predict(streams[found[0]], generator)

    def cloned(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters by name that behaviour cloning trains."""
        for name, parameter in self.named_parameters():
            if not self.config.parts[stem(name)].apart and parameter.requires_grad:
                yield name, parameter

    def channels_last(self) -> System:
        """Lay convolutions out with channels last, which is faster on a CPU; returns itself."""
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self


class Streams:
    """Streams of one batch, by name. Made when asked for, once."""

    def __init__(self, system: System, inputs: Inputs, made: Mapping[str, Any] | None = None
                 ) -> None:
        self._system, self._inputs = system, inputs
        self._made: dict[str, Any] = dict(made or {})

    def __getitem__(self, name: str) -> Any:
        """A stream. Raises ValueError where an input that it is made of is absent."""
        stem_, _, attribute = name.partition('.')
        if stem_ in INPUTS:
            return self._input(stem_, attribute)
        if stem_ not in self._made:
            of = [self[stream] for stream in self._system.config.parts[stem_].of]
            self._made[stem_] = self._system.get_submodule(stem_)(*of)
        made = self._made[stem_]
        return getattr(made, attribute) if attribute else made

    def make(self, names: Iterable[str]) -> None:
        """Make some streams now."""
        for name in names:
            self[name]

    def made(self, names: Iterable[str]) -> dict[str, Any]:
        """What those of some parts gave that were asked so far, by their names."""
        return {name: self._made[name] for name in names if name in self._made}

    def _input(self, name: str, role: str) -> Any:
        given = self._inputs
        if name == 'image':
            role = role or next(iter(self._system.space.images))
            if role not in given.images or given.frame is None:
                raise ValueError(f'the batch lacks images of camera {role!r}')
            return Frames(given.images[role], given.frame)
        value = getattr(given, name)
        if value is None:
            raise ValueError(f'the batch lacks {name}')
        return Tokens.of(cast('Tensor', value)) if name in ('joints', 'time') else value


def _shape(shapes: dict[str, Any], stream: str, where: str) -> Any:
    name, _, attribute = stream.partition('.')
    shape = shapes[name]
    if not attribute or name == 'image':
        return shape
    if not isinstance(shape, dict) or attribute not in shape:
        raise UserError(f'{where}: {name} gives no {attribute}.')
    return shape[attribute]
