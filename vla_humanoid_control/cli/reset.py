"""`vla reset`: releases the latch of an emergency stop, unless its cause persists."""

from __future__ import annotations

import argparse

from vla_humanoid_control.cli import reaching

add_arguments = reaching.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """Release the latch; 1 where safety_monitor refuses, and says why.

    Raises:
        UserError: Nobody answers.
    """
    return reaching.call(arguments, '/safety/reset')
