"""The robot's DDS domain: newest measurements in, commands out, over the SDK's own messages.

Unitree's robots speak Cyclone DDS, the graph speaks whatever its ROS does. Both go on in one
process, each in its own domain and on its own network interface.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.unitree.messages import (
    state_check_sum,
    velocity_parameter,
    write_arm_command,
)
from vla_humanoid_control.unitree.sdk_file import MOTORS, SdkFile

_CONFIGURATION = ('<CycloneDDS><Domain Id="any"><General><Interfaces>'
                  '<NetworkInterface name="{}" priority="default" multicast="default"/>'
                  '</Interfaces></General></Domain></CycloneDDS>')
_INTERFACE = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.:-]*')
MISSING = ("The robot's messages need cyclonedds and unitree_sdk2py ({}). Install them: pip "
           'install cyclonedds unitree-sdk2py-dimos, or the extra [unitree] of this package.')


class SdkChannel:
    """Reads and writes the topics of one robot, until nothing refers to it any more.

    Args:
        sdk: Its topics.
        network_interface: Where the robot is, such as eth0; lo for a simulated one.
        domain: DDS domain of the robot; a real one is in 0.

    Raises:
        UserError: The packages with the messages are missing, or there is no such interface.
    """

    def __init__(self, sdk: SdkFile, network_interface: str, domain: int) -> None:
        if not _INTERFACE.fullmatch(network_interface):
            raise UserError(f'network_interface {network_interface!r} is no name of a network '
                            'interface; ip link lists them.')
        try:
            from cyclonedds.core import DDSException
            from cyclonedds.domain import Domain, DomainParticipant
            from unitree_sdk2py.idl.unitree_api.msg.dds_ import (
                Request_,
                RequestHeader_,
                RequestIdentity_,
                RequestLease_,
                RequestPolicy_,
            )
            from unitree_sdk2py.idl.unitree_go.msg.dds_ import SportModeState_
            from unitree_sdk2py.idl.unitree_hg.msg.dds_ import (
                IMUState_,
                LowCmd_,
                LowState_,
                MotorCmd_,
            )
        except ImportError as error:
            raise UserError(MISSING.format(error)) from error
        self._sdk = sdk
        try:
            self._domain = Domain(domain, _CONFIGURATION.format(network_interface))
            participant = DomainParticipant(domain)
        except DDSException as error:
            raise UserError(f'Cyclone DDS does not start on {network_interface} in domain '
                            f'{domain} ({error}). Set network_interface to one that ip link '
                            'lists as up.') from error
        self._state = _Newest(participant, sdk.topics.state, LowState_)
        self._imu = _Newest(participant, sdk.topics.imu, IMUState_)
        self._odometry = _Newest(participant, sdk.topics.odometry, SportModeState_)
        self._arms = _writer(participant, sdk.topics.arms, LowCmd_)
        self._walking = _writer(participant, sdk.topics.walking, Request_)
        self._command = LowCmd_(0, 0, [MotorCmd_(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
                                       for _ in range(MOTORS)], [0] * 4, 0)
        # Nobody waits for answers: safety sees by the odometry whether the base follows.
        self._request = Request_(RequestHeader_(
            RequestIdentity_(0, sdk.velocity_api_id), RequestLease_(0), RequestPolicy_(0, True)),
            '', [])
        self._motor_of = {name: motor for motor, name in enumerate(sdk.motors)}
        self._mode_machine = 0
        self._tick: int | None = None
        self.rejected = 0

    def state(self) -> Any | None:
        """The newest LowState since the last call; None where there is none that is good.

        One whose check sum is wrong or whose tick stands still is none, and is `rejected`.
        """
        state = self._state.take()
        if state is None:
            return None
        if state.tick == self._tick or state.crc != state_check_sum(state):
            self.rejected += 1
            return None
        self._tick, self._mode_machine = state.tick, state.mode_machine
        return state

    def imu(self) -> Any | None:
        """The newest IMUState since the last call."""
        return self._imu.take()

    def odometry(self) -> tuple[Any, float] | None:
        """The newest SportModeState since the last call, and when it was sent.

        By the sender's clock [s], as DDS tells it: the message's own stamp is not documented.
        """
        state = self._odometry.take()
        return None if state is None else (state, state.sample_info.source_timestamp / 1e9)

    def walk(self, twist: NDArray[np.float64], duration_s: float) -> None:
        """Have the walking controller follow a base twist [3] for so long [s]."""
        self._request.header.identity.id = time.monotonic_ns()
        self._request.parameter = velocity_parameter(twist, duration_s)
        self._walking.write(self._request)

    def move_arms(self, targets: Mapping[str, float], weight: float) -> None:
        """Have joints follow positions [rad] with this weight, 0 to 1."""
        write_arm_command(self._command, {self._motor_of[n]: p for n, p in targets.items()},
                          weight, self._sdk.arms, self._mode_machine)
        self._arms.write(self._command)


class _Newest:
    """The newest message of a topic, each handed out once."""

    def __init__(self, participant: Any, topic: str, kind: Any) -> None:
        from cyclonedds.core import Policy, Qos
        from cyclonedds.sub import DataReader
        from cyclonedds.topic import Topic
        self._kind = kind
        self._reader = DataReader(participant, Topic(participant, topic, kind),
                                  Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(1)))

    def take(self) -> Any | None:
        """Leaves out what only says that a writer has gone."""
        messages = [m for m in self._reader.take(1) if isinstance(m, self._kind)]
        return messages[-1] if messages else None


def _writer(participant: Any, topic: str, kind: Any) -> Any:
    from cyclonedds.pub import DataWriter
    from cyclonedds.topic import Topic
    return DataWriter(participant, Topic(participant, topic, kind))
