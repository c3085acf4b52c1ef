"""`safety_monitor` with notes for the benchmark; see `tracing`. Run as a module."""

from __future__ import annotations

import time

from sensor_msgs.msg import JointState

from benchmarks.tracing import Trace
from vla_humanoid_control.channels import GATE
from vla_humanoid_control.nodes.safety_monitor import SafetyMonitor
from vla_humanoid_control.ros.managed import run
from vla_humanoid_control.ros.messages import to_ns
from vla_humanoid_control.types import Command


class TracedSafetyMonitor(SafetyMonitor):
    """Notes, before each command, the frame of the newest gated proposal."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self._newest = (0, 0)

    def _on_gated(self, msg: JointState) -> None:
        super()._on_gated(msg)
        names = list(msg.name)
        is_open = GATE in names and msg.position[names.index(GATE)] == 1.0
        self._newest = (to_ns(msg.header.stamp), int(is_open))

    def _publish(self, command: Command) -> None:
        self._trace.commands.append((time.time_ns(), *self._newest))
        super()._publish(command)


def main() -> None:
    """Run the node until a signal, then write the notes."""
    trace = Trace()
    run(lambda: TracedSafetyMonitor(trace))
    trace.save()


if __name__ == '__main__':
    main()
