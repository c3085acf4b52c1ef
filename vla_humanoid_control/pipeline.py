"""The whole flow without ROS, made of what the nodes run: look, propose, gate, check, command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control import types as t
from vla_humanoid_control.confidence.combine import Confidence
from vla_humanoid_control.confidence.gate import ConfidenceGate
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.control.inference import Inference, Outcome
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.language.intake import Instruction, Rejection
from vla_humanoid_control.safety.supervisor import SafetySupervisor

Look = Callable[[], Mapping[str, NDArray[np.uint8]]]  # camera to uint8 [H, W, 3]


@dataclass
class Pipeline:
    """One robot under control. Call `step` every `CONTROL_PERIOD_S`, on one steady clock for all.

    Attributes:
        policy: Answers the controller's requests.
        latency_s: How long after a request its answer is heard, played back [s].
        gated: What safety was given last.
    """

    controller: Controller
    policy: RobotPolicy
    gate: ConfidenceGate
    safety: SafetySupervisor
    latency_s: float = 0.0
    confidence: Confidence = field(default_factory=Confidence)
    gated: t.GatedProposal | None = None
    _outcome: tuple[Outcome, float] | None = None  # and when it is heard
    _due_s: float = -np.inf

    def __post_init__(self) -> None:
        self._inference = Inference(self.policy)

    def say(self, text: str, now_s: float) -> Instruction | Rejection:
        """A person gives a command in plain English."""
        return self.controller.on_command(text, now_s)

    def step(self, now_s: float, look: Look, joints: t.JointReading,
             scan: t.ScanReading | None = None, imu: t.ImuReading | None = None,
             odometry: t.OdometryReading | None = None) -> t.Command:
        """One control period: from what the robot senses to what it is told."""
        self._sense(now_s, joints, scan, imu, odometry)
        self._hear_policy(now_s)
        if ticks := now_s >= self._due_s - 1e-6:
            self._due_s = max(self._due_s, now_s - t.CONTROL_PERIOD_S) + self.controller.period_s
            self.controller.tick(now_s)
        if ticks or self.controller.is_due:
            for camera, pixels in look().items():
                stamp_ns = int(now_s * 1e9)
                self.controller.on_frame(camera, pixels, stamp_ns, stamp_ns, now_s)
        if (request := self.controller.take_request()) is not None:
            outcome = replace(self._inference.run(request), duration_s=self.latency_s)
            self._outcome = outcome, now_s + self.latency_s
            self._hear_policy(now_s)
        self._pass_gate(now_s)
        command = self.safety.step(now_s)
        self.controller.on_twist(command.twist, now_s)
        self.controller.on_safety(command.state, command.reason, now_s)
        return command

    def _sense(self, now_s: float, joints: t.JointReading, scan: t.ScanReading | None,
               imu: t.ImuReading | None, odometry: t.OdometryReading | None) -> None:
        self.safety.on_joint_states(joints, now_s)
        self.controller.on_joints(joints, now_s)
        if scan is not None:
            self.safety.on_scan(scan, now_s)
            self.controller.on_scan(scan, now_s)
        if imu is not None:
            self.safety.on_imu(imu, now_s)
        if odometry is not None:
            self.safety.on_odom(odometry.twist, now_s, odometry.stamp_ns, odometry.pose)
            self.controller.on_odometry(odometry, now_s)

    def _hear_policy(self, now_s: float) -> None:
        if self._outcome is not None and now_s >= self._outcome[1] - 1e-6:
            outcome, self._outcome = self._outcome[0], None
            self.controller.on_outcome(outcome, now_s)

    def _pass_gate(self, now_s: float) -> None:
        """As `confidence_monitor` does: each proposal, and a closed gate when none comes."""
        for proposal in tuple(self.controller.take_proposals()) or (None,):
            if isinstance(proposal, t.Fault):
                self.gate.refuse(now_s)
                self.safety.on_rejected('gated', proposal.reason, now_s)
                self.controller.on_gated(False, proposal.reason, now_s)
            elif gated := (self.gate.silence(now_s) if proposal is None
                           else self.gate.update(self.confidence.judge(proposal), now_s)):
                self.gated = gated
                self.safety.on_gated(gated, now_s)
                self.controller.on_gated(gated.is_open, gated.reason, now_s)
