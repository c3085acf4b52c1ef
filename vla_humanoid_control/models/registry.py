"""Parts by the names that model configurations use. A new part is one more line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from vla_humanoid_control.models.encoders import (
    FilmConvEncoder,
    MlpProprioception,
    SlotLanguageEncoder,
)
from vla_humanoid_control.models.fusion import CrossAttentionFusion
from vla_humanoid_control.support.errors import UserError

Builder = Callable[..., nn.Module]

PARTS: Mapping[str, Mapping[str, Builder]] = {
    'vision': {'film_conv': FilmConvEncoder},
    'language': {'slots': SlotLanguageEncoder},
    'proprioception': {'mlp': MlpProprioception},
    'fusion': {'cross_attention': CrossAttentionFusion},
}


def build(kind: str, settings: Mapping[str, Any], **sizes: Any) -> Any:
    """Build a part.

    Args:
        kind: 'vision', 'language', 'proprioception' or 'fusion'.
        settings: `name` and the part's own settings, from the model configuration.
        **sizes: What the rest of the model prescribes.

    Raises:
        UserError: No such part, or it does not take these settings.
    """
    own = {key: value for key, value in settings.items() if key != 'name'}
    name = settings['name']
    if name not in PARTS[kind]:
        raise UserError(f'Model configuration: {kind} has no part {name!r}; there is '
                        f'{", ".join(PARTS[kind])}.')
    try:
        return PARTS[kind][name](**sizes, **own)
    except TypeError as error:
        raise UserError(f'Model configuration: {kind} {name!r} does not take these settings: '
                        f'{error}') from error
