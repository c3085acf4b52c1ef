"""Arguments that several verbs have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

HARDER = 'make half of the scenes harder: obstacles, targets out of sight, another room'
"""Help of `--harder`."""


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Declare `--policy`, and the name that it had before."""
    parser.add_argument('--policy', default='', metavar='WHAT',
                        help='its name (vla policies lists them), the folder of a checkpoint, or '
                             'module:name of a class of your own, or openpi://HOST:PORT of a '
                             'policy server (default: the one that comes with the package for '
                             'the robot)')
    add_embodiment(parser)
    parser.add_argument('--trust', default='', metavar='DIR',
                        help="the policy's trust artifact, as vla trust writes it, or the name of "
                             'one that comes with the package (default: that which belongs to '
                             'it)')
    parser.add_argument('--allow-uncalibrated', action='store_true',
                        help='let a policy act that has no trust artifact')
    parser.add_argument('--checkpoint', action=_FormerName, dest='policy', default='',
                        help=argparse.SUPPRESS)


def add_embodiment(parser: argparse.ArgumentParser) -> None:
    """Declare `--embodiment`."""
    parser.add_argument('--embodiment', default='', metavar='FILE',
                        help="mapping file: which of the robot's cameras and joints are which of "
                             "the policy's, a name in config/embodiments/ or a path")


class _FormerName(argparse.Action):
    """An option that is called otherwise now."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: str | Sequence[Any] | None, option: str | None = None) -> None:
        print(f'{option} is called --{self.dest} now, and goes with the next release.',
              file=sys.stderr)
        setattr(namespace, self.dest, values)
