"""Settings of something that runs: several dataclasses, whose changes reach it at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node

from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.support.bounds import loosened


class LiveSettings:
    """Parameters of a node, by name of the setting.

    Args:
        node: Whose parameters they are.
        kinds: Name of each setting to its dataclass and the prefix of its parameters.
        watchdogs: Settings that must not become laxer while what runs `is_moving(now_s)`.
        running: What runs, if anything: its `configure` is told of each change by name.
    """

    def __init__(self, node: Node, kinds: Mapping[str, tuple[type, str]], watchdogs: set[str],
                 running: Callable[[], Any]) -> None:
        self._watchdogs, self._running = watchdogs, running
        self._groups: dict[str, Parameters[Any]] = {
            name: Parameters(node, kind, prefix=prefix, judge=partial(self._judge, name),
                             apply=partial(self._take, name))
            for name, (kind, prefix) in kinds.items()}

    @property
    def values(self) -> dict[str, Any]:
        """Name of each setting to its present value."""
        return {name: parameters.value for name, parameters in self._groups.items()}

    def _judge(self, name: str, new: object, _fields: frozenset[str]) -> str:
        laxer = loosened(new, self.values[name]) if name in self._watchdogs else ()
        running = self._running()
        if laxer and running is not None and running.is_moving(time.monotonic()):
            return f'{", ".join(laxer)} cannot be loosened while the robot moves.'
        return ''

    def _take(self, name: str, new: object, _fields: frozenset[str]) -> None:
        if (running := self._running()) is not None:
            running.configure(**{name: new})
