"""Several steps and quantities in process: from words to the way, as the simulator has it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

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
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.types import CONTROL_PERIOD_S, Command, OdometryReading, TaskState

ROBOT = load_robot('humanoid')
# Without a scan, the tables of the scene are no obstacle: the way alone matters here.
SENSORS = {name: s for name, s in ROBOT.sensors.items() if name in ('joint_states', 'odom')}

LATENCY_S = 0.1


class Bench:
    """The scripted policy in a world; its camera shows noise, as that policy looks at nothing.

    Args:
        has_odometry: Whether the robot says how far it has come.
        lag: By how many control periods the base follows late.
        config: Settings of the controller.
    """

    def __init__(self, has_odometry: bool = True, lag: int = 0, **config: float) -> None:
        self.robot = replace(ROBOT, sensors=SENSORS if has_odometry else
                             {'joint_states': SENSORS['joint_states']})
        self.world, self.noise = World(self.robot), np.random.default_rng(0)
        self.world.place_base(np.array([0.0, 0.0, 0.4]))
        policy = ScriptedRobot(self.robot)
        controller = Controller(policy.spec, self.robot, ControllerConfig(**config),
                                FrameLimits(), TaskConfig())
        self.twists = deque([np.zeros(3)] * lag)
        self.task = controller.task
        self.pipeline = Pipeline(controller, policy, ConfidenceGate(GateConfig()),
                                 SafetySupervisor(self.robot, SafetyConfig(), self.world.time_s),
                                 LATENCY_S)
        self.lines: list[str] = []
        self.run(0.5)
        self.start = self.world.base_pose()

    def run(self, seconds: float, until_over: bool = False) -> None:
        until_s = self.world.time_s + seconds
        while self.world.time_s < until_s and (self.task.is_active or not until_over):
            self.step()

    def step(self) -> Command:
        """One control period."""
        odometry = OdometryReading(self.world.stamp_ns, *self.world.odometry()) \
            if 'odom' in self.robot.sensors else None
        command = self.pipeline.step(self.world.time_s, self.look, self.world.joint_reading(),
                                     odometry=odometry)
        self.twists.append(command.twist)
        self.world.apply(self.twists.popleft(), command.joints)
        self.world.advance(CONTROL_PERIOD_S)
        if self.lines[-1:] != [self.task.describe()]:
            self.lines.append(self.task.describe())
        return command

    def look(self) -> Mapping[str, NDArray[np.uint8]]:
        return {'head': self.noise.integers(0, 256, (8, 8, 3), np.uint8)}

    def say(self, text: str) -> None:
        self.pipeline.say(text, self.world.time_s)

    def way(self) -> NDArray[np.float64]:
        """By the simulator's own account, once the robot stands: x, y [m], yaw [rad]."""
        self.run(0.5)
        x, y, yaw = self.world.base_pose() - self.start
        return np.array([*rotate(x, y, -float(self.start[2])), yaw])


@pytest.mark.parametrize(('text', 'way', 'has_odometry'), [
    ('walk forward one metre', (1.0, 0.0, 0.0), True),
    ('walk forward one metre', (1.0, 0.0, 0.0), False),
    ('walk backward 20 cm', (-0.2, 0.0, 0.0), True),
    ('step left half a metre', (0.0, 0.5, 0.0), False),
    ('turn right by 120 degrees', (0.0, 0.0, -120.0), True),
    ('turn left by 400 degrees', (0.0, 0.0, 400.0), False),
    ('turn left by 10 degrees', (0.0, 0.0, 10.0), True)])
def test_what_is_asked_is_done_to_a_few_centimetres_and_degrees(
        text: str, way: tuple[float, float, float], has_odometry: bool) -> None:
    bench = Bench(has_odometry)
    bench.say(text)
    bench.run(40.0, until_over=True)
    assert bench.task.describe() == f'DONE: {text}'
    assert bench.lines == ['IDLE', f'RUNNING: {text}', f'DONE: {text}']
    x, y, yaw = bench.way()
    assert (x, y) == pytest.approx(way[:2], abs=0.03)
    assert math.degrees(yaw) == pytest.approx(way[2], abs=4)


@pytest.mark.parametrize(('told', 'off_m'), [({}, 0.06), ({'stop_delay_s': 0.24}, 0.0)])
def test_a_base_that_follows_late_is_stopped_in_time_if_that_is_known(
        told: dict[str, float], off_m: float) -> None:
    """By 0.2 s, at 0.3 m/s."""
    bench = Bench(lag=10, **told)
    bench.say('walk forward half a metre')
    bench.run(20.0, until_over=True)
    assert bench.task.state is TaskState.DONE
    assert bench.way()[0] - 0.5 == pytest.approx(off_m, abs=0.02)


def test_steps_are_done_one_after_the_other_and_the_robot_stands_in_between() -> None:
    bench = Bench()
    words = 'walk forward half a metre, turn left ninety degrees and walk backward'
    bench.say(words)
    twists: dict[str, list[NDArray[np.float64]]] = {}
    while bench.task.is_active:
        command = bench.step()
        twists.setdefault(bench.task.step.partition(',')[0], []).append(command.twist)
    assert bench.lines == [
        'IDLE', f'RUNNING: {words} (step 1 of 3: walk forward)',
        f'RUNNING: {words} (step 2 of 3: turn left)',
        f'RUNNING: {words} (step 3 of 3: walk backward)', f'DONE: {words}']
    turning, walking = twists['2 of 3: turn left'], twists['3 of 3: walk backward']
    for begun in (turning, walking):  # the policy answers after 0.1 s
        assert max(np.abs(twist).max() for twist in begun[:5]) < 1e-3
    assert max(np.abs(twist[:2]).max() for twist in turning) < 0.01
    assert bench.way() == pytest.approx([0.5, -0.7, math.pi / 2], abs=0.08)


def test_a_stop_between_two_beginnings_ends_all() -> None:
    bench = Bench()
    bench.say('walk forward two metres and wave')
    begun = bench.task.instruction_id
    while bench.task.instruction_id == begun:
        bench.step()
    bench.say('stop')
    stopped = bench.way()
    assert 0.5 < stopped[0] < 0.9
    bench.run(2.0)
    assert bench.task.state is TaskState.DONE and bench.way() == pytest.approx(stopped, abs=0.01)


def test_a_held_robot_keeps_what_it_has_measured() -> None:
    bench = Bench()
    bench.say('walk forward one metre')
    bench.run(1.5)
    gate = bench.pipeline.gate.config
    bench.pipeline.gate.config = replace(gate, open_threshold=1.0, close_threshold=1.0)
    bench.run(1.5)
    assert bench.task.state is TaskState.HELD
    held = bench.world.base_pose()
    bench.run(0.2)
    assert bench.world.base_pose() == pytest.approx(held, abs=0.01)
    bench.pipeline.gate.config = gate
    bench.run(20.0, until_over=True)
    assert bench.task.state is TaskState.DONE
    assert bench.way()[0] == pytest.approx(1.0, abs=0.03)
