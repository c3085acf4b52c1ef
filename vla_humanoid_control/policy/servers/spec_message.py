"""What a policy sees and gives, as our own server tells it to our own client."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vla_humanoid_control.interfaces import (
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    PolicySpec,
    StateFeature,
)

KEY = 'vla_humanoid_control'
"""Where it is in what a server says of itself."""
FINGERPRINT = 'fingerprint'
"""Beside it: what tells the policy from others, as `policy/registry.py` says."""


def spec_to_message(spec: PolicySpec) -> dict[str, Any]:
    """As plain data."""
    actions = {**asdict(spec.actions), 'groups': [
        {**asdict(group), 'kind': group.kind.value} for group in spec.actions.groups]}
    return {**asdict(spec), 'actions': actions, 'gives': sorted(spec.gives)}


def spec_from_message(data: Any) -> PolicySpec:
    """The inverse. Raises ValueError where it is damaged."""
    try:
        images = [ImageFeature(i['role'], _pair(i['size']), i['fit'], tuple(i['times_s']))
                  for i in data['images']]
        states = [StateFeature(s['name'], tuple(s['channels']), tuple(s['times_s']))
                  for s in data['states']]
        groups = [ActionGroup(g['name'], ActionKind(g['kind']), tuple(g['channels']),
                              g['relative_to'], g['effector']) for g in data['actions']['groups']]
        actions = ActionSpace(tuple(groups), int(data['actions']['horizon']),
                              float(data['actions']['dt_s']))
        return PolicySpec(tuple(images), tuple(states), actions, float(data['rate_hz']),
                          float(data['latency_s']), frozenset(data['gives']))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'what it sees and gives is damaged: {error!r}') from error


def _pair(size: Any) -> tuple[int, int]:
    width, height = size
    return int(width), int(height)
