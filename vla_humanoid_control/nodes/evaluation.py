"""Episodes through the real node graph, in real time, for `vla eval --ros`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.nodes.bringup import Deployment, ProcessGroup, environment, graph
from vla_humanoid_control.nodes.director import Director, EpisodeOutcome


def evaluate(episodes: Sequence[Episode], robot: str, policy: str,
             log_path: Path = Path('out/eval/graph.log')) -> Iterator[EpisodeResult]:
    """Start the graph, run every episode in it, stop the graph.

    Args:
        episodes: What to run.
        robot: Name or path of the robot file.
        policy: Name of a policy, or the folder of a checkpoint.
        log_path: File for the output of all nodes.

    Raises:
        UserError: The graph does not come up, or one of its processes ends.
    """
    os.environ.update(environment())
    deployment = Deployment(robot=robot, policy=policy, simulated=True)
    with ProcessGroup(graph(deployment), log_path, echo=None) as group, \
            Director(watch_images=False, check=group.check) as director:
        director.wait_until_ready()
        for episode in episodes:
            outcome = director.run_episode(episode.instruction, episode.task, episode.seed)
            yield _result(episode, outcome)


def _result(episode: Episode, outcome: EpisodeOutcome) -> EpisodeResult:
    reason = ''
    if not outcome.success:
        reason = 'declared done, but it was not' if outcome.declared_done else outcome.task_state
    values = [c for _, c in outcome.confidences]
    return EpisodeResult(
        id=episode.id, task=episode.task.family, key=episode.task.key,
        instruction=episode.instruction, success=outcome.success,
        declared_done=outcome.declared_done, seconds=round(outcome.seconds, 3),
        mean_confidence=float(np.mean(values)) if values else 0.0,
        safety_interventions=outcome.interventions, reason=reason,
        confidences=outcome.confidences)
