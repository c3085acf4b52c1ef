"""One system of each kind of action head through the real nodes, untrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph_under_test import ROBOT, GraphUnderTest

pytest.importorskip('torch', reason='needs the models: pip install .[train]')

import torch

from vla_humanoid_control.models.checkpoint import Checkpoint, build_model, save_checkpoint
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.transforms import Statistics

KINDS = {'regression': 'simple_vla', 'bins': 'rt1', 'discrete': 'vima',
         'action_tokens': 'openvla', 'diffusion': 'octo', 'flow': 'smolvla', 'cvae': 'act',
         'arm_gripper': 'robo_flamingo'}


def untrained(name: str, folder: Path) -> Path:
    """A checkpoint with random weights whose actions lie about the home posture."""
    torch.manual_seed(0)
    config = load_model_config(name, demo=True)
    spec = ModelSpec(('head',), (128, 96), ROBOT.joint_names, ROBOT.action_channels,
                     config.space.horizon, 0.1, config.space.frames)
    home = np.array([0.0] * 3 + [j.home for j in ROBOT.controlled], np.float32)
    save_checkpoint(folder, Checkpoint(build_model(config, spec), config, spec, Statistics(
        ROBOT.home.astype(np.float32), np.ones(len(ROBOT.joint_names), np.float32), home,
        np.full(len(home), 0.01, np.float32))))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('kind', KINDS)
def test_it_moves_the_robot_through_both_gates(kind: str, domain_id: int, tmp_path: Path) -> None:
    name = KINDS[kind]
    config = load_model_config(name, demo=True)
    assert kind in {part.kind for part in config.parts.values() if part.head}
    checkpoint = untrained(name, tmp_path / 'checkpoint')
    with GraphUnderTest(domain_id, tmp_path, policy=str(checkpoint),
                        parameters={'confidence_monitor': {'allow_uncalibrated': True}}
                        ) as graph:
        graph.wait_until_ready()
        graph.forget()
        graph.say('walk forward')
        graph.wait_for(lambda: graph.safety.startswith('RUN'), 'safety lets it act')
        graph.wait_for(lambda: any(
            abs(value - ROBOT.joint(joint).home) > 1e-4
            for _, targets in graph.targets for joint, value in targets.items()), 'joints move')
        graph.say('stop')
        graph.wait_for(lambda: graph.task.startswith('DONE: stop'), 'it stops')
