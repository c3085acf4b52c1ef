"""What the words ask for, as independent questions with their possible answers."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens
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


_SIZES = [len(options) for _, options in INSTRUCTION_SLOTS]


def beyond(logits: Tensor) -> Tensor:
    """Log odds of 'out of scope' against all that the robot can do, [B]."""
    family = logits[:, :_SIZES[0]]
    return family[:, -1] - family[:, :-1].logsumexp(1)


def certainty(logits: Tensor) -> Tensor:
    """For each question the largest log-probability and, last, that of 'out of scope'."""
    parts = [p.log_softmax(1) for p in logits.split(_SIZES, dim=1)]
    return torch.stack([*(p.amax(1) for p in parts), parts[0][:, -1]], dim=1)  # [B, S + 1]


class InstructionHead(Head):
    """What the words ask for: family, direction, gesture, colour, shape.

    It makes the language vector say so, and tells requests outside the robot's abilities.
    """

    learns = 'instruction'

    def __init__(self, space: Space, of: Shapes) -> None:
        super().__init__()
        self.net = nn.Linear(of[0].width, sum(_SIZES))

    def forward(self, instruction: Tokens) -> Tensor:
        """[B, 1, D] to logits of all answers, [B, sum of options]."""
        return self.net(instruction.vector).float()

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy over the questions asked; [B]."""
        labels = wanted(targets.labels, 'labels')
        parts = output.split(_SIZES, dim=1)
        losses = [functional.cross_entropy(p, labels[:, i], ignore_index=-1, reduction='none')
                  for i, p in enumerate(parts)]
        return torch.stack(losses).sum(0)

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """The most likely answer to every question, int64 [B, S]."""
        return torch.stack([p.argmax(1) for p in output.split(_SIZES, dim=1)], dim=1)
