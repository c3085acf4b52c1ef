"""The demo's video: what the robot sees beside how it looks, with words and confidence below."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.interrupts import undisturbed

VIEW = (640, 480)
"""Width and height of each of the two views [px]."""
_BAR = 88
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GREEN, _RED, _GREY, _WHITE = (96, 200, 120), (235, 90, 80), (90, 94, 102), (240, 240, 240)


@dataclass(frozen=True)
class Caption:
    """What is written below the views.

    Attributes:
        instruction: The words that were given.
        task_state: As on `/vla/task_state`.
        safety_state: As on `/safety/state`.
        confidence: Calibrated confidence in [0, 1].
        threshold: Below this the gate closes.
    """

    instruction: str
    task_state: str
    safety_state: str
    confidence: float
    threshold: float


class Video:
    """Writes an H.264 file, frame by frame. Use as a context manager.

    Attributes:
        problem: Why the file ends early, such as a full disk; empty where it does not. What is
            recorded goes on.
    """

    def __init__(self, path: Path, frames_per_second: int = 10) -> None:
        self.problem = ''
        self._path = path
        self._container = av.open(str(path), 'w')
        self._stream = self._container.add_stream('libx264', rate=Fraction(frames_per_second))
        self._stream.width, self._stream.height = 2 * VIEW[0], VIEW[1] + _BAR
        self._stream.pix_fmt = 'yuv420p'
        # While it is filmed a robot is controlled: a larger file costs less than a late command.
        self._stream.options = {'preset': 'ultrafast', 'crf': '23', 'threads': '1'}

    def add(self, camera: NDArray[np.uint8], outside: NDArray[np.uint8],
            caption: Caption) -> NDArray[np.uint8]:
        """Append one frame from two RGB views [H, W, 3]; returns the frame as drawn."""
        frame = compose(camera, outside, caption)
        self._write(av.VideoFrame.from_ndarray(frame, format='rgb24'))
        return frame

    def __enter__(self) -> Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with undisturbed():  # a file without its end cannot be played
            self._write(None)
            try:
                self._container.close()
            except OSError as failure:
                self._end(failure)

    def _write(self, frame: av.VideoFrame | None) -> None:
        """Encode a frame; None for what the encoder still holds."""
        if self.problem:
            return
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        self.problem = self.problem or f'{self._path} ends early: {error.strerror}'


def compose(camera: NDArray[np.uint8], outside: NDArray[np.uint8],
            caption: Caption) -> NDArray[np.uint8]:
    """One frame, RGB uint8 [568, 1280, 3]: the two views above the caption."""
    views = [cv2.resize(v, VIEW, interpolation=cv2.INTER_AREA) for v in (camera, outside)]
    bar = np.full((_BAR, 2 * VIEW[0], 3), 24, dtype=np.uint8)
    words = f'"{caption.instruction}"' if caption.instruction else ''
    cv2.putText(bar, words.encode('ascii', 'replace').decode(), (18, 36), _FONT, 0.85, _WHITE, 2,
                cv2.LINE_AA)
    states = f'{caption.task_state}    safety {caption.safety_state}'
    cv2.putText(bar, states, (18, 70), _FONT, 0.6, (170, 176, 186), 1, cv2.LINE_AA)
    _draw_confidence(bar, caption)
    for view, label in zip(views, ('robot camera', 'outside')):
        cv2.rectangle(view, (0, 0), (22 + 10 * len(label), 34), (24, 24, 24), -1)
        cv2.putText(view, label, (12, 23), _FONT, 0.55, _WHITE, 1, cv2.LINE_AA)
    return np.vstack([np.hstack(views), bar])


def _draw_confidence(bar: NDArray[np.uint8], caption: Caption) -> None:
    left, right, top, bottom = 900, 1250, 42, 66
    cv2.putText(bar, f'confidence {caption.confidence:.2f}', (left, 30), _FONT, 0.6, _WHITE, 1,
                cv2.LINE_AA)
    cv2.rectangle(bar, (left, top), (right, bottom), _GREY, -1)
    width = int((right - left) * float(np.clip(caption.confidence, 0, 1)))
    colour = _GREEN if caption.confidence >= caption.threshold else _RED
    cv2.rectangle(bar, (left, top), (left + width, bottom), colour, -1)
    mark = left + int((right - left) * caption.threshold)
    cv2.line(bar, (mark, top - 5), (mark, bottom + 5), _WHITE, 2)
