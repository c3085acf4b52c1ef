"""The whole flow offline, with a robot that does exactly what it is told."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scripted_robot import ScriptedRobot

from vla_humanoid_control.confidence.gate import ConfidenceGate, GateConfig
from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.pipeline import Pipeline
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.support.geometry import advance
from vla_humanoid_control.types import (
    Command,
    ImuReading,
    JointReading,
    OdometryReading,
    RobotChunk,
    RobotObservation,
    SafetyState,
    ScanReading,
    TaskState,
)

ROBOT = load_robot('humanoid')
DT_S = 0.02


class Recorder(ScriptedRobot):
    """The scripted policy; keeps what it was given, and can be told to misbehave."""

    def __init__(self) -> None:
        super().__init__(ROBOT)
        self.wordings: list[str] = []
        self.seen: list[RobotObservation] = []
        self.confidence: float | None = None
        self.error: BaseException | None = None

    def reset(self, instruction: str) -> None:
        super().reset(instruction)
        self.wordings.append(instruction)

    def infer(self, observation: RobotObservation) -> RobotChunk:
        self.seen.append(observation)
        if self.error is not None:
            raise self.error
        chunk = super().infer(observation)
        confidence = chunk.confidence if self.confidence is None else self.confidence
        return RobotChunk(chunk.channels, chunk.actions, chunk.dt_s, confidence, chunk.progress)


class Bench:
    """Runs a pipeline on a robot without inertia."""

    def __init__(self, task: TaskConfig | None = None, latency_s: float = 0.0) -> None:
        self.policy = Recorder()
        self.now_s = 100.0
        self.noise = np.random.default_rng(0)
        self.joints = {j.name: j.home for j in ROBOT.joints}
        self.commands: list[Command] = []
        self.pose, self.twist = np.zeros(3), np.zeros(3)
        controller = Controller(self.policy.spec, ROBOT, ControllerConfig(), FrameLimits(),
                                task or TaskConfig())
        self.task = controller.task
        self.pipeline = Pipeline(controller, self.policy, ConfidenceGate(GateConfig()),
                                 SafetySupervisor(ROBOT, SafetyConfig(), self.now_s), latency_s)
        self.run(1.0)

    def look(self) -> Mapping[str, NDArray[np.uint8]]:
        return {'head': self.noise.integers(0, 256, (48, 64, 3), np.uint8)}

    def measured(self) -> dict[str, float]:
        """Encoders have noise."""
        noise = self.noise.normal(size=len(self.joints)) * 1e-5
        return {name: value + e for (name, value), e in zip(self.joints.items(), noise)}

    def run(self, seconds: float) -> None:
        for step in range(round(seconds / DT_S)):
            stamp_ns = int(self.now_s * 1e9)
            scan = ScanReading(stamp_ns, -np.pi, np.pi / 90, 0.05, 8.0, np.full(180, np.inf))
            imu = ImuReading(stamp_ns, np.array([0.0, 0, 0, 1]), np.zeros(3),
                             np.array([0.0, 0, 9.81]))
            odometry = OdometryReading(stamp_ns, self.pose, self.twist)
            command = self.pipeline.step(
                self.now_s, self.look, JointReading(stamp_ns, self.measured()),
                scan if step % 5 == 0 else None, imu, odometry)
            self.joints.update(command.joints)
            self.twist = command.twist
            self.pose = advance(self.pose, self.twist, DT_S)
            self.commands.append(command)
            self.now_s += DT_S

    @property
    def state(self) -> TaskState:
        return self.task.state

    @property
    def speed(self) -> float:
        return float(np.linalg.norm(self.commands[-1].twist))


def test_without_a_command_it_holds_and_asks_for_nothing() -> None:
    bench = Bench()
    assert bench.commands[-1].state is SafetyState.HOLD
    assert bench.speed == 0.0
    assert not bench.policy.seen


def test_a_command_moves_it_and_ends_as_done_at_rest() -> None:
    bench = Bench()
    bench.pipeline.say('walk forward', bench.now_s)
    bench.run(1.0)
    assert bench.state is TaskState.RUNNING
    assert bench.commands[-1].twist[0] == pytest.approx(0.3, abs=0.03)
    bench.run(5.0)
    assert bench.state is TaskState.DONE
    assert bench.speed == 0.0


def test_the_policy_is_asked_at_its_rate_and_at_once() -> None:
    bench = Bench()
    bench.pipeline.say('walk forward', bench.now_s)
    bench.run(1.0)
    assert len(bench.policy.seen) == pytest.approx(10, abs=1)
    assert bench.policy.seen[0].elapsed_s == 0.0


def test_travelled_follows_what_was_commanded_and_begins_anew_with_an_instruction() -> None:
    bench = Bench()
    bench.pipeline.say('walk forward', bench.now_s)
    begin = len(bench.commands)
    bench.run(1.5)
    driven_m = sum(c.twist[0] for c in bench.commands[begin:]) * DT_S
    assert bench.policy.seen[-1].travelled[0] == pytest.approx(driven_m, abs=0.05)
    bench.pipeline.say('turn left', bench.now_s)
    bench.run(DT_S)
    assert bench.policy.seen[-1].travelled == pytest.approx(np.zeros(3), abs=0.01)
    assert bench.policy.seen[-1].elapsed_s == 0.0


def test_stop_in_motion_slows_down_at_once_without_the_policy() -> None:
    bench = Bench()
    bench.pipeline.say('walk forward', bench.now_s)
    bench.run(1.0)
    asked, speed = len(bench.policy.seen), bench.speed
    bench.pipeline.say('please stop right now', bench.now_s)
    bench.run(0.06)
    assert bench.state is TaskState.DONE
    assert bench.speed < speed
    bench.run(0.44)
    assert bench.speed < 0.05
    assert len(bench.policy.seen) == asked


@pytest.mark.parametrize('words', ['', '   ', 'x' * 501, 'go\x00'])
def test_a_refused_command_changes_nothing(words: str) -> None:
    bench = Bench()
    bench.pipeline.say('walk forward', bench.now_s)
    generation = bench.task.generation
    bench.pipeline.say(words, bench.now_s)
    assert bench.task.generation == generation


def test_lost_confidence_holds_then_retries_with_other_words_and_keeps_its_way() -> None:
    bench = Bench(TaskConfig(hold_timeout_s=1.0))
    bench.pipeline.say('please walk forward', bench.now_s)
    bench.run(1.0)
    travelled = bench.policy.seen[-1].travelled[0]
    bench.policy.confidence = 0.1
    bench.run(0.9)
    assert bench.state is TaskState.HELD
    assert bench.speed == 0.0
    bench.run(0.8)
    assert bench.state is TaskState.RETRYING
    assert bench.policy.wordings == ['please walk forward', 'walk forward']
    bench.policy.confidence = None
    bench.run(1.0)
    assert bench.state is TaskState.RUNNING
    assert bench.policy.seen[-1].travelled[0] > travelled > 0.1


@pytest.mark.parametrize(('error', 'attempts'), [(RuntimeError('boom'), 4), (MemoryError(), 1)])
def test_errors_of_the_policy_retry_at_most_n_times_and_out_of_memory_never(
        error: BaseException, attempts: int) -> None:
    bench = Bench()
    bench.policy.error = error
    bench.pipeline.say('walk forward', bench.now_s)
    bench.run(3.0)
    assert bench.state is TaskState.FAILED
    assert len(bench.policy.seen) == attempts
    assert bench.speed == 0.0


def test_everything_that_is_commanded_is_within_the_limits_of_the_robot() -> None:
    bench = Bench()
    for words in ('walk forward', 'wave', 'turn around', 'stop', 'raise your left hand'):
        bench.pipeline.say(words, bench.now_s)
        bench.run(1.2)
    limits = np.array([m.velocity for m in ROBOT.base.values()])
    for command in bench.commands:
        assert np.isfinite(command.twist).all()
        assert (np.abs(command.twist) <= limits + 1e-9).all()
        for name, target in command.joints.items():
            joint = ROBOT.joint(name)
            assert joint.lower - 1e-9 <= target <= joint.upper + 1e-9


def test_a_latency_is_played_back() -> None:
    """What evaluation measures is what a robot does whose policy takes so long."""
    begun: dict[float, float] = {}
    for latency_s in (0.0, 0.1, 0.3):
        bench = Bench(latency_s=latency_s)
        bench.pipeline.say('walk forward', bench.now_s)
        said = len(bench.commands)
        bench.run(1.5)
        moving = [i for i, c in enumerate(bench.commands[said:]) if c.twist[0] > 0]
        begun[latency_s] = moving[0] * DT_S
        asked = np.diff([o.stamp_ns for o in bench.policy.seen]) / 1e9
        assert asked.min() >= latency_s - 1e-6  # one question at a time
    assert begun[0.1] - begun[0.0] == pytest.approx(0.1, abs=0.021)
    assert begun[0.3] - begun[0.0] == pytest.approx(0.3, abs=0.021)


def test_a_latency_beyond_the_hang_timeout_is_a_hang_here_too() -> None:
    bench = Bench(latency_s=1.5)
    bench.pipeline.say('walk forward', bench.now_s)
    bench.run(1.3)
    assert 'inference hangs' in bench.task.reason
    assert bench.speed == 0.0
