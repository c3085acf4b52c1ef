"""A suite through the real node graph, in real time."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from vla_humanoid_control.clients.director import (
    Director,
    EpisodeOutcome,
    Snapshot,
    camera_topic,
)
from vla_humanoid_control.clients.gazebo_stage import GazeboStage
from vla_humanoid_control.clients.stage import SimulatorStage, Stage
from vla_humanoid_control.confidence.artifact import ALL
from vla_humanoid_control.confidence.combine import ALPHA
from vla_humanoid_control.control.timing import NodeParameters
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.graph.bringup import Deployment, environment, graph
from vla_humanoid_control.graph.domain import own_domain
from vla_humanoid_control.graph.gazebo_programs import gazebo_programs
from vla_humanoid_control.graph.processes import ProcessGroup, Program
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.gazebo import gazebo_world

LOG = Path('out', 'log', 'graph.log')


def evaluate(episodes: Sequence[Episode], robot: str, policy: str,
             signals: Sequence[str] = ALL, alpha: float = ALPHA, *, log: Path = LOG,
             outside_rate_hz: float = 0.0, on_moment: Callable[[Snapshot], None] | None = None,
             on_episode: Callable[[Episode], None] | None = None, namespace: str = '',
             embodiment: str = '', trust: str = '', timing: NodeParameters
             = MappingProxyType({}), allow_uncalibrated: bool = False,
             gazebo: bool = False) -> Generator[EpisodeResult, None, None]:
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
        gazebo: Whether Gazebo stands in for the robot; it and the graph begin anew for each
            episode.

    Yields:
        The result of each episode.

    Raises:
        UserError: A process died, or the graph did not come up; says where the log is. Or Gazebo
            is not installed, or cannot have the robot.
    """
    # This process is a client of the same graph, and must find it the same way.
    os.environ.update(environment())
    log.unlink(missing_ok=True)
    body = load_robot(robot)
    deployment = Deployment(robot=robot, policy=policy, embodiment=embodiment, trust=trust,
                            timing=timing, namespace=namespace, simulated=not gazebo,
                            gazebo=gazebo, walks=gazebo and body.walks, parameters={
        'confidence_monitor': {'confidence_signals': list(signals), 'alpha': float(alpha),
                               'allow_uncalibrated': allow_uncalibrated},
        'humanoid_sim': {'outside_rate_hz': float(outside_rate_hz)}})
    # Gazebo begins anew with each scene; the simulator changes its own.
    for part in ([episode] for episode in episodes) if gazebo else (episodes,):
        place = _gazebo(body, part[0]) if gazebo else nullcontext((SimulatorStage(), ()))
        with own_domain(), place as (stage, programs), \
                ProcessGroup((*graph(deployment), *programs), log, echo=None) as group, \
                Director(outside_rate_hz > 0, group.check, on_moment, camera_topic(body),
                         namespace, stage) as director:
            director.wait_until_ready()
            for episode in part:
                if on_episode is not None:
                    on_episode(episode)
                yield _result(episode, director.run_episode(
                    episode.instruction, episode.task, episode.seed, episode.answer,
                    vars(episode.setting)))
                director.linger(0.5)


@contextmanager
def _gazebo(robot: RobotSpec, episode: Episode) -> Iterator[tuple[Stage, tuple[Program, ...]]]:
    """Gazebo with the scene of an episode, and the programs that this needs."""
    with TemporaryDirectory() as folder, closing(GazeboStage(
            robot, episode.task, episode.seed, episode.setting)) as stage:
        yield stage, gazebo_programs(*gazebo_world(stage.world).save(Path(folder)))


def _result(episode: Episode, outcome: EpisodeOutcome) -> EpisodeResult:
    confidences, held = [c for _, c in outcome.confidences], outcome.held
    return EpisodeResult(
        episode.id, episode.family, episode.task.key, episode.instruction,
        outcome.success, outcome.declared_done, round(outcome.seconds, 3),
        sum(confidences) / len(confidences) if confidences else 0.0,
        outcome.interventions, _reason(outcome), outcome.confidences,
        signals=None, retries=outcome.retries, acted=None if held is None else held.acted,
        held_s=None if held is None else held.held_s, kind=episode.kind,
        refused='' if held is None else held.refused)


def _reason(outcome: EpisodeOutcome) -> str:
    if outcome.success:
        return ''
    if outcome.held is not None and outcome.held.problem:
        return outcome.held.problem
    return outcome.problem if outcome.declared_done else outcome.task_state
