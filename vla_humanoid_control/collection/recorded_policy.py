"""Policies that keep what they see and answer: in the simulator, and on a robot.

    RobotPolicy ─► RecordedPolicy ─► the controller
                        └─► a thread of its own ─► RolloutsFolder ─► a person says how it ended
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


class RecordingPolicy:
    """Passes everything on to a policy, and keeps what it saw and said, and under which words.

    It does not say what the policy cannot read: what the policy makes of such words is kept, too.

    Attributes:
        spec: The policy's.
    """

    def __init__(self, policy: RobotPolicy) -> None:
        self.spec = policy.spec
        self._policy = policy
        self._instruction = ''
        self._seen: list[tuple[str, Step]] = []

    def reset(self, instruction: str) -> None:
        """See `RobotPolicy`."""
        self._policy.reset(instruction)
        self._instruction = instruction

    def infer(self, observation: RobotObservation) -> RobotChunk:
        """See `RobotPolicy`."""
        began_s = time.monotonic()
        chunk = self._policy.infer(observation)
        self._keep(Step(observation, chunk, time.monotonic() - began_s))
        return chunk

    def close(self) -> None:
        """See `RobotPolicy`."""
        self._policy.close()

    def take(self, instruction: str | None = None) -> tuple[Step, ...]:
        """Every answer since the last `take`; all of them are forgotten.

        Args:
            instruction: Only those inferred under these words; None takes those under any.
        """
        seen, self._seen = self._seen, []
        return tuple(step for words, step in seen if instruction in (None, words))

    def _keep(self, step: Step) -> None:
        self._seen.append((self._instruction, step))


class RecordedPolicy(RecordingPolicy):
    """On a robot: writes each attempt at an instruction as an episode.

    An attempt that another one of the same instruction follows has failed. How the others ended is
    not known: a person says so, see `vla record`.

    Args:
        policy: The policy.
        folder: Where the episodes go.
        say: Told of each episode that is written, and of each that cannot be; called in a thread
            of its own.
    """

    def __init__(self, policy: RobotPolicy, folder: RolloutsFolder,
                 say: Callable[[str], None] = lambda text: None) -> None:
        super().__init__(policy)
        self._folder, self._say = folder, say
        self._lock = threading.Lock()
        self._is_over = True
        self._count = 0
        self._name = time.strftime('%Y%m%d-%H%M%S')
        self._ready: queue.SimpleQueue[RecordedEpisode | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name='recorder', daemon=True)
        self._thread.start()

    def reset(self, instruction: str) -> None:
        """See `RobotPolicy`."""
        self._hand_over(success=False, reason='another attempt followed')
        super().reset(instruction)
        with self._lock:
            self._is_over = False

    def unreadable(self, text: str) -> str:
        """See `interfaces.reading_problem`."""
        return reading_problem(self._policy)(text)

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
        super().close()

    def _keep(self, step: Step) -> None:
        packed = {camera: pack_image(image) for camera, image in step.seen.images.items()}
        with self._lock:
            if not self._is_over and len(self._seen) < LONGEST:
                super()._keep(replace(step, seen=replace(step.seen, images=packed)))

    def _hand_over(self, success: bool | None, reason: str) -> None:
        with self._lock:
            prompt, steps = self._instruction, self.take()
            self._count += bool(steps)
            name = f'{self._name}-{self._count:03d}'
        if steps:
            seconds = (steps[-1].seen.stamp_ns - steps[0].seen.stamp_ns) / 1e9
            self._ready.put(RecordedEpisode(name, prompt, success, True, reason,
                                            {'seconds': f'{seconds:g}'}, steps))

    def _write(self) -> None:
        while (episode := self._ready.get()) is not None:
            try:
                self._folder.write(episode)
            except (OSError, UserError) as error:
                self._say(f'episode {episode.id} cannot be written: {error}')
                continue
            self._say(f'recorded {episode.id}: {episode.prompt!r}')
