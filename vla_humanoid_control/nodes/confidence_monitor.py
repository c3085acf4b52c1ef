"""Node: lets proposals pass only while the policy's confidence says that they lead to success."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from vla_humanoid_control.channels import (
    ChannelError,
    ChannelMessage,
    decode_proposal,
    encode_fault,
    encode_gated,
)
from vla_humanoid_control.confidence.artifact import ALL, Monitoring
from vla_humanoid_control.confidence.combine import ALPHA, SignalsError
from vla_humanoid_control.confidence.gate import ConfidenceGate, GateConfig, Standing
from vla_humanoid_control.policy.registry import chosen_policy, monitoring
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import ERROR, OK, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.messages import channels_from_msg, channels_to_msg
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.support.bounds import bounded, check_bounds, fixed


@dataclass(frozen=True)
class MonitorParameters:
    """Parameters of `confidence_monitor`.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        policy: As in `vla_controller`. The gate takes the threshold of its trust artifact;
            parameters below `gate.` go before it.
        trust: Folder of the policy's trust artifact, or the name of one in resource/trust/; empty
            for that which belongs to it.
        confidence_signals: What the confidence is made of, some of the artifact's signals or all;
            each choice has a threshold of its own.
        alpha: Share of successful episodes that the gate may stop; its thresholds follow from it
            where the policy was measured.
        idle_rate_hz: How often a closed gate reports itself while no proposal comes [Hz].
        allow_uncalibrated: Let a policy act that has no trust artifact. Otherwise the gate stays
            closed to it.
    """

    robot: str = fixed('humanoid')
    policy: str = fixed('')
    trust: str = fixed('')
    confidence_signals: tuple[str, ...] = fixed(ALL)
    alpha: float = bounded(ALPHA, 0.001, 0.999, at_start=True)
    idle_rate_hz: float = bounded(10.0, 1.0, 100.0, at_start=True)
    allow_uncalibrated: bool = fixed(False)

    def __post_init__(self) -> None:
        check_bounds(self)


class ConfidenceMonitor(ManagedNode):
    """The confidence gate between the controller and safety.

    A malformed proposal is refused whole, and safety is told at once, so that it stops for the
    right reason and need not wait for its watchdog. An open proposal is never repeated: when
    proposals cease, safety's watchdog runs until the gate closes for staleness.

    Subscribers:
        vla/action_proposal (sensor_msgs/JointState): see `channels`

    Publishers:
        vla/action_gated (sensor_msgs/JointState): the same with `policy/gate`, or a hold
        vla_confidence (std_msgs/Float32): probability that the present action leads to success
        vla/signals (sensor_msgs/JointState): what it is made of: names, and values as positions,
            larger where it is worse, NaN where unknown

    Parameters: `MonitorParameters`, `GateConfig` below `gate.`.
    """

    def __init__(self) -> None:
        super().__init__('confidence_monitor')
        self._settings = Parameters(self, MonitorParameters)
        # Now for what is set beside them at the start; `configure` reads them again.
        self._gate_config = Parameters(self, GateConfig, defaults=self._asked_by_policy().gate,
                                       prefix='gate.', apply=self._set_gate)

    def _asked_by_policy(self) -> Monitoring:
        p = self._settings.value
        self._policy = chosen_policy(p.policy, load_robot(p.robot))
        return monitoring(self._policy, p.trust, p.confidence_signals, p.alpha,
                          p.allow_uncalibrated)

    def _set_gate(self, config: GateConfig, _names: frozenset[str]) -> None:
        if hasattr(self, '_gate'):
            self._gate.config = config

    def configure(self) -> None:
        p = self._settings.value
        self._joint_names = frozenset(j.name for j in load_robot(p.robot).controlled)
        asked = self._asked_by_policy()
        self._gate_config.renew(asked.gate)
        self._standing, self._fresh_judge = asked.standing, asked.judge
        self._gate = ConfidenceGate(self._gate_config.value, self._standing)
        self._judge = self._fresh_judge()
        self._period_s = 1.0 / p.idle_rate_hz
        self._reason = ''
        self._fault = ''
        self._counts = {'proposals': 0, 'rejected': 0, 'transitions': 0}
        self._confidence = 0.0
        self._gated = self.advertise(JointState, 'vla/action_gated', qos.STREAM)
        self._confidences = self.advertise(Float32, 'vla_confidence', qos.STREAM)
        self._signals = self.advertise(JointState, 'vla/signals', qos.STREAM)
        self.subscribe(JointState, 'vla/action_proposal', self._on_proposal, qos.STREAM)

    def activate(self) -> None:
        # Closed, whatever was before.
        self._gate = ConfidenceGate(self._gate_config.value, self._standing)
        self._judge = self._fresh_judge()
        self.every(self._period_s, self._on_silence)

    def deactivate(self) -> None:
        self._publish(encode_fault(0, 'confidence monitor is not active'), 0.0)

    def _on_proposal(self, msg: JointState) -> None:
        if not self.is_active:
            return
        now = time.monotonic()
        channels = channels_from_msg(msg)
        try:
            proposal = self._judge.judge(decode_proposal(channels, self._joint_names))
        except (ChannelError, SignalsError) as error:
            self._refuse(channels.stamp_ns, str(error))
            return
        self._fault = ''
        self._counts['proposals'] += 1
        was_open = self._gate.is_open
        gated = self._gate.update(proposal, now)
        self._counts['transitions'] += self._gate.is_open != was_open
        self._reason = gated.reason
        self._publish(encode_gated(gated), gated.proposal.confidence)
        if proposal.signals:
            self._signals.publish(JointState(
                header=msg.header, name=list(proposal.signals),
                position=list(proposal.signals.values())))

    def _refuse(self, stamp_ns: int, reason: str) -> None:
        self._counts['rejected'] += 1
        self._fault = reason
        self._gate.refuse(time.monotonic())
        self.warn('proposal', f'proposal refused: {reason}')
        self._publish(encode_fault(stamp_ns, reason), 0.0)

    def _on_silence(self) -> None:
        was_open = self._gate.is_open
        gated = self._gate.silence(time.monotonic(), self._period_s * 1.5)
        self._counts['transitions'] += self._gate.is_open != was_open
        if gated is not None:
            self._reason = gated.reason
            self._publish(encode_gated(gated), gated.proposal.confidence)

    def _publish(self, wire: ChannelMessage, confidence: float) -> None:
        self._confidence = confidence
        self._gated.publish(channels_to_msg(wire))
        self._confidences.publish(Float32(data=confidence))

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        state = 'open' if self._gate.is_open else 'closed'
        values = {**self._counts, 'gate': state, 'reason': self._reason,
                  'confidence': self._confidence, 'policy': self._standing.value,
                  **self._thresholds}
        if self._fault:
            return Health(ERROR, f'proposal refused: {self._fault}', values)
        if self._standing is not Standing.CALIBRATED:  # for as long as it lasts
            return Health(WARN, f'gate {state}, the policy is {self._standing.value}', values)
        return Health(OK, f'gate {state}', values)


    @property
    def _thresholds(self) -> dict[str, object]:
        """Those in force, and who says so."""
        config, chosen = self._gate_config.value, self._gate_config.chosen
        return {f'{name}{suffix}': value for name in ('open_threshold', 'close_threshold')
                for suffix, value in (('', getattr(config, name)),
                                      ('/set_by', 'a person' if name in chosen
                                       else f'policy {self._policy}'))}


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(ConfidenceMonitor, args)


if __name__ == '__main__':
    main()
