"""One system of each kind of action head through the real nodes, untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
from graph_under_test import ROBOT, GraphUnderTest

pytest.importorskip('torch', reason='needs the models: pip install .[train]')

from vla_humanoid_control.models.checkpoint import save_untrained
from vla_humanoid_control.models.config import load_model_config

KINDS = {'regression': 'simple_vla', 'bins': 'rt1', 'discrete': 'vima',
         'action_tokens': 'openvla', 'diffusion': 'octo', 'flow': 'smolvla', 'cvae': 'act',
         'arm_gripper': 'robo_flamingo'}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('kind', KINDS)
def test_it_moves_the_robot_through_both_gates(kind: str, domain_id: int, tmp_path: Path) -> None:
    name = KINDS[kind]
    config = load_model_config(name, demo=True)
    assert kind in {part.kind for part in config.parts.values() if part.head}
    checkpoint = tmp_path / 'checkpoint'
    save_untrained(checkpoint, config, ROBOT)
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
