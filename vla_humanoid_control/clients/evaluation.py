"""A suite through the real node graph, in real time."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import MappingProxyType

from vla_humanoid_control.clients.director import (
    Director,
    EpisodeOutcome,
    Snapshot,
    camera_topic,
)
from vla_humanoid_control.confidence.artifact import ALL
from vla_humanoid_control.confidence.combine import ALPHA
from vla_humanoid_control.control.timing import NodeParameters
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.graph.bringup import Deployment, environment, graph
from vla_humanoid_control.graph.domain import own_domain
from vla_humanoid_control.graph.processes import ProcessGroup
from vla_humanoid_control.robot.reader import load_robot

LOG = Path('out', 'log', 'graph.log')


def evaluate(episodes: Sequence[Episode], robot: str, policy: str,
             signals: Sequence[str] = ALL, alpha: float = ALPHA, *, log: Path = LOG,
             outside_rate_hz: float = 0.0, on_moment: Callable[[Snapshot], None] | None = None,
             on_episode: Callable[[Episode], None] | None = None, namespace: str = '',
             embodiment: str = '', trust: str = '', timing: NodeParameters
             = MappingProxyType({}), allow_uncalibrated: bool = False
             ) -> Generator[EpisodeResult, None, None]:
    """Bring the graph up, run the episodes one after the other, take it down.

    It has a ROS domain of its own, unless ROS_DOMAIN_ID names one.

    Args:
        episodes: What to do; none whose camera breaks, because the camera is the graph's own.
        robot: Name or path of the robot file.
        policy: As `load_policy` takes it.
        signals: What the confidence is made of.
        alpha: Share of successful episodes that the gate may stop.
        log: Where the output of all processes goes.
        outside_rate_hz: Images per second of the outside view; 0 for no images at all [Hz].
        on_moment: Called ten times a second with what the topics say.
        on_episode: Called before each episode.
        namespace: The robot's, as `read_namespace` gives it.
        embodiment: Mapping file of the policy.
        trust: Folder of its trust artifact; '' for that which belongs to it.
        timing: Parameters that follow from the policy's pace, by node.
        allow_uncalibrated: Let a policy act that has no trust artifact.

    Yields:
        The result of each episode.

    Raises:
        UserError: A process died, or the graph did not come up; says where the log is.
    """
    # This process is a client of the same graph, and must find it the same way.
    os.environ.update(environment())
    log.unlink(missing_ok=True)
    deployment = Deployment(robot=robot, policy=policy, embodiment=embodiment, trust=trust,
                            timing=timing, namespace=namespace, parameters={
        'confidence_monitor': {'confidence_signals': list(signals), 'alpha': float(alpha),
                               'allow_uncalibrated': allow_uncalibrated},
        'humanoid_sim': {'outside_rate_hz': float(outside_rate_hz)}})
    with own_domain(), ProcessGroup(graph(deployment), log, echo=None) as group, \
            Director(outside_rate_hz > 0, group.check, on_moment,
                     camera_topic(load_robot(robot)), namespace) as director:
        director.wait_until_ready()
        for episode in episodes:
            if on_episode is not None:
                on_episode(episode)
            outcome = director.run_episode(episode.instruction, episode.task, episode.seed,
                                           episode.answer, vars(episode.setting))
            confidences, held = [c for _, c in outcome.confidences], outcome.held
            yield EpisodeResult(
                episode.id, episode.family, episode.task.key, episode.instruction,
                outcome.success, outcome.declared_done, round(outcome.seconds, 3),
                sum(confidences) / len(confidences) if confidences else 0.0,
                outcome.interventions, _reason(outcome), outcome.confidences,
                signals=None, retries=outcome.retries, acted=None if held is None else held.acted,
                held_s=None if held is None else held.held_s, kind=episode.kind,
                refused='' if held is None else held.refused)
            director.linger(0.5)


def _reason(outcome: EpisodeOutcome) -> str:
    if outcome.success:
        return ''
    if outcome.held is not None and outcome.held.problem:
        return outcome.held.problem
    return outcome.problem if outcome.declared_done else outcome.task_state
