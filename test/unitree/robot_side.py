"""A simulated Unitree G1 that speaks the messages of the SDK, as a process: the robot's side.

It takes rt/arm_sdk and velocities as Unitree's examples send them, judges check sums with the
SDK's own code, and gives rt/lowstate, rt/secondary_imu and rt/odommodestate. What it makes of them
is said in lines of JSON on standard output; words on standard input tell it to be silent, to
freeze or to send broken messages. With `--legged` the body is the simulator's G1, on its own legs.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import Any

import numpy as np
from cyclonedds.core import Policy, Qos
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from unitree_sdk2py.idl import default
from unitree_sdk2py.idl.unitree_api.msg.dds_ import Request_
from unitree_sdk2py.idl.unitree_go.msg.dds_ import SportModeState_
from unitree_sdk2py.idl.unitree_hg.msg.dds_ import IMUState_, LowCmd_, LowState_
from unitree_sdk2py.utils.crc import CRC

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.geometry import advance

PERIOD_S = 0.01
ARMS, WAIST, WEIGHT = slice(15, 29), slice(12, 15), 29
LOOPBACK = ('<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="lo"/>'
            '</Interfaces></General></Domain></CycloneDDS>')


class PlainBody:
    """Joints that go to their targets at 2 rad/s, and a base that follows at once."""

    def __init__(self) -> None:
        self.positions = np.array([j.home for j in load_robot('unitree_g1').joints])
        self.velocities = np.zeros(29)
        self.pose = np.zeros(3)
        self.quaternion_wxyz = [1.0, 0.0, 0.0, 0.0]
        self.fallen = False

    def go_on(self, twist: np.ndarray, upper: np.ndarray) -> None:
        """One period under a base twist and targets of waist and arms [17]."""
        before = self.positions.copy()
        self.positions[12:] += np.clip(upper - before[12:], -2 * PERIOD_S, 2 * PERIOD_S)
        self.velocities = (self.positions - before) / PERIOD_S
        self.pose = advance(self.pose, twist, PERIOD_S)


class LeggedBody:
    """The simulator's G1, which walks by its policy."""

    def __init__(self) -> None:
        from vla_humanoid_control.simulation.world import World
        self._world = World(load_robot('unitree_g1'))
        self._world.reset(0)
        self._names = [j.name for j in self._world.robot.joints]
        self._read()

    def _read(self) -> None:
        world = self._world
        joints, imu = world.joint_reading(), world.imu_reading()
        self.positions = np.array([joints.positions[n] for n in self._names])
        self.velocities = np.array([joints.velocities[n] for n in self._names])
        self.quaternion_wxyz = [float(v) for v in np.roll(imu.orientation_xyzw, 1)]
        self.pose, self.fallen = world.odometry()[0], world.fallen

    def go_on(self, twist: np.ndarray, upper: np.ndarray) -> None:
        """One period; the waist is its walking policy's."""
        self._world.apply(twist, dict(zip(self._names[15:], map(float, upper[3:]))))
        self._world.advance(PERIOD_S)
        self._read()


class RobotSide:
    """The robot's own controllers between its body and the SDK's topics."""

    def __init__(self, domain: int, body: Any) -> None:
        self._body = body
        self._domain = Domain(domain, LOOPBACK)
        participant = DomainParticipant(domain)
        newest = Qos(Policy.Reliability.Reliable(10 ** 9), Policy.History.KeepLast(100))

        def reader(topic: str, kind: Any) -> DataReader:
            return DataReader(participant, Topic(participant, topic, kind), newest)

        def writer(topic: str, kind: Any) -> DataWriter:
            return DataWriter(participant, Topic(participant, topic, kind))
        self._commands, self._calls = reader('rt/arm_sdk', LowCmd_), reader(
            'rt/api/sport/request', Request_)
        self._state_out, self._imu_out, self._odometry_out = (
            writer('rt/lowstate', LowState_), writer('rt/secondary_imu', IMUState_),
            writer('rt/odommodestate', SportModeState_))
        self._state = default.unitree_hg_msg_dds__LowState_()
        self._state.mode_machine = 5
        self._odometry = default.unitree_go_msg_dds__SportModeState_()
        self._own = body.positions[12:].copy()  # where its own controllers hold waist and arms
        self._targets, self._twist, self._until_s = self._own.copy(), np.zeros(3), 0.0
        self.mood = 'speak'
        self.seen: dict[str, Any] = {'weight': 0.0, 'commands': 0, 'bad_check_sums': 0, 'limp': 0,
                                     'wrong_machine': 0, 'calls': 0, 'other_calls': 0,
                                     'steepest': 0.0}

    def go_on(self) -> None:
        """One period: hear, move, speak."""
        for command in self._commands.take(100):
            if isinstance(command, LowCmd_):
                self._on_command(command)
        for call in self._calls.take(100):
            if isinstance(call, Request_):
                self._on_call(call)
        weight = self.seen['weight']
        twist = self._twist if time.monotonic() < self._until_s else np.zeros(3)
        self._body.go_on(twist, (1 - weight) * self._own + weight * self._targets)
        self.seen.update(twist=twist.tolist(), pose=self._body.pose.tolist(),
                         positions=self._body.positions.tolist(), fallen=bool(self._body.fallen))
        if self.mood != 'silent':
            self._speak()

    def _on_command(self, command: LowCmd_) -> None:
        seen = self.seen
        seen['commands'] += 1
        if command.crc != CRC().Crc(command):
            seen['bad_check_sums'] += 1
            return
        weight = command.motor_cmd[WEIGHT].q
        seen['steepest'] = max(seen['steepest'], abs(weight - seen['weight']))
        seen['weight'] = weight
        seen['wrong_machine'] += command.mode_machine != 5
        motors = command.motor_cmd[12:29]
        seen['limp'] += weight > 0 and not all(m.kp > 0 and m.kd > 0 for m in motors)
        seen['legs'] = any(m.kp or m.q for m in command.motor_cmd[:12])
        self._targets = np.array([m.q for m in motors])

    def _on_call(self, call: Request_) -> None:
        self.seen['calls'] += 1
        if call.header.identity.api_id != 7105 or not call.header.policy.noreply:
            self.seen['other_calls'] += 1
            return
        said = json.loads(call.parameter)
        self._twist = np.array(said['velocity'])
        self._until_s = time.monotonic() + said['duration']

    def _speak(self) -> None:
        state, body = self._state, self._body
        if self.mood != 'frozen':
            state.tick += 10
            for motor, (q, dq) in enumerate(zip(body.positions, body.velocities)):
                state.motor_state[motor].q, state.motor_state[motor].dq = float(q), float(dq)
        # What is sent is float32, and so is what the check sum is of.
        state.crc = CRC().Crc(state) + (self.mood == 'broken')
        self._state_out.write(state)
        imu = state.imu_state
        imu.quaternion, imu.accelerometer = body.quaternion_wxyz, [0.0, 0.0, 9.81]
        self._imu_out.write(imu)
        x, y, yaw = map(float, body.pose)
        self._odometry.position, self._odometry.imu_state.rpy = [x, y, 0.75], [0.0, 0.0, yaw]
        self._odometry_out.write(self._odometry)


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument('domain', type=int)
    parser.add_argument('--legged', action='store_true')
    arguments = parser.parse_args()
    side = RobotSide(arguments.domain, LeggedBody() if arguments.legged else PlainBody())
    ended = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            side.mood = line.strip()
        ended.set()
    threading.Thread(target=listen, daemon=True).start()
    due_s, step = time.monotonic(), 0
    while not ended.wait(max(due_s - time.monotonic(), 0.0)):
        due_s = max(due_s + PERIOD_S, time.monotonic() - 0.1)
        side.go_on()
        if (step := step + 1) % 5 == 0:
            print(json.dumps(side.seen), flush=True)


if __name__ == '__main__':
    main()
