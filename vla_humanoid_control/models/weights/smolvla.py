"""SmolVLA as LeRobot 0.4.4 saves it: https://github.com/huggingface/lerobot, `policies/smolvla`.

    model.vlm_with_expert.vlm         the network of the prefix
    model.state_proj                  the projection of its state
    model.vlm_with_expert.lm_expert   the expert of the action head
    model.action_in_proj, action_out_proj, action_time_mlp_*    input, output, time

Its `transformers` (4) looks up the position of a patch of row r and column c at row max(r - 1, 0)
and column max(c - 1, 0) of the table, as its rounding goes; ours (5) at r and c.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vla_humanoid_control.models.system import System

_WORD_HEAD = 'model.vlm_with_expert.vlm.lm_head.weight'
_TABLE = 'vision_model.embeddings.position_embedding.weight'


def renamed(state: Mapping[str, Tensor], system: System) -> dict[str, Tensor]:
    """See the head of this module. Raises KeyError where nothing is from a SmolVLM."""
    prefix, head = _names(system)
    has_word_head = f'{prefix}.network.lm_head.weight' in system.state_dict()
    network = f'{prefix}.network.model.' if has_word_head else f'{prefix}.network.'
    result: dict[str, Tensor] = {}
    for theirs, ours in {
            'model.vlm_with_expert.vlm.model.': network,
            'model.state_proj.': f'{prefix}.states.0.',
            'model.vlm_with_expert.lm_expert.': f'{head}.expert.',
            'model.action_in_proj.': f'{head}.input.',
            'model.action_out_proj.': f'{head}.output.',
            'model.action_time_mlp_in.': f'{head}.time.0.',
            'model.action_time_mlp_out.': f'{head}.time.2.'}.items():
        found = {n.removeprefix(theirs): t for n, t in state.items() if n.startswith(theirs)}
        if not found:
            raise KeyError(theirs)
        result |= {ours + n: t for n, t in found.items()}
    table = network + _TABLE
    result[table] = _shifted(result[table])
    if has_word_head:  # where it is the table of words, it is saved but once
        words = f'{network}text_model.embed_tokens.weight'
        result[f'{prefix}.network.lm_head.weight'] = state.get(_WORD_HEAD, result[words])
    return result


def of_the_robot(system: System) -> tuple[str, ...]:
    """Beginnings of names whose shape depends on joints and actions."""
    prefix, head = _names(system)
    return f'{prefix}.states.0.', f'{head}.input.', f'{head}.output.'


def _names(system: System) -> tuple[str, str]:
    """Of the prefix and of the head."""
    found = system.head('action')
    assert found is not None
    return system.config.parts[found[0]].of[0].partition('.')[0], found[0]


def _shifted(table: Tensor) -> Tensor:
    """A position table [S * S, D] as our `transformers` reads it."""
    side = int(len(table) ** 0.5)
    at = (torch.arange(side) - 1).clamp(min=0)
    return table[(at[:, None] * side + at).flatten()]
