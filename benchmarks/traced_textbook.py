"""`textbook_node` with notes for the benchmark; see `tracing`. Run as a module."""

from __future__ import annotations

import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image

from benchmarks.textbook_node import TextbookNode
from benchmarks.tracing import Trace


class TracedTextbookNode(TextbookNode):
    """Notes every frame that is received, and the frame behind every Twist."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self._publish = self.publisher.publish
        self.publisher.publish = self._noted

    def _noted(self, twist: Any) -> None:
        self._trace.commands.append((time.time_ns(), self.image_stamp_ns, 1))
        self._publish(twist)

    def image_callback(self, msg: Image) -> None:
        """Count, then as ever."""
        self._trace.frames += 1
        super().image_callback(msg)


def main() -> None:
    """Run the node until a signal, then write the notes."""
    trace = Trace()
    rclpy.init()
    node = TracedTextbookNode(trace)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        trace.save()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
