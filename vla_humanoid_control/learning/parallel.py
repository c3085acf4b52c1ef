"""Data parallel training: each process has a core and a share of the batch; the weights are one.

Most of a step on a CPU is bound by memory and by one thread, so that two processes are faster than
two threads. Gradients meet in shared memory: nothing listens on any network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.synchronize import Barrier
from typing import Any

import torch
from torch import Tensor

from vla_humanoid_control.support.workers import CONTEXT, crew


@dataclass(frozen=True)
class Team:
    """The processes of one run; the first leads. A team of one has nothing to wait for.

    Attributes:
        rank: This process's place, 0 for the leader.
        size: How many there are.
        gradients: float32 [size, P] in shared memory; None in a team of one.
        word: float64 [1] in shared memory, from the leader; None in a team of one.
        barrier: Where all meet; None in a team of one.
    """

    rank: int = 0
    size: int = 1
    gradients: Tensor | None = None
    word: Tensor | None = None
    barrier: Barrier | None = None

    def follow(self, value: float) -> float:
        """The leader's value, in every process."""
        if self.word is None:
            return value
        if self.rank == 0:
            self.word[0] = value
        self._meet()
        value = float(self.word[0])
        self._meet()  # before the leader writes the next one
        return value

    def average(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over the team."""
        if self.gradients is None:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
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
        assert self.barrier is not None
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise RuntimeError('A training process ended before its time; its error is above. '
                               'Give the same command again to go on.') from error


@contextmanager
def lead(work: Callable[..., None], arguments: tuple[Any, ...], size: int,
         parameters: int) -> Iterator[Team]:
    """Lead a team whose other processes call `work(team, *arguments)`.

    Args:
        work: A function of a module.
        arguments: Its further arguments; they are pickled.
        size: Processes, this one included.
        parameters: How many gradients there are at most.
    """
    if size == 1:
        yield Team()
        return
    gradients = torch.zeros(size, parameters).share_memory_()
    word = torch.zeros(1, dtype=torch.float64).share_memory_()
    barrier = CONTEXT.Barrier(size)
    others = [(Team(rank, size, gradients, word, barrier), *arguments) for rank in range(1, size)]
    with crew(work, others) as helpers:

        def watch() -> None:
            connection.wait([h.sentinel for h in helpers])
            barrier.abort()

        threading.Thread(target=watch, daemon=True).start()
        yield Team(0, size, gradients, word, barrier)
