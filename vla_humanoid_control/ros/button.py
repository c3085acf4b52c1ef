"""The emergency stop's topic, heard in two ways at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from std_msgs.msg import Bool

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import ManagedNode

_LAG_NS = 5_000_000_000


class Button:
    """Tells of every press and release of `/emergency_stop` (std_msgs/Bool) once.

    A reliable subscription loses nothing, and is deaf to best-effort publishers: their mismatch is
    reported as an error, as a press may be lost on the way, and a second subscription hears them.

    Right after discovery Fast DDS may hold back what comes to a reliable subscription for as long
    as its heartbeat takes (3 s). What the other one has told of by then must not count again: it
    may be a press that was reset, or a release from before a press.

    Args:
        node: Its subscriptions last until it is cleaned up.
        on_change: Called with true for a press, and with false for a release.
    """

    def __init__(self, node: ManagedNode, on_change: Callable[[bool], None]) -> None:
        self._on_change = on_change
        self._heard: deque[tuple[int, bool]] = deque(maxlen=qos.BUTTON.depth)
        self._pressed_ns = -_LAG_NS
        for profile in (qos.BUTTON, qos.BUTTON_AT_BEST):
            node.subscribe_with_info(Bool, '/emergency_stop', self._hear, profile)

    def _hear(self, msg: Bool, info: Mapping[str, int]) -> None:
        sent_ns = info.get('source_timestamp', 0)
        if sent_ns > 0:  # else nobody tells
            known = (sent_ns, msg.data) in self._heard
            self._heard.append((sent_ns, msg.data))
            # Not any release that was sent before a press: the clock of its machine may be behind.
            if known or (not msg.data and 0 < self._pressed_ns - sent_ns < _LAG_NS):
                return
            if msg.data:
                self._pressed_ns = max(self._pressed_ns, sent_ns)
        self._on_change(msg.data)
