"""Heads. Each has `forward` (raw outputs), `loss` (one value a sample) and `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.fusion import Grounding
from vla_humanoid_control.tasks.vocabulary import (
    COLOURS,
    FAMILIES,
    GESTURES,
    MOVES,
    OUT_OF_SCOPE,
    SHAPES,
    TASK_KEYS,
    TURNS,
)


class ActionHead(nn.Module):
    """Queries [B, H, D] to normalised actions [B, H, A], as in ACT by regression."""

    def __init__(self, width: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, channels))

    def forward(self, queries: Tensor) -> Tensor:
        """[B, H, D] to [B, H, A]."""
        return self.net(queries).float()

    @staticmethod
    def loss(output: Tensor, actions: Tensor) -> Tensor:
        """Smooth L1 on normalised actions [B, H, A]; [B]."""
        return functional.smooth_l1_loss(output, actions, beta=0.1, reduction='none').mean((1, 2))

    @staticmethod
    def predict(output: Tensor) -> Tensor:
        """Normalised actions [B, H, A]."""
        return output


class ProgressHead(nn.Module):
    """Query [B, D] to how far the task has come."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, query: Tensor) -> Tensor:
        """[B, D] to logits [B]."""
        return self.net(query)[:, 0].float()

    @staticmethod
    def loss(output: Tensor, progress: Tensor) -> Tensor:
        """Cross-entropy against soft labels in [0, 1], less their own entropy; [B]."""
        value = functional.binary_cross_entropy_with_logits(output, progress, reduction='none')
        return value - functional.binary_cross_entropy(progress, progress, reduction='none')

    @staticmethod
    def predict(output: Tensor) -> Tensor:
        """Progress in [0, 1], [B]."""
        return output.sigmoid()


class TargetPrediction(NamedTuple):
    """visible [B] in [0, 1], position [B, 2] in [-1, 1], distance [B] in metres."""

    visible: Tensor
    position: Tensor
    distance_m: Tensor


class TargetHead(nn.Module):
    """Supervises the grounding where a sample has a target object; no weights of its own."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, grounding: Grounding) -> Grounding:
        """Passes it on."""
        return grounding

    def loss(self, output: Grounding, target: Tensor) -> Tensor:
        """Cell or 'nowhere' by cross-entropy, and place and distance where visible.

        Args:
            output: The grounding.
            target: [B, 4]: visible, u, v, distance [m]; NaN where there is no target object.

        Returns:
            [B], 0 where there is no target object.
        """
        rows, columns = self.grid
        has = ~target[:, 0].isnan()
        visible = has & (target[:, 0] > 0.5) & target[:, 1:3].isfinite().all(1)
        place = target[:, 1:3].nan_to_num().clamp(-1, 1)
        column = ((place[:, 0] + 1) / 2 * columns).long().clamp(max=columns - 1)
        row = ((place[:, 1] + 1) / 2 * rows).long().clamp(max=rows - 1)
        cell = torch.where(visible, row * columns + column, rows * columns)
        which = functional.cross_entropy(output.logits, cell, reduction='none',
                                         label_smoothing=0.02)
        where = functional.smooth_l1_loss(output.position, place, beta=0.05,
                                          reduction='none').sum(1)
        distance = target[:, 3].nan_to_num(1.0).clamp(0.1, 20.0).log()
        far = functional.smooth_l1_loss(output.log_distance, distance, beta=0.1, reduction='none')
        return has * (0.3 * which + visible * (2.0 * where + 0.5 * far))

    @staticmethod
    def predict(output: Grounding) -> TargetPrediction:
        """Visibility, place and distance."""
        visible = 1 - output.logits.softmax(dim=1)[:, -1]
        return TargetPrediction(visible, output.position, output.log_distance.exp())


INSTRUCTION_SLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('family', (*FAMILIES, OUT_OF_SCOPE)),
    ('move', tuple(MOVES)),
    ('turn', TURNS),
    ('gesture', GESTURES),
    ('colour', COLOURS),
    ('shape', SHAPES),
)
"""What an instruction says, as independent questions with their possible answers."""


def instruction_labels(task_key: str | None) -> list[int]:
    """Answers to `INSTRUCTION_SLOTS` for a task (None: out of scope); -1 where not asked."""
    family, _, rest = (task_key or 'out_of_scope').partition(':')
    colour, _, shape = rest.partition(':')
    said = {'family': family, family: rest, 'colour': colour, 'shape': shape}
    return [options.index(said[slot]) if said.get(slot) in options else -1
            for slot, options in INSTRUCTION_SLOTS]


INSTRUCTION_LABELS = torch.tensor([instruction_labels(k) for k in (*TASK_KEYS, None)])
"""int64 [tasks + 1, S]: those of every task and, last, of a request outside the abilities."""


class InstructionHead(nn.Module):
    """What the words ask for: family, direction, gesture, colour, shape.

    It makes the language vector say so, and tells requests outside the robot's abilities.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sizes: Sequence[int] = [len(options) for _, options in INSTRUCTION_SLOTS]
        self.net = nn.Linear(width, sum(self.sizes))

    def forward(self, instruction: Tensor) -> Tensor:
        """[B, D] to logits of all answers, [B, sum of options]."""
        return self.net(instruction).float()

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the questions asked; labels int64 [B, S], -1 ignored; [B]."""
        parts = output.split(list(self.sizes), dim=1)
        losses = [functional.cross_entropy(p, labels[:, i], ignore_index=-1, reduction='none')
                  for i, p in enumerate(parts)]
        return torch.stack(losses).sum(0)

    def predict(self, output: Tensor) -> Tensor:
        """The most likely answer to every question, int64 [B, S]."""
        return torch.stack([p.argmax(1) for p in output.split(list(self.sizes), dim=1)], dim=1)

    def beyond(self, output: Tensor) -> Tensor:
        """Log odds of 'out of scope' against all that the robot can do, [B]."""
        family = output[:, :self.sizes[0]]
        return family[:, -1] - family[:, :-1].logsumexp(1)

    def certainty(self, output: Tensor) -> Tensor:
        """For each question the largest log-probability and, last, that of 'out of scope'."""
        parts = [p.log_softmax(1) for p in output.split(list(self.sizes), dim=1)]
        return torch.stack([*(p.amax(1) for p in parts), parts[0][:, -1]], dim=1)  # [B, S + 1]


class ConfidenceHead(nn.Module):
    """Success probability from everything that the frozen trunk knows."""

    mean: Tensor
    std: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer('mean', torch.zeros(inputs))
        self.register_buffer('std', torch.ones(inputs))
        self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(0.1),
                                 nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(0.1),
                                 nn.Linear(hidden, 1))

    def forward(self, evidence: Tensor) -> Tensor:
        """Evidence [B, E] to logits [B]."""
        x = ((evidence.float() - self.mean) / self.std).clamp(-8, 8)
        return self.net(x)[:, 0].float()

    @staticmethod
    def loss(output: Tensor, success: Tensor) -> Tensor:
        """Binary cross-entropy; [B]."""
        return functional.binary_cross_entropy_with_logits(output, success, reduction='none')

    @staticmethod
    def predict(output: Tensor) -> Tensor:
        """Probability of success, before calibration, [B]."""
        return output.sigmoid()
