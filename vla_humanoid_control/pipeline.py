"""The whole flow without ROS, as the nodes wire it: look, propose, gate, check, command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control import types as t
from vla_humanoid_control.confidence.gate import ConfidenceGate
from vla_humanoid_control.control.dead_reckoning import DeadReckoning
from vla_humanoid_control.control.playback import ChunkPlayback
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.interfaces import Policy
from vla_humanoid_control.language.intake import Instruction, Rejection, parse_command
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.supervisor import SafetySupervisor

Look = Callable[[], Mapping[str, NDArray[np.uint8]]]  # camera to uint8 [H, W, 3]; {}: none good


@dataclass
class Pipeline:
    """One robot under control. Call `step` at 50 Hz with one steady clock for everything."""

    robot: RobotSpec
    policy: Policy
    gate: ConfidenceGate
    task: TaskManager
    safety: SafetySupervisor
    chunk: t.ActionChunk | None = None
    gated: t.GatedProposal | None = None
    _odometer: DeadReckoning = field(default_factory=DeadReckoning)
    _next_policy_s: float = -np.inf
    _seen: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._playback = ChunkPlayback(self.policy.spec)

    def say(self, text: str, now_s: float) -> Instruction | Rejection:
        """A person gives a command in plain English."""
        if isinstance(parsed := parse_command(text), Instruction):
            self.task.command(parsed, now_s)
            self._next_policy_s = now_s
        return parsed

    def step(self, now_s: float, look: Look, joints: t.JointReading,
             scan: t.ScanReading | None = None, imu: t.ImuReading | None = None) -> t.Command:
        """One control period: from what the robot senses to what it is told."""
        self.safety.on_joint_states(joints, now_s)
        if scan is not None:
            self.safety.on_scan(scan, now_s)
        if imu is not None:
            self.safety.on_imu(imu, now_s)
        self.task.tick(now_s)
        due = now_s >= self._next_policy_s - 1e-6
        self.gated = self.gate.update(self._propose(now_s, look, joints) if due else None, now_s)
        self.task.on_gate(self.gated.is_open, self.gated.reason, now_s)
        self.safety.on_gated(self.gated, now_s)
        command = self.safety.step(now_s)
        self._odometer.on_command(command.twist, now_s)
        return command

    def _propose(self, now_s: float, look: Look, joints: t.JointReading) -> t.Proposal | None:
        self._next_policy_s = max(self._next_policy_s, now_s - 0.02) + self.policy.spec.dt_s
        stamp_ns = int(now_s * 1e9)
        self._follow_task()
        if self.task.is_active:
            if not (images := look()):
                return None  # gate and safety see the last proposal grow stale
            positions = np.array([joints.positions[n] for n in self.policy.spec.joint_names])
            self._infer(t.Observation(stamp_ns, images, positions, self.task.elapsed_s(now_s),
                                      self._odometer.travelled(now_s)), now_s)
            self._follow_task()
        if (action := self._playback.action_at(stamp_ns)) is None or self.chunk is None:
            return t.Proposal(stamp_ns, t.Action.hold(), 0.0, 0.0)
        return t.Proposal(stamp_ns, action, self.chunk.confidence, self.chunk.progress)

    def _infer(self, observation: t.Observation, now_s: float) -> None:
        try:
            self.chunk = self.policy.infer(observation)
            self._playback.add(self.chunk, observation.stamp_ns)
            self.task.on_inference(self.chunk.progress, self.chunk.actions[0], now_s)
        except (RuntimeError, ValueError, MemoryError) as error:
            fatal = isinstance(error, MemoryError) or 'OutOfMemory' in type(error).__name__
            self.task.on_policy_error(f'{type(error).__name__}: {error}', fatal, now_s)

    def _follow_task(self) -> None:
        """What belongs to an older attempt is forgotten."""
        if self._seen == (self.task.generation, self.task.instruction_id):
            return
        self._playback.clear()
        if self.task.instruction_id != self._seen[1]:
            self._odometer.reset()
        self._seen = (self.task.generation, self.task.instruction_id)
        if self.task.wording is not None:
            self.policy.reset(self.task.wording)
