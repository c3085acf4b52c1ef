"""The emergency stop's topic, heard in three ways at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from rclpy.qos import DurabilityPolicy
from std_msgs.msg import Bool

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import ManagedNode

_TOPIC = 'emergency_stop'
_LAG_NS = 5_000_000_000
_SETTLE_S = 0.1
"""What a latched publisher said before comes at once; it is judged after such a silence [s]."""


class Button:
    """Tells of every press and release of `/emergency_stop` (std_msgs/Bool) once.

    A reliable subscription loses nothing, and is deaf to best-effort publishers: their mismatch is
    reported as an error, as a press may be lost on the way, and a second subscription hears them.

    Right after discovery Fast DDS may hold back what comes to a reliable subscription for as long
    as its heartbeat takes (3 s). What the other one has told of by then must not count again: it
    may be a press that was reset, or a release from before a press.

    A third one, from when a latched publisher (transient local) shows up, hears what was said
    before this process was there. Of that, the last word counts: a button that is still pressed is
    a press, and one that was pressed and released is none.

    Args:
        node: Its subscriptions last until it is cleaned up.
        on_change: Called with true for a press, and with false for a release.
    """

    def __init__(self, node: ManagedNode, on_change: Callable[[bool], None]) -> None:
        self._node = node
        self._on_change = on_change
        self._heard: deque[tuple[int, bool]] = deque(maxlen=qos.BUTTON.depth)
        self._pressed_ns = -_LAG_NS
        self._began_ns = time.time_ns()
        self._hears_latched = False
        self._from_before: list[tuple[int, bool]] = []
        self._more_may_come = False
        for profile in (qos.BUTTON, qos.BUTTON_AT_BEST):
            node.subscribe_with_info(Bool, _TOPIC, self._hear, profile)
        node.every(_SETTLE_S, self._look_back, until_cleanup=True)

    def _hear(self, msg: Bool, info: Mapping[str, int]) -> None:
        self._count(msg.data, info.get('source_timestamp', 0))

    def _hear_latched(self, msg: Bool, info: Mapping[str, int]) -> None:
        sent_ns = info.get('source_timestamp', 0)
        if sent_ns >= self._began_ns:
            self._count(msg.data, sent_ns)
        else:  # or nobody tells; what was said just now, the other two have heard
            self._from_before.append((sent_ns, msg.data))
            self._more_may_come = True

    def _count(self, pressed: bool, sent_ns: int) -> None:
        if sent_ns > 0:  # else nobody tells
            known = (sent_ns, pressed) in self._heard
            self._heard.append((sent_ns, pressed))
            # Not any release that was sent before a press: the clock of its machine may be behind.
            if known or (not pressed and 0 < self._pressed_ns - sent_ns < _LAG_NS):
                return
            if pressed:
                self._pressed_ns = max(self._pressed_ns, sent_ns)
        self._on_change(pressed)

    def _look_back(self) -> None:
        """Find latched publishers, and judge what they said before."""
        latched = [p for p in self._node.get_publishers_info_by_topic(_TOPIC)
                   if p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL]
        if latched and not self._hears_latched:
            # Not from the start: others would be warned that it does not fit them.
            self._hears_latched = True
            self._node.subscribe_with_info(Bool, _TOPIC, self._hear_latched, qos.BUTTON_LATCHED,
                                           must_match=False)
        if self._more_may_come:
            self._more_may_come = False
            return
        words, self._from_before = sorted(self._from_before, key=lambda word: word[0]), []
        # Nobody tells whose word it is. Of several publishers, any may still be pressed.
        for sent_ns, pressed in words if len(latched) > 1 else words[-1:]:
            if pressed:  # a release is what everything begins with
                self._count(True, sent_ns)
                if any(sent_ns < later_ns and not p for later_ns, p in self._heard):
                    self._on_change(False)  # since then, and heard before the press was
