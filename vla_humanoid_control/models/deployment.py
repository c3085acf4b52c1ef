"""How a model runs on the robot's computer: in which precision, compiled or not.

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


@dataclass(frozen=True)
class ModelDeployment:
    """How a model runs.

    Attributes:
        precision: One of `PRECISIONS`.
        compile: Whether its parts are compiled by `torch.compile`, which takes a minute and a C++
            compiler at the start.
    """

    precision: str = 'float32'
    compile: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Any, where: str) -> ModelDeployment:
        """The inverse of `to_dict`; UserError where a key or a value is unknown."""
        check_keys(data, ('precision', 'compile'), f'{where}: deployment')
        found = ModelDeployment(**data)
        if found.precision not in PRECISIONS:
            raise UserError(f'{where}: deployment.precision must be one of '
                            f'{", ".join(PRECISIONS)}, not '
                            f'{with_nearest(str(found.precision), PRECISIONS)}.')
        if not isinstance(found.compile, bool):
            raise UserError(f'{where}: deployment.compile must be true or false.')
        return found

    def deploy(self, model: System) -> System:
        """The model, changed in place, in eval mode."""
        model = model.eval()
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

    def running(self) -> AbstractContextManager[Any]:
        """Within which its forward passes are to run."""
        if self.precision == 'bfloat16':
            return torch.autocast('cpu', torch.bfloat16)
        return nullcontext()
