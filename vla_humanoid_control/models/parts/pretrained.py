"""Networks of `transformers`: from a folder, from the hub, or with random weights."""

from __future__ import annotations

from typing import Any

from vla_humanoid_control.support.errors import UserError


def pretrained_or_new(kind: Any, config: Any, pretrained: str | None, freeze: bool) -> Any:
    """A network of `transformers`.

    Args:
        kind: Its class.
        config: Its sizes, for random weights.
        pretrained: A local folder or a name on the hub; its sizes must be those of `config`.
        freeze: Whether the weights stay as they are, also in training.

    Raises:
        UserError: There is no such folder or name, or it is of other sizes.
    """
    if pretrained is None:
        network = kind(config)
    else:
        try:
            network = kind.from_pretrained(pretrained, config=config, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f'Pretrained weights {pretrained} cannot be used: {error}. Give a '
                            'local folder, or a name on the hub where there is a network.'
                            ) from error
    if freeze:
        network.requires_grad_(False)
    return network
