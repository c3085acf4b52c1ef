"""Parts by the names that model configurations use. A new part is one more line here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from vla_humanoid_control.models.parts.part import Head, Part, Shapes
from vla_humanoid_control.models.streams import Space
from vla_humanoid_control.support.errors import UserError, with_nearest

PARTS: Mapping[str, str] = {
    # vision
    'film_conv': 'vision.film_conv:FilmConvEncoder',
    'resnet': 'vision.resnet:ResNet',
    # language
    'slots': 'language.slots:SlotLanguageEncoder',
    'word_average': 'language.words:WordAverage',
    'bert': 'language.text:Bert',
    't5': 'language.text:T5',
    # state
    'body': 'state.body:Body',
    # fusion
    'grounding': 'fusion.grounding:LanguageQuery',
    'query_fusion': 'fusion.query:QueryFusion',
    'mlp': 'fusion.mlp:ConcatenatedMlp',
    # what tells success from failure
    'evidence': 'trust.evidence:Evidence',
    'novelty': 'trust.novelty:Novelty',
    'request_novelty': 'trust.novelty:RequestNovelty',
}
"""Name to module, below this package, and class."""
HEADS: Mapping[str, str] = {
    'regression': 'heads.regression:ActionHead',
    'progress': 'heads.progress:ProgressHead',
    'target': 'heads.target:TargetHead',
    'intent': 'heads.intent:InstructionHead',
    'confidence': 'heads.confidence:ConfidenceHead',
    'success': 'heads.confidence:SuccessHead',
}
"""The same of heads."""


def part_class(name: str, where: str, heads: bool = False) -> type[Part]:
    """The class of a part, or of a head; UserError where there is none of that name."""
    table = HEADS if heads else PARTS
    if name not in table:
        kind = 'head' if heads else 'part'
        raise UserError(f'{where}: there is no {kind} {with_nearest(name, table)}. There is '
                        f'{", ".join(sorted(table))}.')
    module, _, attribute = table[name].partition(':')
    found: type[Part] = getattr(import_module(f'{__name__}.{module}'), attribute)
    assert issubclass(found, Head if heads else Part)
    return found


def build(kind: type[Part], space: Space, of: Shapes, settings: Mapping[str, Any], where: str
          ) -> Part:
    """Build a part.

    Args:
        kind: Its class.
        space: What the model is made for.
        of: Shapes of the streams that it is built on.
        settings: Its own.
        where: Its place in the configuration, for errors.

    Raises:
        UserError: It does not take these settings or streams.
    """
    known = {name: p for name, p in inspect.signature(kind).parameters.items()
             if p.kind is inspect.Parameter.KEYWORD_ONLY}
    for name in settings:
        if name not in known:
            raise UserError(f'{where} has no setting {with_nearest(name, known)}. It takes '
                            f'{", ".join(known) or "none"}.')
    if missing := [n for n, p in known.items() if p.default is p.empty and n not in settings]:
        raise UserError(f'{where} needs {", ".join(missing)}.')
    try:
        return kind(space, of, **settings)
    except (TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
        raise UserError(f'{where} cannot be built with these settings and streams: {error}'
                        ) from error
