"""The node of the confidence gate by itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from vla_humanoid_control.channels import encode_proposal
from vla_humanoid_control.confidence.artifact import TrustArtifact
from vla_humanoid_control.confidence.combine import Combination
from vla_humanoid_control.nodes.confidence_monitor import ConfidenceMonitor
from vla_humanoid_control.policy.registry import fingerprint
from vla_humanoid_control.ros.messages import channels_to_msg
from vla_humanoid_control.types import Action, Proposal

pytestmark = pytest.mark.ros


def test_the_gate_starts_closed_each_time_that_the_node_is_activated(
        domain_id: int) -> None:
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted'], domain_id=domain_id)
    node = ConfidenceMonitor()
    try:
        node.trigger_configure()
        node.trigger_activate()
        action = Action(np.array([0.2, 0.0, 0.0]), {})
        node._on_proposal(channels_to_msg(encode_proposal(Proposal(1, action, 0.9, 0.0))))
        assert node._gate.is_open
        node.trigger_deactivate()
        node.trigger_activate()
        assert not node._gate.is_open
    finally:
        node.destroy_node()
        rclpy.shutdown()


def calibrate(folder: Path, lowest: float) -> str:
    """Leave a checkpoint and its trust artifact, whose gate is to open at this confidence."""
    checkpoint = folder / 'checkpoint'
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / 'model.safetensors').write_bytes(b'weights')
    (checkpoint / 'config.json').write_text('{}', encoding='utf-8')
    data = {'format': 1, 'fingerprint': fingerprint(str(checkpoint)), 'scale': {},
            'combination': Combination(('head',), (0.0,), (1.0,), (3.0,), (1.0, 1.0), 2.0,
                                       lowest=(0.95 * lowest, *(lowest,) * 99)).to_dict()}
    (folder / 'trust').mkdir(exist_ok=True)
    (folder / 'trust' / 'trust.json').write_text(json.dumps(data), encoding='utf-8')
    return str(checkpoint)


@contextmanager
def monitor(domain_id: int, policy: str, more: Sequence[str] = ()) -> Iterator[ConfidenceMonitor]:
    arguments = ['-p', f'policy:={policy}', *(a for m in more for a in ('-p', m))]
    rclpy.init(args=['--ros-args', *arguments], domain_id=domain_id)
    node = ConfidenceMonitor()
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown()


def begin(node: ConfidenceMonitor) -> dict[str, object]:
    """Configure and activate the node; gives what its diagnostics say of its thresholds."""
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert node._gate.config == node._gate_config.value
    for name in ('open_threshold', 'close_threshold'):
        assert node.get_parameter(f'gate.{name}').value == node.health().values[name]
    return dict(node.health().values)


def end(node: ConfidenceMonitor) -> None:
    node.trigger_deactivate()
    node.trigger_cleanup()


def test_the_thresholds_are_those_of_the_checkpoint_as_it_is_when_configured(
        domain_id: int, tmp_path: Path) -> None:
    """Regression: after training and configuring again, those from the start stayed."""
    with monitor(domain_id, calibrate(tmp_path, 0.3)) as node:
        said = begin(node)
        assert said['open_threshold'] == pytest.approx(0.3)
        assert said['close_threshold'] == pytest.approx(0.285)
        assert said['open_threshold/set_by'] == f'policy {tmp_path / "checkpoint"}'
        end(node)
        calibrate(tmp_path, 0.8)
        said = begin(node)
        assert said['open_threshold'] == pytest.approx(0.8)
        assert said['close_threshold'] == pytest.approx(0.76)
        end(node)
        (tmp_path / 'trust' / 'trust.json').unlink()
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE


@pytest.mark.parametrize('when', ['at start', 'since'])
def test_a_threshold_that_a_person_set_stays(domain_id: int, tmp_path: Path, when: str) -> None:
    more = ['gate.close_threshold:=0.1'] if when == 'at start' else []
    with monitor(domain_id, calibrate(tmp_path, 0.3), more) as node:
        if when == 'since':
            begin(node)
            change = Parameter('gate.close_threshold', value=0.1)
            assert node.set_parameters_atomically([change]).successful
            end(node)
        calibrate(tmp_path, 0.8)
        for _ in range(2):
            said = begin(node)
            assert said['open_threshold'] == pytest.approx(0.8)
            assert said['close_threshold'] == pytest.approx(0.1)
            assert said['close_threshold/set_by'] == 'a person'
            end(node)
        calibrate(tmp_path, 0.05)  # opens below where the person had it close
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE


def test_the_confidence_is_made_of_the_signals_which_are_published(domain_id: int, tmp_path: Path
                                                                   ) -> None:
    with monitor(domain_id, calibrate(tmp_path, 0.5), ['gate.min_dwell_s:=0.0']) as node:
        begin(node)
        published: list[JointState] = []
        trust = TrustArtifact.load(tmp_path / 'trust').identity
        node._signals.publish = published.append  # type: ignore[method-assign]
        action = Action(np.array([0.2, 0.0, 0.0]), {})
        for stamp, head in ((1, -3.0), (2_000_000_000, 9.0)):
            signals = {'head': head, 'agreement': math.nan}
            node._on_proposal(channels_to_msg(encode_proposal(
                Proposal(stamp, action, 0.0, 0.0, signals, 7, trust))))
            assert node._gate.is_open == (head < 0)
            assert list(published[-1].name) == list(signals)
            np.testing.assert_array_equal(published[-1].position, list(signals.values()))
        assert node.health().values['confidence'] == pytest.approx(1 / (1 + math.exp(-2 + 9 + 6)),
                                                                   rel=0.2)
