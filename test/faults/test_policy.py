"""Faults 26 to 38, 40 and 41: a policy that misbehaves, and messages of a false one.

The policy is that of `faulty_controller`, which does what the words say after walking for a while.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from fault_report import Fault
from graph_under_test import GraphUnderTest
from safety_bench import Bench
from sensor_msgs.msg import JointState

from vla_humanoid_control.channels import CONFIDENCE, GATE, PROGRESS
from vla_humanoid_control.confidence.gate import ConfidenceGate, GateConfig
from vla_humanoid_control.ros import qos
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.types import BASE_CHANNELS, Action, Proposal, TaskState

T_S = SafetyConfig().proposal_timeout_s


def misbehave(graph: GraphUnderTest, words: str) -> float:
    """Walk until the policy does what the words say; gives the time of that."""
    graph.say(words)
    graph.wait_for(lambda: graph.misbehaved_s, 'the policy misbehaves')
    return graph.misbehaved_s[0]


def nonsense_stops(graph: GraphUnderTest, fault: Fault, words: str, reason: str) -> None:
    """A chunk that cannot be used is a reason to stop at once, and not to be overlooked."""
    since = misbehave(graph, words)
    graph.wait_for(lambda: graph.has_stopped_for(reason), 'STOP with the reason')
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: graph.task.startswith('FAILED'), 'all retries are used up')
    fault.happened(f'STOP, then {graph.task}')


def test_fault_26_nan_action(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy gives NaN actions in motion."""
    nonsense_stops(graph, fault, 'give nan', 'not finite')


def test_fault_27_infinite_action(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy gives infinite actions in motion."""
    nonsense_stops(graph, fault, 'give infinite values', 'not finite')


def test_fault_28_wrong_dimension(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy gives an action of one channel less."""
    nonsense_stops(graph, fault, 'wrong dimension', 'shape')


def proposal(*joints: str, confidence: float = 1.0, speed: float = 0.4) -> JointState:
    """A proposal to walk, with these joints at 0.1 rad."""
    names = [*BASE_CHANNELS, *joints, CONFIDENCE, PROGRESS]
    return JointState(name=names, velocity=[speed] + [0.0] * (len(names) - 1),
                      position=[0.0] * 3 + [0.1] * len(joints) + [confidence, 0.1])


def false_proposals(graph: GraphUnderTest, message: JointState, until: Callable[[], bool]) -> None:
    """Publish proposals beside the idle controller, 50 a second, for at least half a second."""
    publisher = graph.node.create_publisher(JointState, '/vla/action_proposal', qos.STREAM)
    graph.wait_for(lambda: publisher.get_subscription_count() > 0, 'discovery')
    began = time.monotonic()

    def done() -> bool:
        message.header.stamp = graph.node.get_clock().now().to_msg()
        publisher.publish(message)
        time.sleep(0.02)
        return until() and time.monotonic() - began > 0.5

    try:
        graph.wait_for(done, 'what proposals lead to', 10.0)
    finally:
        graph.drop(publisher)


def rejected_whole(graph: GraphUnderTest, fault: Fault, message: JointState, reason: str) -> None:
    """Nothing of it takes effect, it is counted, and safety stops with the reason."""
    false_proposals(graph, message, lambda: graph.has_stopped_for(reason)
                    and graph.count('confidence_monitor', 'rejected') > 0)
    assert not any(t.any() for _, t in graph.twists)
    fault.happened(f'STOP: {reason}; {graph.count("confidence_monitor", "rejected")} counted')
    # The same without its defect does move: what was tested is the defect.
    graph.settle()
    false_proposals(graph, proposal('left_elbow'), lambda: graph.speed > 0.05)


def test_fault_29_unknown_joint(graph: GraphUnderTest, fault: Fault) -> None:
    """A proposal that names the joint 'tail'."""
    rejected_whole(graph, fault, proposal('left_elbow', 'tail'), "unknown channel 'tail'")


def test_fault_30_duplicate_joint(graph: GraphUnderTest, fault: Fault) -> None:
    """A proposal that names a joint twice."""
    rejected_whole(graph, fault, proposal('left_elbow', 'left_elbow'), 'twice')


def test_fault_31_a_thousand_times_too_large(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy gives actions a thousand times too large."""
    misbehave(graph, 'a thousand times too much')
    graph.wait_for(lambda: graph.count('safety_monitor', 'count/clamped') > 10, 'counted')
    graph.assert_within_limits()
    fault.happened(f'clamped, {graph.count("safety_monitor", "count/clamped")} values counted; '
                   f'at most {max(np.abs(t).max() for _, t in graph.twists):.2f} m/s or rad/s')


def test_fault_32_alternating_extremes(running: Bench, fault: Fault) -> None:
    """Full positive and full negative action by turns, every 20 to 200 ms.

    To the supervisor, whose every command is checked against acceleration and jerk limits exactly;
    over DDS a lost message would blur them.
    """
    for k in range(50):
        sign = (-1.0) ** k
        running.twist = (9 * sign, -9 * sign, 9 * sign)
        running.joints = {j.name: j.upper if k % 2 else j.lower for j in running.robot.controlled}
        running.safety.on_gated(running.gated(), running.now_s)
        running.run(0.02 * (1 + k % 10))
    running.check_limits()
    base = np.array([[getattr(m, f) for m in running.robot.base.values()]
                     for f in ('acceleration', 'jerk')])
    acceleration = np.diff(running.twists(), axis=0) / 0.02
    jerk = np.diff(acceleration, axis=0) / 0.02
    fault.happened(f'{np.abs(acceleration / base[0]).max():.0%} of the acceleration limit and '
                   f'{np.abs(jerk / base[1]).max():.0%} of the jerk limit at most')


def test_fault_32_alternating_extremes_in_the_graph(graph: GraphUnderTest, fault: Fault) -> None:
    """Full positive and full negative action by turns, from the policy."""
    before = graph.count_now('safety_monitor', 'count/clamped')
    misbehave(graph, 'alternate')
    graph.pause(2.0)
    graph.assert_within_limits()
    clamped = graph.count_now('safety_monitor', 'count/clamped') - before
    assert clamped > 0
    fault.happened(f'clamped, {clamped} values counted')


def test_fault_33_exception_in_inference(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy raises at every inference."""
    since = misbehave(graph, 'explode')
    graph.wait_for(lambda: graph.task.startswith('FAILED'), 'it has failed')
    fault.stops(graph, since, T_S)
    assert 'the policy is broken' in graph.task
    retries = {s for _, s in graph.task_states if s.startswith('RETRYING')}
    assert len(retries) == 3
    fault.happened(f'held, {len(retries)} retries, then {graph.task}')


def test_fault_35_out_of_memory(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy raises MemoryError."""
    since = misbehave(graph, 'memory runs out')
    graph.wait_for(lambda: graph.task.startswith('FAILED'), 'it has failed')
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: 'FAILED' in graph.value('vla_controller', 'task'), 'diagnostics')
    inferences = graph.count('vla_controller', 'inferences')
    graph.pause(1.5)
    assert graph.count('vla_controller', 'inferences') == inferences
    assert not any(s.startswith('RETRYING') for _, s in graph.task_states)
    fault.happened(f'{graph.task}; no retry')


def test_fault_36_impossible_confidence(graph: GraphUnderTest, fault: Fault) -> None:
    """Confidence NaN and 7.0 from the policy; NaN, -1 and infinite in a false proposal."""
    for words in ('doubt', 'boast'):
        since = misbehave(graph, words)
        graph.wait_for(lambda: graph.task.startswith('HELD'), 'held')
        fault.stops(graph, since, T_S)
        assert graph.confidences[-1][1] == 0.0
        graph.settle()
        graph.forget()
    for confidence in (float('nan'), -1.0, float('inf')):
        false_proposals(graph, proposal(confidence=confidence), lambda: len(graph.twists) > 10)
        assert not any(t.any() for _, t in graph.twists)
        assert all(c == 0.0 for _, c in graph.confidences)
    fault.happened('counted as 0, held')


def test_fault_37_flickering_confidence(fault: Fault) -> None:
    """Confidence that crosses the threshold at every proposal, and one that wavers around it.

    To the gate with a handed-in clock: dwell times are exact there.
    """
    config = GateConfig()
    wavering = np.random.default_rng(0).uniform(0.3, 0.75, 2000)
    for sequence in ([0.9, 0.1] * 1000, wavering.tolist()):
        gate, changes, before = ConfidenceGate(config), [], False
        for i, confidence in enumerate(sequence):
            gated = gate.update(Proposal(i + 1, Action(np.array([0.2, 0, 0]), {}), confidence,
                                         0.0), 0.1 * i)
            if gated.is_open != before:
                before = gated.is_open
                changes.append(0.1 * i)
        shortest = min(b - a for a, b in pairwise(changes))
        assert len(changes) > 20
        assert shortest >= config.min_dwell_s - 1e-9
        fault.happened(f'{len(changes)} transitions in 200 s, none within {shortest:.1f} s')


def test_fault_38_stale_confidence(graph: GraphUnderTest, fault: Fault) -> None:
    """The controller is suspended in motion with the gate open."""
    gates: list[tuple[float, float, str]] = []
    subscription = graph.node.create_subscription(
        JointState, '/vla/action_gated', lambda m: gates.append(
            (time.monotonic(), m.position[m.name.index(GATE)], m.header.frame_id)), qos.STREAM)
    graph.walk_on()
    graph.wait_for(lambda: gates and gates[-1][1] == 1.0, 'the gate is open')
    suspended = time.monotonic()
    graph.kill('vla_controller', signal.SIGSTOP)
    try:
        graph.wait_for(lambda: gates[-1][1] == 0.0, 'the gate closes', 3.0)
        fault.happened(f'the gate closed after {gates[-1][0] - suspended:.2f} s: {gates[-1][2]}')
        assert 'stale' in gates[-1][2]
        fault.stops(graph, suspended, T_S)
    finally:
        graph.kill('vla_controller', signal.SIGCONT)
        graph.drop(subscription)


def test_fault_40_retries_exhausted(graph: GraphUnderTest, fault: Fault) -> None:
    """The policy loses its confidence in motion, and does not find it again."""
    assert graph.set('vla_controller', 'task.hold_timeout_s', 0.5)[0]
    since = misbehave(graph, 'mumble')
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: graph.task.startswith('FAILED'), 'all retries are used up')
    states = [s.split(':')[0] for _, s in graph.task_states]
    assert states.count('RETRYING') == 3
    fault.happened(graph.task)
    began = time.monotonic()
    graph.pause(1.5)
    assert graph.task.startswith('FAILED')
    assert not any(v.any() for t, v in graph.twists if t > began)
    graph.walk_on()
    assert graph.task.startswith(TaskState.RUNNING.value)
    fault.happened('walked on a new command')
    assert graph.set('vla_controller', 'task.hold_timeout_s', 2.0)[0]


@pytest.mark.parametrize('event', ['emergency stop', 'newer command'])
def test_fault_41_late_result(graph: GraphUnderTest, fault: Fault, event: str) -> None:
    """An inference that takes 0.8 s, and meanwhile an emergency stop, or a newer command."""
    discarded = graph.count_now('vla_controller', 'results_discarded')
    misbehave(graph, 'hang briefly')
    if event == 'emergency stop':
        graph.press(True)
        graph.wait_for(lambda: graph.safety.startswith('ESTOP'), 'it is latched')
    else:
        graph.say('look left')
    graph.wait_for(lambda: graph.count('vla_controller', 'results_discarded') > discarded,
                   'the result is discarded')
    if event == 'emergency stop':
        graph.wait_for(graph.is_at_rest, 'the base is at rest')
        late = time.monotonic()
        graph.pause(0.5)
        assert not any(v.any() for t, v in graph.twists if t > late)
    else:
        graph.wait_for(lambda: graph.task.startswith('DONE: look left'), 'the newer one is done')
        assert graph.targets[-1][1]['neck_yaw'] == pytest.approx(0.75, abs=0.05)
    graph.assert_within_limits()
    fault.happened(f'{event}: discarded')


@pytest.mark.slow
def test_fault_34_hung_inference(graph: GraphUnderTest, fault: Fault) -> None:
    """An inference that takes 10 s, in motion."""
    discarded = graph.count_now('vla_controller', 'results_discarded')
    since = misbehave(graph, 'hang')
    fault.stops(graph, since, T_S)
    graph.wait_for(lambda: 'hangs' in graph.health('vla_controller'), 'reported')
    fault.happened(f'stopped; {graph.health("vla_controller")}')
    graph.wait_for(lambda: graph.task.startswith('FAILED'), 'it has failed')
    fault.happened(graph.task)
    graph.wait_for(lambda: graph.count('vla_controller', 'results_discarded') > discarded,
                   'the result is discarded')
    late = time.monotonic()
    graph.pause(0.3)
    assert not any(v.any() for t, v in graph.twists if t > late)
    graph.walk_on()
