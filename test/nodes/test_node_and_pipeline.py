"""The node and `pipeline.py` drive the same controller: the same messages, the same proposals."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_robot import ScriptedRobot

pytest.importorskip('rclpy')
pytest.importorskip('mujoco')
os.environ.setdefault('MUJOCO_GL', 'egl')

import rclpy
from std_msgs.msg import String

from vla_humanoid_control.channels import encode_gated, encode_proposal
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.control.inference import Inference, Outcome, Request
from vla_humanoid_control.evaluation.rollout import Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.nodes import vla_controller
from vla_humanoid_control.nodes.vla_controller import VlaController
from vla_humanoid_control.pipeline import Pipeline
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import messages
from vla_humanoid_control.state_text import safety_line
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.types import Action, Fault, GatedProposal, Proposal

pytestmark = pytest.mark.ros

ROBOT = load_robot('humanoid')
LATENCY_S = 0.06


class Recorder(Rollout):
    """Keeps every call that its pipeline makes of its controller, and what that proposed."""

    calls: list[tuple[str, tuple[Any, ...]]]
    proposals: list[Proposal | Fault]

    def new_pipeline(self) -> Pipeline:
        pipeline = super().new_pipeline()
        self.calls, self.proposals = [], []
        controller = pipeline.controller
        for name in ('on_frame', 'on_joints', 'on_odometry', 'on_twist', 'on_command', 'on_gated',
                     'on_safety', 'on_outcome', 'tick'):
            setattr(controller, name, self._recorded(name, getattr(controller, name)))
        take = controller.take_proposals

        def taken() -> list[Proposal | Fault]:
            new = take()
            self.proposals += new
            return new
        controller.take_proposals = taken  # type: ignore[method-assign]
        return pipeline

    def _recorded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return call(*arguments)
        return wrapped


class Worker:
    """In the place of the inference thread: its answer is fetched when the recording says so."""

    def __init__(self, policy: ScriptedRobot) -> None:
        self._inference, self._outcome = Inference(policy), None

    def submit(self, request: Request) -> None:
        self._outcome = self._inference.run(request)

    def take(self) -> Outcome:
        assert self._outcome is not None
        return replace(self._outcome, duration_s=LATENCY_S)

    def close(self) -> None:
        pass


@pytest.fixture
def node(domain_id: int) -> Iterator[VlaController]:
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted', '-p', 'frames.frozen_at_rest:=true'],
               domain_id=domain_id)
    node = VlaController()
    node.trigger_configure()
    node.trigger_activate()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def as_message(name: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Topic and message of what the pipeline handed to its controller."""
    if name == 'on_frame':
        camera, pixels, stamp_ns, *_ = arguments
        return ROBOT.cameras[camera].topic, messages.rgb_to_msg(stamp_ns, camera, pixels)
    if name == 'on_joints':
        reading = arguments[0]
        return ROBOT.sensors['joint_states'].topic, messages.joints_to_msg(
            reading.stamp_ns, reading.positions)
    if name == 'on_odometry':
        reading = arguments[0]
        return ROBOT.sensors['odom'].topic, messages.odometry_to_msg(
            reading.stamp_ns, reading.pose, reading.twist, 'base_link')
    if name == 'on_twist':
        return '/cmd_vel', messages.twist_to_msg(arguments[0])
    if name == 'on_command':
        return '/vla_command', String(data=arguments[0])
    if name == 'on_safety':
        return '/safety/state', String(data=safety_line(*arguments[:2]))
    is_open, reason, _ = arguments
    gated = GatedProposal(Proposal(1, Action.hold(), 0.5, 0.5), is_open, reason)
    return '/vla/action_gated', messages.channels_to_msg(encode_gated(gated))


def test_one_recorded_sequence_gives_the_same_proposals(node: VlaController,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(ROBOT, ScriptedRobot(ROBOT), latency_s=LATENCY_S)
    try:
        result = recorder.run(Episode('e', 'walk forward', Task.from_key('move:forward'), 3))
    finally:
        recorder.close()
    assert result.success
    node._worker.close()
    sent: list[Any] = []
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(vla_controller, 'time', SimpleNamespace(monotonic=lambda: clock.now_s))
    monkeypatch.setattr(node, 'now_ns', lambda: int(clock.now_s * 1e9))
    monkeypatch.setattr(node, '_worker', Worker(ScriptedRobot(ROBOT)))
    monkeypatch.setattr(node._proposals, 'publish', sent.append)
    hear = {s.topic_name: s.callback for s in node.subscriptions}
    node.controller = Controller(ScriptedRobot(ROBOT).spec, ROBOT, **node._settings.values)
    for name, arguments in recorder.calls:
        clock.now_s = arguments[-1]
        if name == 'tick':
            node._tick()
        elif name == 'on_outcome':
            node._on_outcome()
        else:
            topic, message = as_message(name, arguments)
            hear[f'/{topic.lstrip("/")}'](message)
    expected = [messages.channels_to_msg(encode_proposal(p)) for p in recorder.proposals]
    assert len(sent) == len(expected) > 20
    for got, wanted in zip(sent, expected):
        assert (got.header, got.name) == (wanted.header, wanted.name)
        # The heading passes through a quaternion, which costs the last digits.
        assert list(got.velocity) == pytest.approx(list(wanted.velocity), abs=1e-6)
        assert list(got.position) == pytest.approx(list(wanted.position), abs=1e-6, nan_ok=True)
    assert any(m.velocity[0] > 0.1 for m in sent)
