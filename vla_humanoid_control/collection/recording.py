"""Records rollouts into a folder, in several processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tqdm import tqdm

from vla_humanoid_control.collection.rollouts import Plan, RolloutRecorder
from vla_humanoid_control.data.rollouts import RolloutsFolder, RolloutsHeader
from vla_humanoid_control.policy.registry import fingerprint, load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.workers import parallel_map


@dataclass(frozen=True)
class Recording:
    """What all episodes have in common.

    Attributes:
        policy, embodiment, robot: As on the command line.
        latency_s: How long after a request an answer is heard [s].
        folder: Where they go.
    """

    policy: str
    embodiment: str
    robot: str
    latency_s: float
    folder: Path


def record(recording: Recording, plans: Sequence[Plan], workers: int) -> RolloutsFolder:
    """Record what is not there yet, with a progress bar.

    Raises:
        UserError: The folder holds rollouts of another policy, or a process was killed.
    """
    robot = load_robot(recording.robot)
    policy = load_policy(recording.policy, robot, recording.embodiment, trust=None)
    try:
        own = fingerprint(recording.policy, policy.policy)
        folder = RolloutsFolder.create(recording.folder, RolloutsHeader.of(
            recording.policy, own, robot.name, policy.spec, recording.latency_s))
    finally:
        policy.close()
    there = set(folder.ids)
    jobs = [(recording, plan) for plan in plans if plan.episode.id not in there]
    with tqdm(total=len(plans), initial=len(plans) - len(jobs), unit='episode',
              smoothing=0.05) as bar, closing(parallel_map(_record, jobs, workers)) as done:
        for _ in done:
            bar.update()
    return folder


def _record(job: tuple[Recording, Plan]) -> None:
    recording, plan = job
    recorder, folder = _recorder(recording)
    folder.write(recorder.record(plan))


@cache  # one in each process
def _recorder(recording: Recording) -> tuple[RolloutRecorder, RolloutsFolder]:
    robot = load_robot(recording.robot)
    policy = load_policy(recording.policy, robot, recording.embodiment, trust=None)
    if torch := sys.modules.get('torch'):  # each process has one core to itself
        torch.set_num_threads(1)
    return (RolloutRecorder(robot, policy, recording.latency_s),
            RolloutsFolder.open(recording.folder))
