"""How a model runs on the robot's computer: on which device, how precisely, compiled or not.

    float32    as it was trained
    bfloat16   matrix products and convolutions in half the bits, by autocast
    int8       linear layers with weights of 8 bits, quantised as they are loaded

`vla bench --models` measures what each is worth on a machine: none is faster everywhere.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from vla_humanoid_control.models.config import check_keys
from vla_humanoid_control.models.system import System
from vla_humanoid_control.support.errors import UserError, with_nearest

PRECISIONS = ('float32', 'bfloat16', 'int8')
DEVICES = ('auto', 'cpu', 'cuda')
"""`auto` is a GPU where PyTorch finds one."""


def computes_bfloat16(device: str) -> bool:
    """Whether a type of device is faster with it: a GPU, or a CPU with AMX.

    With AVX-512 alone a training step takes 1.2 to 1.5 times as long as in float32.
    """
    return device != 'cpu' or bool(torch.cpu.get_capabilities().get('amx_bf16', False))


@dataclass(frozen=True)
class ModelDeployment:
    """How a model runs.

    Attributes:
        precision: One of `PRECISIONS`.
        compile: Whether its parts are compiled by `torch.compile`, which takes a minute and a C++
            compiler at the start.
        device: One of `DEVICES`.
    """

    precision: str = 'float32'
    compile: bool = False
    device: str = 'cpu'

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Any, where: str) -> ModelDeployment:
        """The inverse of `to_dict`; UserError where a key or a value is unknown."""
        check_keys(data, ('precision', 'compile', 'device'), f'{where}: deployment')
        found = ModelDeployment(**data)
        if found.precision not in PRECISIONS:
            raise UserError(f'{where}: deployment.precision must be one of '
                            f'{", ".join(PRECISIONS)}, not '
                            f'{with_nearest(str(found.precision), PRECISIONS)}.')
        if not isinstance(found.compile, bool):
            raise UserError(f'{where}: deployment.compile must be true or false.')
        if found.device not in DEVICES:
            raise UserError(f'{where}: deployment.device must be one of {", ".join(DEVICES)}, not '
                            f'{with_nearest(str(found.device), DEVICES)}.')
        if found.precision == 'int8' and found.device != 'cpu':
            raise UserError(f'{where}: deployment.precision int8 runs on the cpu alone: set '
                            'deployment.device to cpu, or another precision.')
        return found

    def deploy(self, model: System) -> System:
        """The model, changed in place, in eval mode; UserError where its device is not there."""
        model = model.eval().to(device_named(self.device))
        if self.precision == 'int8':
            with warnings.catch_warnings():  # it moves to another package, and works here
                warnings.simplefilter('ignore')
                for name, part in list(model.named_children()):
                    setattr(model, name, torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
                        part, {nn.Linear}, dtype=torch.qint8))
        if self.compile:
            for part in model.children():
                part.compile()  # type: ignore[no-untyped-call]
        return model

    def running(self, device: torch.device) -> AbstractContextManager[Any]:
        """Within which its forward passes on a device are to run."""
        if self.precision == 'bfloat16':
            return torch.autocast(device.type, torch.bfloat16)
        return nullcontext()


def device_named(name: str) -> torch.device:
    """The device that one of `DEVICES` means here.

    Raises:
        UserError: There is none of this name, or no GPU.
    """
    if name not in DEVICES:
        raise UserError(f'The device must be one of {", ".join(DEVICES)}, not '
                        f'{with_nearest(name, DEVICES)}.')
    there = torch.cuda.is_available()
    if name == 'cuda' and not there:
        raise UserError('PyTorch finds no GPU here: install its build for CUDA and the driver, or '
                        'choose the device cpu.')
    return torch.device('cuda' if there and name != 'cpu' else 'cpu')
