"""cv_bridge, used only where a process of its own has shown that it works here."""

from __future__ import annotations

import importlib.util
import resource
import signal
import subprocess
import sys
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from vla_humanoid_control.perception.image_decoding import COLOURS, RawImage, decode, decode_rgb

TRIAL_S = 30
"""A trial that takes longer has failed [s]."""

_TRIAL = ('import sys; limit_s = int(sys.argv[1]); sys.path[:] = sys.argv[2:]; '
          f'from {__name__} import trial; trial(limit_s)')


class ImageBridge:
    """Hands out cv_bridge's converter, once a trial has shown what it converts.

    Beside another NumPy or OpenCV than it was built for, cv_bridge fails with a segmentation
    fault, which no `except` catches, so it is not even imported here before another process did
    so. The trial begins with the first image and nobody waits for it: until it is over, and
    wherever it failed, `decode_rgb` gives the same pixels.
    """

    def __init__(self) -> None:
        self.is_settled = False
        self._trial: subprocess.Popen[str] | None = None
        self._bridge: Any = None
        self._encodings: frozenset[str] = frozenset()

    def converter(self, encoding: str) -> Any:
        """A `CvBridge` that converts this encoding as `decode_rgb` does; None without one."""
        if not self.is_settled:
            self._settle()
        return self._bridge if encoding in self._encodings else None

    def _settle(self) -> None:
        if self._trial is None:
            if importlib.util.find_spec('cv_bridge') is None:  # as in the wheels
                self.is_settled = True
            else:
                self._trial = subprocess.Popen(
                    [sys.executable, '-c', _TRIAL, str(TRIAL_S), *sys.path],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    text=True)
        elif self._trial.poll() is not None:
            self.is_settled = True
            said, _ = self._trial.communicate()
            if self._trial.returncode == 0 and said:
                try:
                    from cv_bridge import CvBridge
                except ImportError:  # its libraries may not bear others that are loaded here
                    return
                self._bridge, self._encodings = CvBridge(), frozenset(said.split())


def trial(limit_s: int) -> None:
    """Print each encoding that cv_bridge converts to the pixels of `decode_rgb`.

    For a process of its own: it may crash, and one that hangs is ended by its alarm.
    """
    signal.alarm(limit_s)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is an answer, and leaves no dump
    from cv_bridge import CvBridge
    bridge, random = CvBridge(), np.random.default_rng(0)
    for encoding in COLOURS:
        pixel_bytes = _pixel_bytes(encoding)
        data = random.integers(0, 256, 8 * 8 * pixel_bytes, np.uint8).tobytes()
        msg = Image(height=8, width=8, encoding=encoding, step=8 * pixel_bytes, data=data)
        own = decode_rgb(RawImage(8, 8, encoding, False, 8 * pixel_bytes, data))
        try:
            equal = np.array_equal(bridge.imgmsg_to_cv2(msg, desired_encoding='rgb8'), own)
        except TypeError:  # which CvBridgeError is: an encoding that this one does not know
            continue
        if equal:
            print(encoding, flush=True)


def _pixel_bytes(encoding: str) -> int:
    return decode(RawImage(1, 2, encoding, False, 16, bytes(16))).nbytes // 2
