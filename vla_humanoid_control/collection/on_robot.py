"""Keeps what a policy sees and answers on a robot, for a person to say how it ended: `vla record`.

    RobotPolicy ─► RecordedPolicy ─► the controller
                        └─► a thread of its own ─► RolloutsFolder
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.data.rollouts import RecordedEpisode, RolloutsFolder, Step, pack_image
from vla_humanoid_control.interfaces import reading_problem
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotChunk, RobotObservation

LONGEST = 3000
"""Answers of one attempt that are kept; what comes after is not."""


class RecordedPolicy:
    """Passes everything on to a policy, and writes each attempt at an instruction as an episode.

    An attempt that another one of the same instruction follows has failed. How the others ended is
    not known: a person says so.

    Args:
        policy: The policy.
        folder: Where the episodes go.
        say: Told of each episode that is written, and of each that cannot be; called in a thread
            of its own.

    Attributes:
        spec: The policy's.
    """

    def __init__(self, policy: RobotPolicy, folder: RolloutsFolder,
                 say: Callable[[str], None] = lambda text: None) -> None:
        self.spec = policy.spec
        self._policy, self._folder, self._say = policy, folder, say
        self._lock = threading.Lock()
        self._prompt, self._is_over = '', True
        self._steps: list[Step] = []
        self._count = 0
        self._name = time.strftime('%Y%m%d-%H%M%S')
        self._ready: queue.SimpleQueue[RecordedEpisode | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name='recorder', daemon=True)
        self._thread.start()

    def unreadable(self, text: str) -> str:
        """See `interfaces.reading_problem`."""
        return reading_problem(self._policy)(text)

    def reset(self, instruction: str) -> None:
        """See `RobotPolicy`."""
        self._hand_over(success=False, reason='another attempt followed')
        self._policy.reset(instruction)
        with self._lock:
            self._prompt, self._is_over = instruction, False

    def infer(self, observation: RobotObservation) -> RobotChunk:
        """See `RobotPolicy`."""
        began_s = time.monotonic()
        chunk = self._policy.infer(observation)
        took_s = time.monotonic() - began_s
        packed = {camera: pack_image(image) for camera, image in observation.images.items()}
        with self._lock:
            if not self._is_over and len(self._steps) < LONGEST:
                self._steps.append(Step(replace(observation, images=packed), chunk, took_s))
        return chunk

    def end(self) -> None:
        """The instruction is over, however it ended. May be called from any thread."""
        with self._lock:
            self._is_over = True  # what is being inferred right now comes too late
        self._hand_over(success=None, reason='')

    def close(self) -> None:
        """Write what is left, and let go of the policy."""
        self.end()
        self._ready.put(None)
        self._thread.join()
        self._policy.close()

    def _hand_over(self, success: bool | None, reason: str) -> None:
        with self._lock:
            steps, self._steps = self._steps, []
            prompt = self._prompt
            self._count += bool(steps)
            name = f'{self._name}-{self._count:03d}'
        if steps:
            seconds = (steps[-1].seen.stamp_ns - steps[0].seen.stamp_ns) / 1e9
            self._ready.put(RecordedEpisode(name, prompt, success, True, reason,
                                            {'seconds': f'{seconds:g}'}, tuple(steps)))

    def _write(self) -> None:
        while (episode := self._ready.get()) is not None:
            try:
                self._folder.write(episode)
            except (OSError, UserError) as error:
                self._say(f'episode {episode.id} cannot be written: {error}')
                continue
            self._say(f'recorded {episode.id}: {episode.prompt!r}')
