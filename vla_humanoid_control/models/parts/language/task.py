"""Which of some tasks a sentence asks for."""

from __future__ import annotations

from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class TaskEmbedding(Part):
    """A table of task embeddings, mixed by how much a sentence asks for each: [B, 1, D].

    A sentence, not the number of a task, chooses: new words need no new row, and what the tasks
    are is learned.
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, tasks: int) -> None:
        super().__init__()
        self.choice = nn.Linear(of[0].width, tasks)
        self.tasks = nn.Linear(tasks, width, bias=False)
        self.gives = Shape(width)

    def forward(self, words: Tokens) -> Tokens:
        """Words [B, L, F], see the class."""
        return Tokens.of(self.tasks(self.choice(words.vector).softmax(dim=-1)))
