"""A robot records what its policy sees and answers, and a person says how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graph_under_test import ROBOT, GraphUnderTest

from vla_humanoid_control.data.rollouts import RolloutsFolder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_robot_does_is_recorded_and_judged_by_a_person(domain_id: int, tmp_path: Path
                                                              ) -> None:
    lab = tmp_path / 'lab'
    with GraphUnderTest(domain_id, tmp_path, parameters={
            'vla_controller': {'record': str(lab)}}) as graph:
        graph.wait_until_ready()
        graph.say('turn left')
        graph.wait_for(lambda: graph.task.startswith('DONE: turn left'), 'it is done')
        graph.walk()
        graph.say('stop')
        graph.wait_for(lambda: len(list(lab.glob('episode_*'))) == 2, 'both are written')
    told = subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.cli.main', 'record', str(lab), '--once'],
        input='y\nn\n', capture_output=True, text=True, timeout=100,
        env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert told.returncode == 0, told.stderr
    assert 'turn left' in told.stdout and 'walk forward' in told.stdout
    turned, walked = RolloutsFolder.open(lab)
    assert (turned.prompt, turned.success, walked.prompt, walked.success) == (
        'turn left', True, 'walk forward', False)
    stamps = [s.seen.stamp_ns for s in turned.steps]
    assert len(stamps) > 10 and np.all(np.diff(stamps) > 0)
    assert turned.steps[0].seen.images['head'].shape == (48, 64, 3)
    assert turned.steps[-1].seen.travelled[2] > 1.0  # it has turned
    assert turned.steps[0].seen.joint_positions.shape == (len(ROBOT.joint_names),)
    assert turned.steps[-1].chunk.progress > turned.steps[0].chunk.progress
