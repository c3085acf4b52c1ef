"""From raw readings to network inputs, and back. Shared by training and inference."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_humanoid_control.support.errors import UserError

_CLIP = 5.0
"""Normalised joint positions beyond this many deviations tell nothing more."""
_PERIODS_S = (1.0, 2.0, 4.0, 8.0)
SCALES = ('deviations', 'percentiles')
"""How actions are normalised; see `Statistics`."""
_ARRAYS = ('joint_mean', 'joint_std', 'action_mean', 'action_std')


@dataclass(frozen=True)
class Statistics:
    """Normalisation.

    Attributes:
        joint_mean, joint_std: float32 [J] [rad; m].
        action_mean, action_std: float32 [A] [m/s, rad/s, rad, m]; with percentiles the middle
            between the 1st and the 99th, and half of what lies between them.
        scale: One of `SCALES`: actions are deviations from the mean; or, as in OpenVLA, -1 at the
            1st percentile, 1 at the 99th, and never beyond.
    """

    joint_mean: NDArray[np.float32]
    joint_std: NDArray[np.float32]
    action_mean: NDArray[np.float32]
    action_std: NDArray[np.float32]
    scale: str = SCALES[0]

    def to_json(self) -> str:
        """As text."""
        data = {key: getattr(self, key).tolist() for key in _ARRAYS}
        return json.dumps({**data, 'scale': self.scale}, indent=1)

    @staticmethod
    def from_file(path: Path) -> Statistics:
        """Read `statistics.json`; UserError where it is missing or damaged."""
        try:
            data = json.loads(path.read_text(encoding='utf-8'))
            arrays = {key: np.asarray(data[key], np.float32) for key in _ARRAYS}
            # What was written before there were percentiles does not say.
            result = Statistics(**arrays, scale=data.get('scale', SCALES[0]))
        except OSError as error:
            raise UserError(f'Checkpoint statistics {path}: {error.strerror}. A checkpoint is a '
                            'folder with model.safetensors, config.json and statistics.json.'
                            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'Checkpoint statistics {path} are damaged: {error!r}. '
                            'Train or copy the checkpoint again.') from error
        if not all(np.isfinite(a).all() for a in arrays.values()) \
                or (result.joint_std <= 0).any() or (result.action_std <= 0).any():
            raise UserError(f'Checkpoint statistics {path} are damaged: values must be finite and '
                            'deviations positive. Train or copy the checkpoint again.')
        if result.scale not in SCALES:
            raise UserError(f'Checkpoint statistics {path} are damaged: scale must be one of '
                            f'{", ".join(SCALES)}, not {result.scale!r:.80}. Train or copy the '
                            'checkpoint again.')
        return result


def normalise_images(images: Tensor) -> Tensor:
    """uint8 [F, H, W, 3] to float32 [F, 3, H, W] in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def as_frames(images: Tensor, frames: int) -> Tensor:
    """Normalised images [F * T, 3, H, W] to histories [F, T, 3, H, W], channels last in memory."""
    return images.contiguous(memory_format=torch.channels_last).unflatten(0, (-1, frames))


def normalise_joints(joints: Tensor, statistics: Statistics) -> Tensor:
    """Joint positions [B, J] to deviations from the mean, clipped."""
    mean = torch.as_tensor(statistics.joint_mean, device=joints.device)
    std = torch.as_tensor(statistics.joint_std, device=joints.device)
    return ((joints - mean) / std).clamp(-_CLIP, _CLIP)


def normalise_time(elapsed_s: Tensor, travelled: Tensor, known: Tensor | None = None) -> Tensor:
    """Elapsed time [B] and dead reckoning [B, 3] to features; `known` [B] may withhold them."""
    if known is None:
        known = torch.ones_like(elapsed_s)
    return time_features(elapsed_s, travelled, known)


def time_features(elapsed_s: Tensor, travelled: Tensor, known: Tensor) -> Tensor:
    """Columns for a network out of time and dead reckoning.

    Args:
        elapsed_s: [B] [s].
        travelled: [B, 3]: x [m], y [m], yaw [rad, unwrapped].
        known: [B], 1 where they may be used, 0 where they are withheld.

    Returns:
        float [B, 16]: known; time linear and clipped at 20 s; sine and cosine of four periods;
        x, y clipped at 4 m; sine, cosine of yaw; yaw clipped at a turn and a half; zero.
    """
    t = elapsed_s.clamp(0, 20.0)[:, None]
    angle = t * (2 * math.pi / torch.tensor(_PERIODS_S, device=t.device))  # [B, 4]
    yaw = travelled[:, 2:]
    columns = torch.cat([
        t / 10, angle.sin(), angle.cos(), travelled[:, :2].clamp(-4, 4), yaw.sin(), yaw.cos(),
        (yaw / math.pi).clamp(-3, 3), (t / 2).clamp(max=1)], dim=1)  # [B, 15]
    return torch.cat([known[:, None], columns * known[:, None]], dim=1)


def normalise_actions(actions: Tensor, statistics: Statistics) -> Tensor:
    """Actions [B, H, A] to deviations from the mean, or to -1 to 1 between percentiles."""
    mean = torch.as_tensor(statistics.action_mean, device=actions.device)
    made = (actions - mean) / torch.as_tensor(statistics.action_std, device=actions.device)
    return made if statistics.scale == SCALES[0] else made.clamp(-1, 1)


def restore_actions(actions: Tensor, statistics: Statistics) -> Tensor:
    """The inverse of `normalise_actions`, but for what it clips."""
    std = torch.as_tensor(statistics.action_std, device=actions.device)
    return actions * std + torch.as_tensor(statistics.action_mean, device=actions.device)
