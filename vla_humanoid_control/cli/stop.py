"""`vla stop`: an emergency stop, confirmed by safety_monitor. It is latched until `vla reset`."""

from __future__ import annotations

import argparse

from vla_humanoid_control.cli import reaching

add_arguments = reaching.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """Stop the robot; 0 once safety_monitor has confirmed it.

    Raises:
        UserError: Nobody answers.
    """
    return reaching.call(arguments, '/safety/emergency_stop')
