"""Rollouts of a policy in closed loop, kept with their outcome: what the confidence learns from.

Three kinds of episode, all drawn from a seed: tasks that the robot can do, in scenes of varying
difficulty; instructions outside its abilities; and objects that are not in the scene. The last two
count as failures whatever the robot does. They begin as commands do that follow on others,
at times with the head down or an arm up. The gate stays open throughout, so that what would have
been held is seen to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.collection.postures import starting_posture
from vla_humanoid_control.confidence.artifact import Monitoring
from vla_humanoid_control.confidence.gate import OPEN_GATE
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.control.task import TaskConfig
from vla_humanoid_control.data.shards import write_shard
from vla_humanoid_control.evaluation.impaired_view import KINDS
from vla_humanoid_control.evaluation.rollout import Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.interfaces import reading_problem
from vla_humanoid_control.language.intake import Instruction, parse_command
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.layout import sample_layout, scene_rng
from vla_humanoid_control.tasks.phrasings import rehearsed
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES, TASK_KEYS, keys_of
from vla_humanoid_control.types import RobotChunk, RobotObservation

IMPAIRED_SHARE = {'train': 0.35, 'val': 0.13}
"""Of the episodes, whose view is bad. To learn from they are where a policy fails at what it could
do; calibration needs them no more often than a robot might meet them."""
LATENCY_S = 0.02
"""Answers are heard one control step after they were asked for, as on a robot whose policy takes
no longer; not what this machine takes, so that recording anew gives the same [s]."""
HOPELESS_S = 6.0
"""How long an episode without a chance of success is watched [s]."""
_WEIGHTS = {'move': .13, 'turn': .11, 'stop': .04, 'go_to': .28, 'reach': .24, 'gesture': .20}


class RecordingPolicy:
    """Passes everything on to a policy, and keeps what it saw and said, and under which words.

    Attributes:
        spec: The policy's.
    """

    def __init__(self, policy: RobotPolicy) -> None:
        self.spec = policy.spec
        self._policy = policy
        self._instruction = ''
        self._seen: list[tuple[str, RobotObservation, RobotChunk]] = []

    def reset(self, instruction: str) -> None:
        """See `RobotPolicy`."""
        self._policy.reset(instruction)
        self._instruction = instruction

    def unreadable(self, text: str) -> str:
        """See `interfaces.reading_problem`."""
        return reading_problem(self._policy)(text)

    def infer(self, observation: RobotObservation) -> RobotChunk:
        """See `RobotPolicy`."""
        chunk = self._policy.infer(observation)
        self._seen.append((self._instruction, observation, chunk))
        return chunk

    def close(self) -> None:
        """See `RobotPolicy`."""
        self._policy.close()

    def take(self, instruction: str | None = None) -> list[tuple[RobotObservation, RobotChunk]]:
        """Every observation with its answer since the last `take`; all of them are forgotten.

        Args:
            instruction: Only those inferred under these words; None takes those under any.
        """
        seen, self._seen = self._seen, []
        return [(observation, chunk) for words, observation, chunk in seen
                if instruction is None or words == instruction]


@dataclass
class RolloutShard:
    """Rollouts in the making; the arrays are those of `data/shards.py`."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    joints: list[NDArray[np.float64]] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def add(self, key: str, text: str, success: bool,
            seen: list[tuple[RobotObservation, RobotChunk]], image_size: tuple[int, int]) -> None:
        """Append one episode."""
        episode = len(self.texts)
        self.texts.append(text)
        for observation, chunk in seen:
            row = {'frame': len(self.frames), 'task': TASK_KEYS.index(key),
                   'elapsed_s': observation.elapsed_s, 'travelled': observation.travelled,
                   'actions': chunk.actions, 'progress': chunk.progress,
                   'target': (np.nan,) * 4, 'success': float(success), 'text': episode,
                   'episode': episode,
                   'time_s': (observation.stamp_ns - seen[0][0].stamp_ns) / 1e9}
            for name, value in row.items():
                self.columns.setdefault(name, []).append(value)
            self.frames.append(resize_image(next(iter(observation.images.values())), image_size))
            self.joints.append(observation.joint_positions)

    def save(self, path: Path, policy: RobotPolicy, split: str, seed: int) -> None:
        """Write the shard."""
        spec = policy.spec
        write_shard(path, self.frames, self.joints, self.columns, {
            'tasks': list(TASK_KEYS), 'channels': list(spec.channels),
            'joint_names': list(spec.joint_names), 'dt_s': spec.dt_s,
            'image_size': list(spec.image_size), 'split': split, 'seed': seed,
            'texts': self.texts})


class RolloutRecorder:
    """Records episodes of one policy. One recorder a process."""

    def __init__(self, robot: RobotSpec, policy: RobotPolicy, split: Literal['train', 'val']
                 ) -> None:
        """Make one; the words are those of `phrasings.rehearsed`."""
        self._split: Literal['train', 'val'] = split
        self._robot = robot
        self._policy = RecordingPolicy(policy)
        self._fair = Rollout(robot, self._policy, Monitoring(OPEN_GATE), TaskConfig(max_retries=0),
                             latency_s=LATENCY_S)
        self._hopeless = Rollout(robot, self._policy, Monitoring(OPEN_GATE),
                                 TaskConfig(max_retries=0, time_limit_s=HOPELESS_S),
                                 latency_s=LATENCY_S)

    def shard(self, seed: int, episodes: int) -> Iterator[tuple[int, RolloutShard]]:
        """Yield the episodes so far and the shard, until it has that many."""
        shard = RolloutShard()
        for number in range(episodes):
            rng = np.random.default_rng([seed, number, 13])
            self._episode(shard, rng)
            yield number + 1, shard

    def _episode(self, shard: RolloutShard, rng: np.random.Generator) -> None:
        task, kind = _draw_task(rng), rng.random()
        words = str(rng.choice(rehearsed(task.key, self._split)))
        rollout = self._fair
        if kind < 0.14:
            words, rollout = str(rng.choice(rehearsed(None, self._split))), self._hopeless
        seed = int(rng.integers(2 ** 31))
        if 0.14 <= kind < 0.24:
            task, words = _absent(rng, self._split, seed)
            rollout = self._hopeless
        share = IMPAIRED_SHARE[self._split]
        view = str(rng.choice(KINDS)) if rng.random() < share else None
        result = rollout.run(Episode('recorded', words, task, seed, view=view),
                             starting_posture(self._robot, task, rng))
        # The walk before a stop belongs to other words. A stop word that is recognised ends the
        # task without an inference: such an episode says nothing about the policy.
        seen = self._policy.take(_as_given(words))
        if seen:
            shard.add(task.key, words, result.success and kind >= 0.24, seen,
                      self._policy.spec.image_size)


def _as_given(words: str) -> str:
    """An instruction as the policy is given it, after the checks of `parse_command`."""
    parsed = parse_command(words)
    return parsed.text if isinstance(parsed, Instruction) else words


def _draw_task(rng: np.random.Generator) -> Task:
    family = str(rng.choice(list(_WEIGHTS), p=list(_WEIGHTS.values())))
    keys = keys_of(family)
    return Task.from_key(str(rng.choice(keys)))


def _absent(rng: np.random.Generator, split: Literal['train', 'val'], seed: int
            ) -> tuple[Task, str]:
    """The scene of a seed for one object, and words about another that is not in it."""
    family = str(rng.choice(['go_to', 'reach']))
    pairs = [(c, s) for c in COLOURS for s in SHAPES]
    task = Task(family, pairs[int(rng.integers(len(pairs)))])
    present = {(p.colour, p.shape) for p in sample_layout(scene_rng(seed), task).objects}
    absent = [p for p in pairs if p not in present]
    key = ':'.join((family, *absent[int(rng.integers(len(absent)))]))
    return task, str(rng.choice(rehearsed(key, split)))
