"""`vla train`: a policy from demonstrations, and what it says of itself from rollouts.

`vla train FILE` takes everything from one file (`learning/run_file.py`). Under `torchrun` all its
processes train the stage bc together (`learning/process_group.py`).

Stages: bc trains the policy; confidence trains its confidence head on rollouts of it. What its
confidence is worth then is measured by vla trust. An interrupted bc goes on where it was saved:
give the same command again.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_folder

_INSTEAD_OF_A_FILE = ('data', 'output', 'checkpoint', 'config', 'init_from', 'epochs', 'steps',
                      'time_budget', 'batch_size', 'learning_rate')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('file', type=Path, nargs='?', metavar='FILE',
                        help='a YAML file with model, training and deployment, instead of options')
    parser.add_argument('--data', type=Path, nargs='+', metavar='DIR',
                        help='directories with shards, of either split; confidence: of rollouts')
    parser.add_argument('--output', type=Path, metavar='DIR',
                        help='folder of the run; the checkpoint goes to DIR/checkpoint')
    parser.add_argument('--stage', choices=('bc', 'confidence'), default='bc')
    parser.add_argument('--checkpoint', type=Path, metavar='DIR',
                        help='confidence: the checkpoint to complete')
    parser.add_argument('--config', metavar='FILE',
                        help='training configuration: a name in config/train/, or a YAML file')
    parser.add_argument('--model', default='default',
                        help='model configuration: a name in config/models/, or a YAML file')
    parser.add_argument('--published', action='store_true',
                        help='bc: the model at its published size, instead of that which learns '
                             'on two cores')
    parser.add_argument('--init-from', type=Path, metavar='DIR',
                        help='bc: start from the weights and normalisation of a checkpoint')
    parser.add_argument('--beside', type=Path, nargs='+', default=[], metavar='DIR',
                        help='bc: shards of another robot, of which every other step is: all '
                             'weights that do not depend on the robot learn from both')
    parser.add_argument('--crops', type=Path, metavar='DIR',
                        help='bc: pictures of objects, on which a contrastive model such as clip '
                             'is trained first')
    parser.add_argument('--epochs', type=int, help='instead of the configured ones')
    parser.add_argument('--steps', type=int, help='bc: length, instead of epochs')
    parser.add_argument('--time-budget', type=float, metavar='MINUTES',
                        help='bc: end after this time; the rate falls in time for it')
    parser.add_argument('--batch-size', type=int, help='instead of the configured one')
    parser.add_argument('--learning-rate', type=float, help='instead of the configured one')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1,
                        help='cores to use')
    parser.add_argument('--device', default='auto', metavar='DEVICE',
                        help='bc: cpu or cuda (default: a GPU where there is one)')
    parser.add_argument('--float32', action='store_true',
                        help='bc: do not compute in bfloat16 where that is faster')


def run(arguments: argparse.Namespace) -> int:
    """Run the stage that the arguments name, with a progress line.

    Raises:
        UserError: Bad arguments, data or checkpoint.
    """
    from vla_humanoid_control.learning.process_group import leads
    if arguments.file is not None:
        folder = _run_file(arguments)
    else:
        _check(arguments)
        folder = _run_bc(arguments) if arguments.stage == 'bc' else _run_confidence(arguments)
    if leads():
        print(folder)
    return 0


def _run_file(arguments: argparse.Namespace) -> Path:
    beside = [name for name in _INSTEAD_OF_A_FILE if getattr(arguments, name) is not None]
    if beside or arguments.beside or arguments.crops or arguments.published or arguments.float32:
        raise UserError(f'Give {arguments.file} alone: what options would say stands in it.')
    from vla_humanoid_control.learning.run_file import load_run_file
    from vla_humanoid_control.learning.train import run_bc
    options, config = load_run_file(arguments.file)
    check_folder(options.output, 'training.output')
    return run_bc(options, config)


def _run_bc(arguments: argparse.Namespace) -> Path:
    from vla_humanoid_control.learning.behaviour_cloning import BcConfig
    from vla_humanoid_control.learning.config import load_training_config
    from vla_humanoid_control.learning.train import BcOptions, run_bc

    config = load_training_config(
        BcConfig, arguments.config or 'bc', epochs=arguments.epochs,
        batch_size=arguments.batch_size, learning_rate=arguments.learning_rate)
    return run_bc(BcOptions(
        tuple(arguments.data), arguments.output, arguments.model, arguments.init_from,
        arguments.steps, arguments.time_budget, arguments.seed, arguments.threads,
        not arguments.float32, arguments.published, device=arguments.device,
        beside=tuple(arguments.beside), crops=arguments.crops), config)


def _run_confidence(arguments: argparse.Namespace) -> Path:
    from vla_humanoid_control.learning.confidence_stage import (
        ConfidenceConfig,
        run_confidence,
    )
    from vla_humanoid_control.learning.config import load_training_config
    from vla_humanoid_control.learning.process_group import of_torchrun
    from vla_humanoid_control.support.memory import keep_freed_memory

    if of_torchrun():
        raise UserError('--stage confidence is trained by one process. Start it without torchrun.')
    config = load_training_config(
        ConfidenceConfig, arguments.config or 'confidence', epochs=arguments.epochs,
        batch_size=arguments.batch_size, learning_rate=arguments.learning_rate)
    keep_freed_memory()
    return run_confidence(arguments.checkpoint, arguments.data, arguments.output, config,
                          arguments.seed, arguments.threads)


def _check(arguments: argparse.Namespace) -> None:
    for name in ('data', 'output'):
        if not getattr(arguments, name):
            raise UserError(f'--{name} is missing. Give it, or a file: vla train FILE')
    check_folder(arguments.output, '--output')
    if arguments.stage != 'bc' and arguments.checkpoint is None:
        raise UserError(f'--stage {arguments.stage} needs --checkpoint DIR, the checkpoint to '
                        'complete.')
    for name in ('epochs', 'steps', 'time_budget', 'batch_size', 'learning_rate', 'threads'):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise UserError(f'--{name.replace("_", "-")} must be greater than 0, got {value}.')
