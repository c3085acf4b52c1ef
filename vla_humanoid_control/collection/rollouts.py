"""Rollouts of a policy in closed loop, kept with their outcome: what trust is measured on.

Three kinds of episode, all drawn from a seed: tasks that the robot can do, in scenes of varying
difficulty; instructions outside its abilities; and objects that are not in the scene. The last two
count as failures whatever the robot does. They begin as commands do that follow on others,
at times with the head down or an arm up. Or they are the episodes of a suite. The gate stays open
throughout, so that what would have been held is seen to its end. Where a policy does not say when
it is done, an episode ends once the task is achieved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vla_humanoid_control.collection.postures import starting_posture
from vla_humanoid_control.collection.recorded_policy import RecordingPolicy
from vla_humanoid_control.confidence.artifact import Monitoring
from vla_humanoid_control.confidence.gate import OPEN_GATE, Standing
from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.data.rollouts import RecordedEpisode
from vla_humanoid_control.evaluation.impaired_view import KINDS
from vla_humanoid_control.evaluation.latency import noise_observation
from vla_humanoid_control.evaluation.rollout import LINGER_S, Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.language.intake import Instruction, Rejection, check_command
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.robot.abilities import keys_for
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.layout import sample_layout, scene_rng
from vla_humanoid_control.simulation.scene import Workplace, workplace
from vla_humanoid_control.simulation.settings import PLAIN, draw_setting
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.phrasings import rehearsed
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import (
    COLOURS,
    FAMILIES,
    OUT_OF_SCOPE,
    SHAPES,
)

IMPAIRED_SHARE = {'train': 0.35, 'val': 0.13}
"""Of the episodes, whose view is bad. To learn from they are where a policy fails at what it could
do; calibration needs them no more often than a robot might meet them."""
_SPLIT_SEEDS = {'train': 0, 'val': 10_000_000}
HOPELESS_S = 6.0
"""How long an episode without a chance of success is watched [s]."""
_WEIGHTS = {'move': .13, 'turn': .11, 'stop': .04, 'go_to': .28, 'reach': .24, 'gesture': .20}


@dataclass(frozen=True)
class Plan:
    """An episode to be recorded.

    Attributes:
        episode: What is said, and where.
        able: Whether the robot can do it at all.
        posture: Joint name to starting position [rad].
        absent: Whether it is about an object that is not there.
    """

    episode: Episode
    able: bool = True
    posture: Mapping[str, float] = field(default_factory=dict)
    absent: bool = False


class RolloutRecorder:
    """Records episodes of one policy. One recorder a process.

    Args:
        robot: The robot.
        policy: The policy.
        latency_s: How long after a request its answer is heard [s].
    """

    def __init__(self, robot: RobotSpec, policy: RobotPolicy, latency_s: float) -> None:
        self._policy = RecordingPolicy(policy)
        asked = noise_observation(policy, robot, np.random.default_rng(0))
        policy.reset('walk forward')
        self._says_progress = policy.infer(asked).says_progress
        monitoring = Monitoring(OPEN_GATE, Standing.ALLOWED)
        self._fair = Rollout(robot, self._policy, monitoring, TaskConfig(max_retries=0),
                             latency_s=latency_s, until_reached=not self._says_progress,
                             read=as_said)
        self._hopeless = Rollout(robot, self._policy, monitoring,
                                 TaskConfig(max_retries=0, time_limit_s=HOPELESS_S),
                                 latency_s=latency_s, read=as_said)

    def record(self, plan: Plan) -> RecordedEpisode:
        """Run an episode to its end. It has no answers where a stop word ended it."""
        episode = plan.episode
        rollout = self._fair if plan.able else self._hopeless
        result = rollout.run(episode, plan.posture)
        # The walk before a stop belongs to other words. A stop word that is recognised ends the
        # task without an inference: such an episode says nothing about the policy.
        prompt = _as_given(episode.instruction)
        tags = {'task': episode.task.key, 'seed': str(episode.seed),
                'seconds': f'{result.seconds:g}', 'view': episode.view or '',
                'absent': 'yes' if plan.absent else ''}
        if result.success and not self._says_progress:
            tags['reached_s'] = f'{result.seconds - LINGER_S:g}'
        return RecordedEpisode(
            episode.id, prompt, result.success and plan.able, plan.able,
            result.reason or ('' if plan.able else 'beyond the robot'), tags,
            self._policy.take(prompt))

    def close(self) -> None:
        """Free the drawing contexts."""
        self._fair.close()
        self._hopeless.close()


def drawn(robot: RobotSpec, split: Literal['train', 'val'], number: int,
          tasks: Sequence[str] = (), harder: bool = False) -> Plan:
    """The episode of a number: the words are those of `phrasings.rehearsed`.

    Args:
        robot: The robot.
        split: Whose words and scenes.
        number: Of the episode.
        tasks: Keys of which half of all episodes are to be; the others are of any task.
        harder: Whether half of the scenes are; see `settings.draw_setting`.
    """
    rng = np.random.default_rng([_SPLIT_SEEDS[split] + number // 50, number % 50, 13])
    task, kind = _draw_task(rng, robot), rng.random()
    if tasks and number % 2:
        task = Task.from_key(tasks[number // 2 % len(tasks)])
    words = str(rng.choice(rehearsed(task.key, split)))
    if kind < 0.14:
        words = str(rng.choice(rehearsed(None, split)))
    seed = int(rng.integers(2 ** 31))
    if 0.14 <= kind < 0.24:
        task, words = _absent(rng, split, seed, workplace(robot))
    setting = draw_setting(rng, task) if harder and kind >= 0.24 else PLAIN
    view = str(rng.choice(KINDS)) if rng.random() < IMPAIRED_SHARE[split] else None
    episode = Episode(f'{split}-{number:06d}', words, task, seed, view=view, setting=setting)
    return Plan(episode, kind >= 0.24,
                starting_posture(robot, task, rng), absent=0.14 <= kind < 0.24)


def of_suite(episodes: Sequence[Episode]) -> list[Plan]:
    """The episodes of a suite but those in which a camera shows nothing real.

    Raises:
        UserError: An id cannot be the name of a file, or none is left.
    """
    plans = [Plan(e, e.family in FAMILIES) for e in episodes
             if e.family in (*FAMILIES, OUT_OF_SCOPE)]
    for plan in plans:
        if not re.fullmatch('[A-Za-z0-9_-]+', plan.episode.id):
            raise UserError(f'Episode id {plan.episode.id!r} must be of letters, digits, - and _.')
    if not plans:
        raise UserError('The suite has no episode to learn from: no camera shows anything real.')
    return plans


def as_said(words: str | bytes, before: Sequence[Step] = (), sees: bool = False
            ) -> Instruction | Rejection:
    """A `Reader` that leaves all there is to understand to the policy."""
    return check_command(words)


def _as_given(words: str) -> str:
    """An instruction as the policy is given it, after the checks of `check_command`."""
    parsed = check_command(words)
    return parsed.text if isinstance(parsed, Instruction) else words


def _draw_task(rng: np.random.Generator, robot: RobotSpec) -> Task:
    family = str(rng.choice(list(_WEIGHTS), p=list(_WEIGHTS.values())))
    return Task.from_key(str(rng.choice(keys_for(robot, family))))


def _absent(rng: np.random.Generator, split: Literal['train', 'val'], seed: int,
            place: Workplace) -> tuple[Task, str]:
    """The scene of a seed for one object, and words about another that is not in it."""
    family = str(rng.choice(['go_to', 'reach']))
    pairs = [(c, s) for c in COLOURS for s in SHAPES]
    task = Task(family, pairs[int(rng.integers(len(pairs)))])
    present = {(p.colour, p.shape) for p in sample_layout(scene_rng(seed), task, place).objects}
    absent = [p for p in pairs if p not in present]
    key = ':'.join((family, *absent[int(rng.integers(len(absent)))]))
    return task, str(rng.choice(rehearsed(key, split)))
