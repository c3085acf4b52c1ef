"""Processes that `torchrun` started, on one machine or several, as one team.

    torchrun --nproc-per-node 2 -m vla_humanoid_control.cli.main train run.yaml

Each has its share of every batch, and a GPU of its own where there are some. They speak through
gloo, and of what is on a GPU through NCCL; where all are on one machine, gloo through its loopback
interface alone. The store that `torchrun` keeps beside them is PyTorch's: see
`docs/security.md`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor

from vla_humanoid_control.learning.parallel import Team, to_average

_PATIENCE = timedelta(hours=2)
"""What the leader does alone, such as validation, has to end within."""


@dataclass(frozen=True)
class ProcessGroup(Team):
    """The processes of `torchrun`."""

    def follow(self, value: float) -> float:
        """See `Team`."""
        word = torch.tensor([value], dtype=torch.float64)
        torch.distributed.broadcast(word, 0)
        return float(word)

    def average(self, parameters: Iterable[Tensor], values: Tensor | None = None) -> None:
        """See `Team`."""
        tensors = to_average(parameters, values)
        flat = torch.cat([t.flatten() for t in tensors])  # one message instead of hundreds
        torch.distributed.all_reduce(flat)
        for tensor, mean in zip(tensors, (flat / self.size).split([t.numel() for t in tensors]),
                                strict=True):
            tensor.copy_(mean.view_as(tensor))


def leads() -> bool:
    """Whether this is the process that writes and reports: the only one, or the first."""
    return not of_torchrun() or os.environ['RANK'] == '0'


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup | None]:
    """The team of the processes that `torchrun` started this one with; None without it.

    Args:
        device: What kind of device they compute on.
    """
    if not of_torchrun():
        yield None
        return
    if os.environ['LOCAL_WORLD_SIZE'] == os.environ['WORLD_SIZE']:
        os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    backends = 'gloo' if device.type == 'cpu' else f'cpu:gloo,{device.type}:nccl'
    torch.distributed.init_process_group(backends, timeout=_PATIENCE)
    try:
        yield ProcessGroup(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Of several GPUs under `torchrun`, the one of this process."""
    if device.type == 'cpu' or not of_torchrun():
        return device
    return torch.device(device.type, int(os.environ['LOCAL_RANK']))


def of_torchrun() -> bool:
    """Whether `torchrun` started this process."""
    return 'TORCHELASTIC_RUN_ID' in os.environ
