"""One robot's demonstrations and the model that learns from them; and two that share weights.

    demonstrations of one robot     ─► batches ─► model ─┐ all weights whose shape does not
                                                         ├─ follow from the robot's joints
    demonstrations of another robot ─► batches ─► model ─┘ and channels are the same tensors
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vla_humanoid_control.data.shards import DataSpec, ShardSet, epoch_batches, find_shards
from vla_humanoid_control.learning.behaviour_cloning import BcBatch, BcConfig, measure, prepare
from vla_humanoid_control.learning.hand_motions import in_terms_of
from vla_humanoid_control.learning.texts import TaskTexts
from vla_humanoid_control.models.checkpoint import build_model
from vla_humanoid_control.models.config import ModelConfig
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.transforms import Statistics
from vla_humanoid_control.support.errors import UserError


@dataclass
class Learner:
    """What learns from the demonstrations of one robot.

    Attributes:
        shards: The demonstrations.
        statistics: Their normalisation.
        model: What learns.
        config: How.
        seed: Source of all chance.
    """

    shards: ShardSet
    statistics: Statistics
    model: System
    config: BcConfig
    seed: int
    _epoch: int = field(default=0, init=False)  # the next one
    _epoch_start: int = field(default=0, init=False)  # turn of the first of `_batches`
    _batches: list[NDArray[np.int64]] = field(default_factory=list, init=False)

    def rows(self, turn: int) -> NDArray[np.int64]:
        """Samples of a turn: a function of seed and turn alone. Turns must not go back."""
        while turn >= self._epoch_start + len(self._batches):
            self._epoch_start += len(self._batches)
            self._batches = epoch_batches(
                self.shards.samples.frame, self.config.batch_size, self.config.samples_per_frame,
                self.seed, self._epoch)
            self._epoch += 1
        return self._batches[turn - self._epoch_start]

    def batch(self, rows: NDArray[np.int64], texts: TaskTexts, step: int, device: torch.device
              ) -> BcBatch:
        """Some samples, varied by chance that a step decides."""
        return prepare(self.shards, rows, texts, self.statistics, self.config, self.model.space,
                       (self.seed, 2, step, 0), True, device)


def share_weights(first: System, second: System) -> tuple[str, ...]:
    """Make every tensor of a model that another has in the same shape that other's own.

    Args:
        first: Whose tensors they are.
        second: Of the same configuration, for another robot.

    Returns:
        The names of the parameters of `second` that stay its own.
    """
    parameters, buffers = dict(first.named_parameters()), dict(first.named_buffers())
    own = []
    for path, module in second.named_modules():
        start = f'{path}.' if path else ''
        for name, value in list(module.named_parameters(recurse=False)):
            shared = parameters.get(start + name)
            if shared is not None and shared.shape == value.shape:
                setattr(module, name, shared)
            else:
                own.append(start + name)
        for name, buffer in list(module.named_buffers(recurse=False)):
            known = buffers.get(start + name)
            if known is not None and known.shape == buffer.shape:
                setattr(module, name, known)
    return tuple(own)


def learns_beside(first: System, model_config: ModelConfig, spec: ModelSpec,
                  folders: Sequence[Path], config: BcConfig, seed: int) -> Learner:
    """What learns from another robot's demonstrations with the weights of a model.

    Args:
        first: That model.
        model_config: Its configuration.
        spec: What it needs and gives.
        folders: Directories with shards of the other robot.
        config: How it learns.
        seed: Source of all chance.

    Raises:
        UserError: They have another image size or rate.
    """
    shards = in_terms_of(model_config.hand, ShardSet(find_shards(folders)['train']))
    assert shards.spec is not None
    other = model_spec(shards.spec, model_config)
    if (other.image_size, other.dt_s) != (spec.image_size, spec.dt_s):
        raise UserError('The demonstrations beside have another image size or rate than those of '
                        'the robot that is trained. Collect them again.')
    model = build_model(model_config, other)
    share_weights(first, model)
    model = model.channels_last().to(next(first.parameters()).device).train()
    return Learner(shards, measure(shards, model_config.scale), model, config, seed)


def model_spec(data: DataSpec, config: ModelConfig) -> ModelSpec:
    """What a model trained on such data needs and gives; the camera is `head`.

    Raises:
        UserError: It looks through other cameras, or plans further than the data do.
    """
    made_for = config.space
    if others := [role for role in made_for.images if role != 'head']:
        raise UserError(f'The model looks through {", ".join(others)}, and the demonstrations '
                        'have the camera head alone. Take the others away in its configuration.')
    if made_for.horizon > data.horizon:
        raise UserError(f'The model plans {made_for.horizon} rows of actions, and the '
                        f'demonstrations have {data.horizon}. Set gives.horizon in its '
                        'configuration, or train it at its demo size.')
    return ModelSpec(('head',), data.image_size, data.joint_names, data.channels,
                     made_for.horizon, data.dt_s, made_for.frames,
                     config.hand.get('effector', ''))


def own_parameters(first: System, second: System) -> list[tuple[str, nn.Parameter]]:
    """Parameters that behaviour cloning trains in the second model and not in the first."""
    shared = {id(p) for p in first.parameters()}
    return [(n, p) for n, p in second.cloned() if id(p) not in shared]
