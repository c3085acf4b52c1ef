"""Data parallel training: each process has a core and a share of the batch; the weights are one.

Most of a step on a CPU is bound by memory and by one thread, so that two processes are faster than
two threads. Gradients meet in shared memory: nothing listens on any network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.synchronize import Barrier
from typing import Any

import torch
from torch import Tensor

from vla_humanoid_control.support.workers import CONTEXT, crew


@dataclass(frozen=True)
class Team:
    """The processes of one run; the first leads. This is a team of one, which waits for nobody.

    Attributes:
        rank: This process's place, 0 for the leader.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def follow(self, value: float) -> float:
        """The leader's value, in every process."""
        return value

    def average(self, parameters: Iterable[Tensor], values: Tensor | None = None) -> None:
        """Replace every gradient, and the values [n] if given, by its mean over the team."""


@dataclass(frozen=True)
class Crew(Team):
    """Processes that meet in shared memory.

    Attributes:
        gradients: float32 [size, P].
        word: float64 [1], from the leader.
        barrier: Where all meet.
    """

    gradients: Tensor = field(kw_only=True)
    word: Tensor = field(kw_only=True)
    barrier: Barrier = field(kw_only=True)

    def follow(self, value: float) -> float:
        """See `Team`."""
        if self.rank == 0:
            self.word[0] = value
        self._meet()
        value = float(self.word[0])
        self._meet()  # before the leader writes the next one
        return value

    def average(self, parameters: Iterable[Tensor], values: Tensor | None = None) -> None:
        """See `Team`."""
        gradients = to_average(parameters, values)
        sizes = [g.numel() for g in gradients]
        own = self.gradients[self.rank, :sum(sizes)]
        for part, gradient in zip(own.split(sizes), gradients, strict=True):
            part.view_as(gradient).copy_(gradient)
        self._meet()
        mean = self.gradients[:, :sum(sizes)].mean(0)
        self._meet()  # before anyone writes the next ones
        for part, gradient in zip(mean.split(sizes), gradients, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _meet(self) -> None:
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise RuntimeError('A training process ended before its time; its error is above. '
                               'Give the same command again to go on.') from error


def to_average(parameters: Iterable[Tensor], values: Tensor | None) -> list[Tensor]:
    """The gradients that there are, and the values."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return gradients if values is None else [*gradients, values]


@contextmanager
def lead(work: Callable[..., None], arguments: tuple[Any, ...], size: int,
         parameters: int) -> Iterator[Team]:
    """Lead a team whose other processes call `work(team, *arguments)`.

    Args:
        work: A function of a module.
        arguments: Its further arguments; they are pickled.
        size: Processes, this one included.
        parameters: How many gradients and values there are at most.
    """
    if size == 1:
        yield Team()
        return
    gradients = torch.zeros(size, parameters).share_memory_()
    word = torch.zeros(1, dtype=torch.float64).share_memory_()
    barrier = CONTEXT.Barrier(size)
    crew_of = [Crew(rank, size, gradients=gradients, word=word, barrier=barrier)
               for rank in range(size)]
    others = [(team, *arguments) for team in crew_of[1:]]
    with crew(work, others) as helpers:

        def watch() -> None:
            connection.wait([h.sentinel for h in helpers])
            barrier.abort()

        threading.Thread(target=watch, daemon=True).start()
        yield crew_of[0]
